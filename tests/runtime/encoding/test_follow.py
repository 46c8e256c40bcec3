"""Scans that are encoded while they grow: the same as offline, and what is on disk when they end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from encode_runs import (
    COUNT,
    HEADER,
    LONG_S,
    assert_same,
    contents,
    engine,
    in_pieces,
    run,
)
from numpy.typing import NDArray
from write_up2 import write_up

from microrun.runtime.encoding.encode_scan import EncodeRequest, encode_scan
from microrun.runtime.encoding.meter import Statistics
from microrun.runtime.errors import ScanError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.up_source import FollowingSource


@pytest.mark.parametrize("background", ["none", "running", "file"])
@pytest.mark.parametrize(("lanes", "batch"), [(1, 4), (3, 16)])
def test_following_equals_offline(
    scan: Path, tmp_path: Path, patterns: NDArray[Any], background_file: Path, background: str, lanes: int, batch: int
) -> None:
    chosen = str(background_file) if background == "file" else background
    run(EncodeRequest(scan, tmp_path / "offline.h5", background=chosen), engine())
    growing = write_up(tmp_path / "growing.up2", patterns[:1], HEADER)
    writer = in_pieces(growing, patterns[1:])
    request = EncodeRequest(growing, tmp_path / "live.h5", True, background=chosen, idle_timeout_s=LONG_S)
    assert run(request, engine(lanes, batch)).done == COUNT
    writer.join(LONG_S)
    assert_same(tmp_path / "live.h5", tmp_path / "offline.h5")


@pytest.mark.parametrize(("follow", "kind"), [(False, "mean"), (True, "running")])
def test_the_background_of_a_followed_scan_is_its_running_mean(
    scan: Path, tmp_path: Path, follow: bool, kind: str
) -> None:
    run(EncodeRequest(scan, tmp_path / "out.h5", follow), engine())
    with open_latents(tmp_path / "out.h5") as latents:
        assert latents.origin.background == kind


def test_a_followed_scan_ends_by_the_time_out(tmp_path: Path, patterns: NDArray[Any]) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:20], HEADER)
    request = EncodeRequest(growing, tmp_path / "out.h5", follow=True, idle_timeout_s=0.1)
    statistics = run(request, engine())
    assert (statistics.done, statistics.total) == (20, COUNT)
    assert int(contents(request.out)["written"].sum()) == 20


def test_a_followed_scan_without_patterns(tmp_path: Path, patterns: NDArray[Any]) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:0], HEADER)
    request = EncodeRequest(growing, tmp_path / "out.h5", follow=True, idle_timeout_s=0.1)
    with pytest.raises(ScanError, match="no pattern arrived"):
        run(request, engine())
    assert not request.out.exists()


@pytest.mark.parametrize("background", ["none", "running"])
@pytest.mark.parametrize("change", ["vanishes", "shrinks"])
def test_what_was_encoded_stays_when_the_scan_goes_away(
    tmp_path: Path, patterns: NDArray[Any], change: str, background: str
) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:70], HEADER)
    short = write_up(tmp_path / "short.up2", patterns[:5], HEADER).stat().st_size
    request = EncodeRequest(growing, tmp_path / "out.h5", True, background=background, idle_timeout_s=LONG_S)

    def progress(now: Statistics) -> None:
        if now.done == 70:  # all that is there; lanes wait for more
            if change == "vanishes":
                growing.unlink()
            else:
                os.truncate(growing, short)  # at once: written anew, it would be empty for a moment

    with pytest.raises(ScanError, match=r"growing\.up2: (cannot be read|became shorter)"):
        run(request, engine(), progress)
    assert int(contents(request.out)["written"].sum()) == 70


def test_a_scan_may_go_away_once_it_is_encoded(tmp_path: Path, patterns: NDArray[Any]) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns, HEADER)

    def progress(now: Statistics) -> None:
        if now.done == COUNT:
            growing.unlink()

    request = EncodeRequest(growing, tmp_path / "out.h5", follow=True, background="none")
    assert run(request, engine(), progress).done == COUNT
    assert contents(request.out)["written"].all()


@pytest.mark.parametrize("background", ["none", "running"])
def test_stop_ends_following_and_keeps_what_was_encoded(
    tmp_path: Path, patterns: NDArray[Any], background: str
) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:70], HEADER)
    request = EncodeRequest(growing, tmp_path / "out.h5", True, background=background, idle_timeout_s=LONG_S)
    with encode_scan(request, engine()) as running:
        for now in running:
            if now.done == 70:
                running.stop()
    statistics = running.statistics
    assert (statistics.done, statistics.total) == (70, COUNT)
    assert int(contents(request.out)["written"].sum()) == 70


def test_stop_does_not_wait_for_all_that_is_on_disk(tmp_path: Path, patterns: NDArray[Any]) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:100], HEADER)
    source = FollowingSource(growing)
    first = source.claim(10)
    assert first is not None
    assert len(first) == 10
    source.stop()
    assert source.claim(10) is None


def test_following_needs_a_file_that_grows(nickel: Any, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"\.up1 or \.up2"):
        run(EncodeRequest(nickel.path, tmp_path / "out.h5", follow=True, idle_timeout_s=LONG_S), engine())
