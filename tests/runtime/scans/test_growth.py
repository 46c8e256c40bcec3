"""Writers that do not only append: room taken before it is filled, files written anew, more patterns than told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, pattern_bytes, write_up

from microrun.runtime.errors import ScanError
from microrun.runtime.scans import growth
from microrun.runtime.scans.following_source import FollowingSource
from microrun.runtime.scans.up_source import FileSource

COUNT, SHAPE = 60, (10, 12)
HEADER = Header(sig_shape=SHAPE, nav_shape=(6, 10))
SIZE = 2 * SHAPE[0] * SHAPE[1]
SHORT_S, LONG_S = 0.05, 600.0


@pytest.fixture(scope="module")
def patterns() -> NDArray[Any]:
    return make_patterns(COUNT, SHAPE) | 1  # no pixel is zero


def follow(path: Path, timeout_s: float = LONG_S) -> FollowingSource:
    source = FollowingSource(path, idle_timeout_s=timeout_s, poll_s=1e-4)
    source._growth.settle_s = 0.02
    return source


def put(path: Path, patterns: NDArray[Any], number: int) -> None:
    with path.open("r+b") as file:
        file.seek(42 + number * SIZE)
        file.write(pattern_bytes(patterns))


def take_room(path: Path, count: int) -> None:
    with path.open("r+b") as file:
        file.truncate(max(42 + count * SIZE, path.stat().st_size))


def take_all(source: FollowingSource, limit: int = 7) -> list[tuple[int, NDArray[Any]]]:
    """Patterns with their numbers, as they were delivered."""
    out = np.empty((limit, *SHAPE), np.uint16)
    taken = []
    while claim := source.claim(limit):
        source.read(claim, 0, out[: len(claim)])
        taken += list(zip(claim.indices.tolist(), out.copy(), strict=False))
    return taken


def at_each_look(monkeypatch: pytest.MonkeyPatch, steps: list[Callable[[], object]]) -> None:
    """Let a writer do one thing before each look at the file's length."""
    left, original = list(steps), growth.count_patterns

    def look(*arguments: Any) -> int:
        if left:
            left.pop(0)()
        return original(*arguments)

    monkeypatch.setattr(growth, "count_patterns", look)


def check_last(taken: list[tuple[int, NDArray[Any]]], patterns: NDArray[Any]) -> None:
    """What was delivered last of each pattern is what the file holds."""
    last = dict(taken)
    assert sorted(last) == list(range(len(patterns)))
    assert_array_equal(np.stack([last[number] for number in range(len(patterns))]), patterns)


@pytest.mark.parametrize("piece", [1, 4, 20])
def test_room_that_is_taken_at_once_is_no_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: NDArray[Any], piece: int
) -> None:
    path = write_up(tmp_path / "a.up2", patterns[:0], HEADER)
    take_room(path, COUNT)
    source = follow(path)
    fill = [lambda n=n: put(path, patterns[n : n + piece], n) for n in range(0, COUNT, piece)]  # type: ignore[misc]
    at_each_look(monkeypatch, fill)
    taken = take_all(source)
    assert [number for number, _ in taken] == list(range(COUNT))
    check_last(taken, patterns)


def test_room_that_is_never_filled_is_missing(tmp_path: Path, patterns: NDArray[Any]) -> None:
    path = write_up(tmp_path / "a.up2", patterns[:23], HEADER)
    take_room(path, COUNT)
    source = follow(path, SHORT_S)
    check_last(take_all(source), patterns[:23])
    assert source.available == 23 and not source.complete


@pytest.mark.parametrize("blanked", [slice(0, 1), slice(10, 11), slice(5, 55), slice(0, 59)])
def test_a_blanked_beam_in_the_middle_is_delivered(tmp_path: Path, patterns: NDArray[Any], blanked: slice) -> None:
    dark = patterns.copy()
    dark[blanked] = 0
    source = follow(write_up(tmp_path / "a.up2", dark, HEADER))
    taken = take_all(source)
    assert [number for number, _ in taken] == list(range(COUNT))
    check_last(taken, dark)
    assert source.complete


def test_a_half_written_pattern_waits_for_its_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: NDArray[Any]
) -> None:
    path = write_up(tmp_path / "a.up2", patterns[:5], HEADER)
    take_room(path, COUNT)
    torn = patterns[5].copy()
    torn[6:] = 0
    source = follow(path)
    source._growth.settle_s = LONG_S
    at_each_look(monkeypatch, [lambda: put(path, torn[None], 5), *[lambda: None] * 20, lambda: put(path, patterns, 0)])
    first = source.claim(COUNT)
    assert first is not None and len(first) == 5
    second = source.claim(COUNT)
    assert second is not None and second.indices.tolist() == list(range(5, COUNT))


def test_a_last_pattern_that_ends_in_zeros_is_delivered_once_it_stays_the_same(
    tmp_path: Path, patterns: NDArray[Any]
) -> None:
    masked = patterns.copy()
    masked[:, -3:] = 0
    check_last(take_all(follow(write_up(tmp_path / "a.up2", masked, HEADER))), masked)
    short = follow(write_up(tmp_path / "b.up2", masked[:9], HEADER), SHORT_S)
    check_last(take_all(short), masked[:9])


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(12)), st.integers(0, COUNT), st.integers(1, 30))
def test_whatever_the_order_what_is_delivered_last_is_what_the_file_holds(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], room: int, limit: int
) -> None:
    patterns = make_patterns(COUNT, SHAPE) | 1
    path = write_up(tmp_path_factory.mktemp("order") / "a.up2", patterns[:0], HEADER)
    take_room(path, room)
    source = follow(path)
    with pytest.MonkeyPatch.context() as patch:
        fill = [lambda n=n: put(path, patterns[5 * n : 5 * n + 5], 5 * n) for n in order]  # type: ignore[misc]
        at_each_look(patch, fill)
        check_last(take_all(source, limit), patterns)


def test_patterns_that_were_blank_when_they_were_taken_are_taken_again(tmp_path: Path, patterns: NDArray[Any]) -> None:
    dark = patterns.copy()
    dark[20:30] = 0
    path = write_up(tmp_path / "a.up2", dark, HEADER)
    source = follow(path)
    assert sum(len(source.claim(30) or ()) for _ in range(2)) == COUNT
    put(path, patterns[22:25], 22)
    claim = source.claim(2)
    assert claim is not None and claim.again and claim.indices.tolist() == [22, 23]
    claim = source.claim(30)
    assert claim is not None and claim.again and claim.indices.tolist() == [24]
    assert source.claim(30) is None


@pytest.mark.parametrize("kind", ["finished", "growing"])
def test_patterns_are_visited_again_only_if_they_hold_something(
    tmp_path: Path, patterns: NDArray[Any], kind: str
) -> None:
    dark = patterns.copy()
    dark[[3, 40]] = 0
    path = write_up(tmp_path / "a.up2", dark, HEADER)
    source = follow(path) if kind == "growing" else FileSource(path)
    source.revisit(np.array([3, 4, 40, 41]))
    source.seek(COUNT)
    claim = source.claim(100)
    assert claim is not None and claim.again and claim.indices.tolist() == [4, 41]
    assert source.claim(100) is None


def test_a_file_that_is_written_anew_between_two_looks(tmp_path: Path, patterns: NDArray[Any]) -> None:
    path = write_up(tmp_path / "a.up2", patterns[:30], HEADER)
    source = follow(path)
    assert len(source.claim(30) or ()) == 30
    write_up(path, patterns[::-1][:50], HEADER)
    with pytest.raises(ScanError, match=r"was written anew while it was followed: pattern 29 is another now") as error:
        source.claim(30)
    assert "\n" not in str(error.value)


def test_a_file_that_another_takes_the_place_of(tmp_path: Path, patterns: NDArray[Any]) -> None:
    path = write_up(tmp_path / "a.up2", patterns[:30], HEADER)
    source = follow(path)
    assert len(source.claim(30) or ()) == 30
    write_up(tmp_path / "b.up2", patterns, HEADER).replace(path)
    with pytest.raises(ScanError, match="was replaced by another file while it was followed"):
        source.claim(30)


@pytest.mark.parametrize("more", [1, 40])
def test_patterns_beyond_the_grid_are_not_dropped_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: NDArray[Any], more: int
) -> None:
    smaller = Header(sig_shape=SHAPE, nav_shape=(2, 10))
    path = write_up(tmp_path / "a.up2", patterns[:20], smaller)
    source = follow(path)
    source._growth.settle_s = LONG_S
    assert len(source.claim(COUNT) or ()) == 20

    def grow() -> None:
        put(path, patterns[20 : 20 + more], 20)
        with path.open("r+b") as file:
            file.write(HEADER.to_bytes())

    at_each_look(monkeypatch, [*[lambda: None] * 5, grow])
    with pytest.raises(ScanError, match=rf"holds {20 + more} patterns, .*2×10 takes 20; its header says 6×10 now"):
        source.claim(COUNT)


def test_a_file_that_goes_away_after_its_last_pattern(tmp_path: Path, patterns: NDArray[Any]) -> None:
    path = write_up(tmp_path / "a.up2", patterns, HEADER)
    source = follow(path)
    assert len(source.claim(COUNT) or ()) == COUNT
    path.unlink()
    assert source.claim(COUNT) is None
