"""Lanes that take patterns from a source, and threads that tests wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.scans.source import Source


def take(source: Source, limit: int = 4) -> Iterator[tuple[int, NDArray[Any]]]:
    """All patterns with their numbers, as one lane gets them."""
    out = np.empty((limit, *source.scan.sig_shape), source.scan.dtype)
    while claim := source.claim(limit):
        assert 0 < len(claim) <= limit
        source.read(claim, 0, out[: len(claim)])
        yield from zip(claim.indices.tolist(), out.copy(), strict=False)


def check_all(source: Source, patterns: NDArray[Any], limit: int = 4) -> None:
    taken = list(take(source, limit))
    assert [number for number, _ in taken] == list(range(len(patterns)))
    assert_array_equal([pattern for _, pattern in taken], patterns)


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Start a function in a thread; what is returned waits for its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(10)
        assert not thread.is_alive(), "the thread still waits"
        assert results, "the thread raised"
        return results[0]

    return result


def check_lanes(source: Source, patterns: NDArray[Any]) -> None:
    """Three lanes get everything exactly once, each in ascending order."""
    lanes = [in_thread(lambda: list(take(source, 3))) for _ in range(3)]
    taken = [lane() for lane in lanes]
    for lane in taken:
        assert [number for number, _ in lane] == sorted(number for number, _ in lane)
    together = sorted((item for lane in taken for item in lane), key=lambda item: item[0])
    assert [number for number, _ in together] == list(range(len(patterns)))
    assert_array_equal([pattern for _, pattern in together], patterns)
