"""What all sources promise, and the one in memory that is pushed into."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lanes import check_all, check_lanes, in_thread, take
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.following_source import FollowingSource
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import MemorySource, Source
from microrun.runtime.scans.up_source import FileSource

SCAN = Scan((2, 3), (4, 5))


# Memory


def pushed(patterns: NDArray[Any], capacity: int = 256, *, drop: bool = False) -> MemorySource:
    source = MemorySource(SCAN, capacity, drop=drop)
    for pattern in patterns:
        source.push(pattern)
    return source


def before_waiting(source: MemorySource, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as somebody waits for the source; who then changes it comes after the wait began."""
    waits, original = threading.Event(), source._changed.wait

    def wait(timeout: float | None = None) -> bool:
        waits.set()
        return original(timeout)

    monkeypatch.setattr(source._changed, "wait", wait)
    return waits


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_pushed_patterns_are_delivered_in_order(limit: int) -> None:
    patterns = make_patterns(6)
    source = pushed(patterns)
    assert source.available == 6
    assert source.dropped == 0
    check_all(source, patterns, limit)
    assert source.claim(1) is None


def test_pushed_patterns_are_copied() -> None:
    source, pattern = MemorySource(SCAN), make_patterns(1)[0]
    expected = pattern.copy()
    assert source.push(pattern)
    pattern[:] = 0
    source.finish()
    check_all(source, expected[None])


def test_numbers_may_be_skipped_but_not_go_back() -> None:
    source, patterns = MemorySource(SCAN), make_patterns(6)
    assert source.push(patterns[2], 2)
    assert source.push(patterns[3])
    for number in (0, 3, 6, -1):
        with pytest.raises(ScanError, match=f"must be 4 to 5; got {number}"):
            source.push(patterns[0], number)
    assert source.push(patterns[5], 5)
    assert [number for number, _ in take(source)] == [2, 3, 5]


@pytest.mark.parametrize("shape", [(5, 4), (1, 4, 5), (4,), (0, 0)])
def test_pushed_shapes_must_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ScanError, match=r"must be \(4, 5\) uint16; got"):
        MemorySource(SCAN).push(np.zeros(shape, np.uint16))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_pushed_pixel_types_must_fit(dtype: str) -> None:
    wrong: NDArray[Any] = np.zeros((4, 5), dtype)
    with pytest.raises(ScanError, match=f"must be .* uint16; got .* {dtype}"):
        MemorySource(SCAN).push(wrong)


def test_without_room_patterns_are_dropped_and_counted() -> None:
    patterns = make_patterns(6)
    source = MemorySource(SCAN, 2, drop=True)
    assert [source.push(pattern) for pattern in patterns[:5]] == [True, True, False, False, False]
    assert (source.available, source.dropped) == (2, 3)
    claim = source.claim(2)
    assert claim is not None
    assert not source.push(patterns[5]), "room is free once it was read, not when it is claimed"
    assert source.dropped == 4
    assert source.claim(2) is None


def test_room_is_used_again() -> None:
    patterns = make_patterns(6)
    source, out = MemorySource(SCAN, 2, drop=True), np.empty((1, 4, 5), np.uint16)
    for number, pattern in enumerate(patterns):
        assert source.push(pattern)
        claim = source.claim(2)
        assert claim is not None
        assert claim.indices.tolist() == [number]
        source.read(claim, 0, out)
        assert_array_equal(out[0], pattern)
    assert source.dropped == 0


def test_without_room_a_push_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = make_patterns(6)
    source = MemorySource(SCAN, 2)
    waits = before_waiting(source, monkeypatch)
    pushes = in_thread(lambda: [source.push(pattern) for pattern in patterns])
    assert waits.wait(10)
    assert source.available == 2
    check_all(source, patterns, 1)
    assert pushes() == [True] * 6
    assert source.dropped == 0


@pytest.mark.parametrize("end", ["stop", "finish"])
def test_the_end_wakes_a_push_that_waits(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    source = pushed(make_patterns(2), capacity=2)
    waits = before_waiting(source, monkeypatch)
    push = in_thread(lambda: source.push(make_patterns(1)[0]))
    assert waits.wait(10)
    getattr(source, end)()
    assert push() is False


@pytest.mark.parametrize("end", ["stop", "finish"])
def test_the_end_wakes_lanes_that_wait(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    source = MemorySource(SCAN)
    waits = before_waiting(source, monkeypatch)
    lanes = [in_thread(lambda: source.claim(3)) for _ in range(3)]
    assert waits.wait(10)
    getattr(source, end)()
    assert [lane() for lane in lanes] == [None] * 3


def test_finish_still_delivers_and_stop_does_not() -> None:
    patterns = make_patterns(4)
    source = pushed(patterns)
    source.finish()
    assert not source.push(patterns[0])
    check_all(source, patterns)
    source = pushed(patterns)
    source.stop()
    assert not source.push(patterns[0])
    assert source.claim(4) is None


def test_a_dropped_last_pattern_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = make_patterns(6)
    source = pushed(patterns[:5], 5, drop=True)
    assert source.claim(5) is not None  # by a lane that has not read yet
    waits = before_waiting(source, monkeypatch)
    lane = in_thread(lambda: source.claim(1))
    assert waits.wait(10)
    assert not source.push(patterns[5])
    assert lane() is None


def test_lanes_share_what_is_pushed() -> None:
    patterns = make_patterns(200)
    source = MemorySource(Scan((10, 20), (4, 5)), 7)
    pushes = in_thread(lambda: [source.push(pattern) for pattern in patterns])
    check_lanes(source, patterns)
    assert all(pushes())


# What all sources promise


@pytest.fixture(params=["file", "following", "memory"])
def six(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """Each kind of source with the same six patterns."""
    if request.param == "memory":
        return pushed(make_patterns(6))
    path = write_up(tmp_path / "a.up2", make_patterns(6), Header(step_um=(0.0, 0.0)))
    return FollowingSource(path) if request.param == "following" else FileSource(path)


def test_sources_agree_on_the_scan(six: Source) -> None:
    assert six.scan == SCAN
    assert six.available == 6
    assert six.dropped == 0


@pytest.mark.parametrize("parts", [(5,), (3, 2), (1, 1, 3)])
def test_claims_are_read_in_parts(six: Source, parts: tuple[int, ...]) -> None:
    patterns = make_patterns(6)
    claim = six.claim(5)
    assert claim is not None
    assert claim.indices.dtype == np.int64
    first = 0
    for part in parts:
        out = np.zeros((part, 4, 5), np.uint16)
        six.read(claim, first, out)
        assert_array_equal(out, patterns[first : first + part])
        first += part
