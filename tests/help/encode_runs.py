"""Short runs from a scan file to a latents file, and what they are compared by."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from write_up2 import Header, pattern_bytes

from microrun.runtime.encoding.encode_scan import EncodeRequest, encode_scan
from microrun.runtime.encoding.meter import Statistics
from microrun.runtime.engines.engine import Engine
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.runtime.testing import ProjectionEngine

SIG_SHAPE = (24, 24)
SPEC = ModelSpec("projection", "encoder", 4, Preprocessing((12, 12), 0))
NAV_SHAPE = (10, 16)
COUNT = 160  # two whole blocks of the running mean, and a part of a third
HEADER = Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE)
ARRAYS = ("latents", "written", "ranges", "flags", "background")
LONG_S = 60.0  # for what would otherwise hang; nothing waits that long


class EndedError(Exception):
    """Ends a run in the middle."""


def engine(lanes: int = 2, batch: int = 7) -> ProjectionEngine:
    return ProjectionEngine(SPEC, lanes, batch)


def contents(path: Path) -> dict[str, Any]:
    with open_latents(path) as latents:
        return {name: getattr(latents, name) for name in ARRAYS}


def assert_same(found: Path, expected: Path) -> None:
    """Compare bit by bit."""
    one, other = contents(found), contents(expected)
    for name in ARRAYS:
        assert_array_equal(one[name], other[name], name)


def stopping(after: int) -> Callable[[Statistics], None]:
    """Interrupt once so many patterns are done."""

    def progress(now: Statistics) -> None:
        if now.done >= after:
            raise EndedError

    return progress


def run(
    request: EncodeRequest, made: Engine, after_each: Callable[[Statistics], None] = lambda now: None
) -> Statistics:
    """Encode to the end."""
    with encode_scan(request, made) as running:
        for now in running:
            after_each(now)
    return running.statistics


def in_pieces(path: Path, patterns: NDArray[Any], piece: int = 1000) -> threading.Thread:
    """Append patterns to a file, a few bytes at a time, from a thread of its own."""

    def write() -> None:
        data = pattern_bytes(patterns)
        with path.open("ab", buffering=0) as file:
            for first in range(0, len(data), piece):
                file.write(data[first : first + piece])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread
