"""UP1/UP2 files written byte by byte, knowing nothing of microrun's own writer."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILLER = b"\xaa"  # between header and first pattern


@dataclass(frozen=True)
class Header:
    """All that a header can state, possible or not; ``offset`` None is the end of the header."""

    version: int = 3
    sig_shape: tuple[int, int] = (4, 5)
    nav_shape: tuple[int, int] = (2, 3)
    offset: int | None = None
    extra: int = 0
    hexagonal: int = 0
    step_um: tuple[float, float] = (1.5, 1.5)

    def to_bytes(self) -> bytes:
        """16 bytes for version 1, 42 for all others."""
        start = (16 if self.version == 1 else 42) if self.offset is None else self.offset
        data = struct.pack("<I", self.version)
        data += struct.pack("<I", self.sig_shape[1])
        data += struct.pack("<I", self.sig_shape[0])
        data += struct.pack("<I", start)
        if self.version == 1:
            return data
        data += struct.pack("<B", self.extra)
        data += struct.pack("<I", self.nav_shape[1])
        data += struct.pack("<I", self.nav_shape[0])
        data += struct.pack("<B", self.hexagonal)
        data += struct.pack("<d", self.step_um[0])
        data += struct.pack("<d", self.step_um[1])
        return data

    def pad(self) -> bytes:
        """Header and filler up to the first pattern."""
        data = self.to_bytes()
        return data + FILLER * max(0, (self.offset or 0) - len(data))


def make_patterns(count: int, shape: tuple[int, int] = (4, 5), dtype: str = "uint16", seed: int = 0) -> NDArray[Any]:
    """Make random patterns, (count, rows, cols)."""
    top = int(np.iinfo(dtype).max)
    return np.random.default_rng(seed).integers(0, top, (count, *shape), dtype, endpoint=True)


def pattern_bytes(patterns: NDArray[Any]) -> bytes:
    """Encode patterns pixel by pixel, little-endian."""
    code = "B" if patterns.dtype == np.uint8 else "H"
    return struct.pack(f"<{patterns.size}{code}", *patterns.ravel().tolist())


def write_up(
    path: Path, patterns: NDArray[Any], header: Header | None = None, *, trailing: bytes = b"", cut: int = 0
) -> Path:
    """Write a file of header, patterns and trailing bytes, then cut ``cut`` bytes off its end."""
    header = header or Header(sig_shape=(patterns.shape[1], patterns.shape[2]))
    data = header.pad() + pattern_bytes(patterns) + trailing
    path.write_bytes(data[: len(data) - cut])
    return path
