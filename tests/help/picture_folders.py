"""Folders of pictures, one a pattern, as cameras save them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image


def counted(number: int) -> str:
    return f"scan{number + 1:04d}.tif"


def write_pictures(folder: Path, patterns: NDArray[Any], name: Callable[[int], str] = counted) -> Path:
    """One file a pattern; of (n, rows, cols) uint8 or uint16, or (n, rows, cols, 3) uint8."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pattern in enumerate(patterns):
        Image.fromarray(pattern).save(folder / name(number))
    return folder
