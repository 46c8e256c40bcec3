"""Files that grow under the reader."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lanes import check_all, check_lanes, in_thread
from write_up2 import Header, make_patterns, pattern_bytes, write_up

from microrun.runtime.errors import ScanError
from microrun.runtime.scans import following_source, growth, up_source
from microrun.runtime.scans.following_source import FollowingSource

LONG_S = 600.0  # a time-out that no test waits for
SHORT_S = 0.01


@pytest.fixture(autouse=True)
def settled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_source, "SETTLE_S", 0.02)


def on_each_look(monkeypatch: pytest.MonkeyPatch, function: str, step: Callable[[int], object]) -> None:
    """Do something before each look of the source at its file, by `read_header` or `count_patterns`."""
    looks = count()
    for module in (following_source, growth, up_source):
        original = getattr(module, function, None)
        if original is None:
            continue

        def look(*arguments: Any, original: Callable[..., Any] = original) -> Any:
            step(next(looks))
            return original(*arguments)

        monkeypatch.setattr(module, function, look)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def following(path: Path, timeout_s: float = LONG_S, **arguments: Any) -> FollowingSource:
    return FollowingSource(path, idle_timeout_s=timeout_s, poll_s=1e-4, **arguments)


def test_a_finished_file_is_followed_to_its_end(tmp_path: Path) -> None:
    patterns = make_patterns(6)
    source = following(write_up(tmp_path / "a.up2", patterns))
    assert source.complete
    check_all(source, patterns)


def test_only_whole_patterns_become_available(tmp_path: Path) -> None:
    patterns = make_patterns(6)
    data = pattern_bytes(patterns)
    path = write_up(tmp_path / "a.up2", patterns[:0], Header())
    source = following(path)
    for size in range(len(data)):
        assert source.available == size // 40
        assert not source.complete
        append(path, data[size : size + 1])
    assert source.complete


@pytest.mark.parametrize("piece", [1, 7, 39, 41, 97])
def test_no_halves_are_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    patterns = make_patterns(6)
    data = pattern_bytes(patterns)
    path = write_up(tmp_path / "a.up2", patterns[:0], Header())
    source = following(path)
    on_each_look(monkeypatch, "count_patterns", lambda n: append(path, data[n * piece : (n + 1) * piece]))
    check_all(source, patterns)


def test_lanes_follow_a_writer(tmp_path: Path) -> None:
    patterns = make_patterns(200)
    path = write_up(tmp_path / "a.up2", patterns[:0], Header(nav_shape=(10, 20)))
    data = pattern_bytes(patterns)
    source = following(path)

    def write() -> None:
        start = 0
        with path.open("ab", buffering=0) as file:
            for piece in (1, 39, 41, 200, 777) * 100:
                file.write(data[start : start + piece])
                start += piece

    written = in_thread(write)
    check_lanes(source, patterns)
    written()


def test_a_file_that_does_not_exist_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns, path = make_patterns(6), tmp_path / "a.up2"
    data = Header().to_bytes() + pattern_bytes(patterns)
    pieces = [None, b"", data[:20], data[20:60]]  # nothing, an empty file, half a header, half a pattern

    def step(look: int) -> None:
        piece = pieces[look] if look < len(pieces) else None
        if piece is not None:
            append(path, piece)

    on_each_look(monkeypatch, "read_header", step)
    source = following(path)
    assert source.available == 0
    append(path, data[60:])
    check_all(source, patterns)


def test_a_header_that_is_filled_in_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = make_patterns(6)
    path = write_up(tmp_path / "a.up2", patterns, Header(nav_shape=(0, 0)))
    shapes = [(0, 0), (0, 3), (2, 3)]
    on_each_look(
        monkeypatch,
        "read_header",
        lambda n: write_up(path, patterns, Header(nav_shape=shapes[min(n, 2)])),
    )
    source = following(path)
    assert source.scan.nav_shape == (2, 3)
    check_all(source, patterns)


def test_a_header_that_is_never_filled_in(tmp_path: Path) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(6), Header(nav_shape=(0, 0)))
    with pytest.raises(ScanError, match=r"a\.up2: the header states no grid yet; give --grid"):
        following(path, SHORT_S)
    assert following(path, grid=(2, 3)).scan.nav_shape == (2, 3)


def test_a_version_1_file_is_followed_with_a_grid(tmp_path: Path) -> None:
    patterns = make_patterns(6)
    path = write_up(tmp_path / "a.up2", patterns[:2], Header(1))
    source = following(path, grid=(2, 3))
    append(path, pattern_bytes(patterns[2:]))
    check_all(source, patterns)


@pytest.mark.parametrize(("name", "dtype"), [("a.up1", "uint8"), ("a.up2", "uint16")])
@pytest.mark.parametrize("held", range(7))
def test_a_scan_is_followed_from_any_moment(tmp_path: Path, held: int, name: str, dtype: str) -> None:
    patterns = make_patterns(6, dtype=dtype)
    path = write_up(tmp_path / name, patterns[:held], Header())
    source = following(path)
    append(path, pattern_bytes(patterns[held:]))
    check_all(source, patterns)


def test_patterns_that_start_beyond_the_end_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns, header = make_patterns(6), Header(offset=512)
    path = tmp_path / "a.up2"
    path.write_bytes(header.to_bytes())
    rest = header.pad()[42:] + pattern_bytes(patterns)
    on_each_look(monkeypatch, "count_patterns", lambda n: append(path, rest) if n == 1 else None)
    check_all(following(path), patterns)


def test_a_count_that_is_never_reached_ends_by_the_time_out(tmp_path: Path) -> None:
    patterns = make_patterns(4)
    source = following(write_up(tmp_path / "a.up2", patterns, Header(nav_shape=(1000, 1000))), SHORT_S)
    check_all(source, patterns)
    assert not source.complete
    assert source.available == 4


def test_something_new_puts_the_time_out_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = make_patterns(6)
    path = write_up(tmp_path / "a.up2", patterns[:0], Header())
    source = following(path, timeout_s=20)
    clock = count()
    monkeypatch.setattr(following_source, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))

    def step(look: int) -> None:  # a pattern every tenth look: 60 seconds in all, never 20 of silence
        if look % 10 == 9:
            append(path, pattern_bytes(patterns[look // 10 : look // 10 + 1]))

    on_each_look(monkeypatch, "count_patterns", step)
    check_all(source, patterns)


def test_patterns_are_awaited_without_being_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = make_patterns(6)
    path = write_up(tmp_path / "a.up2", patterns[:1], Header())
    source = following(path)
    on_each_look(monkeypatch, "count_patterns", lambda n: append(path, pattern_bytes(patterns[n + 1 : n + 2])))
    assert source.await_patterns(4) == 4
    source.stop()
    assert source.await_patterns(6) == 5
    assert following(path, SHORT_S).await_patterns(7) == 6


@pytest.mark.parametrize("after", ["missing", "no scan", "directory"])
def test_a_file_that_never_becomes_a_scan(tmp_path: Path, after: str) -> None:
    path = tmp_path / "a.up2"
    if after == "no scan":
        path.write_bytes(bytes(100))
    elif after == "directory":
        path.mkdir()
    with pytest.raises(ScanError, match=r"a\.up2: ") as caught:
        following(path, LONG_S if after == "directory" else SHORT_S)
    assert len(str(caught.value).splitlines()) == 1


def test_a_wrong_ending_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"ends in \.up1 or \.up2"):
        following(tmp_path / "a.bmp")


def test_stop_wakes_a_lane_that_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = following(write_up(tmp_path / "a.up2", make_patterns(2)))
    assert len(source.claim(2) or ()) == 2
    looked = threading.Event()
    on_each_look(monkeypatch, "count_patterns", lambda _: looked.set())
    lanes = [in_thread(lambda: source.claim(1)) for _ in range(2)]
    assert looked.wait(10)
    source.stop()
    assert [lane() for lane in lanes] == [None, None]
    assert not source.complete


@pytest.mark.parametrize("size", [None, 0, 41, 42, 42 + 79])
def test_a_file_that_vanishes_or_shrinks(tmp_path: Path, size: int | None) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(4), Header())
    source = following(path)
    assert len(source.claim(2) or ()) == 2
    if size is None:
        path.unlink()
    else:
        with path.open("r+b") as file:
            file.truncate(size)
    with pytest.raises(ScanError, match=r"a\.up2: ") as caught:
        source.claim(2)
    assert len(str(caught.value).splitlines()) == 1
