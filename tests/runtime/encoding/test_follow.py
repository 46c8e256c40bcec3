"""Scans that are encoded while they grow: the same as offline, and what is on disk when they end."""

from __future__ import annotations

import dataclasses
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
from microrun.runtime.scans.following_source import FollowingSource
from microrun.runtime.scans.up2 import ScanWarning


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


@pytest.mark.parametrize("background", ["none", "running"])
def test_room_that_is_taken_before_it_is_filled_is_not_encoded(
    scan: Path, tmp_path: Path, patterns: NDArray[Any], background: str
) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:100], HEADER)
    os.truncate(growing, scan.stat().st_size)
    request = EncodeRequest(growing, tmp_path / "out.h5", True, background=background, idle_timeout_s=0.2)
    assert run(request, engine()).done == 100
    growing.write_bytes(scan.read_bytes())
    run(dataclasses.replace(request, resume=True), engine())
    run(EncodeRequest(scan, tmp_path / "whole.h5", background=background), engine())
    assert_same(request.out, tmp_path / "whole.h5")


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("background", ["none", "running"])
def test_what_was_encoded_of_blank_patterns_is_encoded_again_by_resume(
    scan: Path, tmp_path: Path, patterns: NDArray[Any], background: str, follow: bool
) -> None:
    dark = patterns.copy()
    dark[20:30], dark[90] = 0, 0
    growing = write_up(tmp_path / "growing.up2", dark, HEADER)
    request = EncodeRequest(growing, tmp_path / "out.h5", follow, background=background, idle_timeout_s=0.2)
    assert run(request, engine()).flagged == 11
    assert contents(request.out)["flags"].sum() == 11
    growing.write_bytes(scan.read_bytes())
    after = run(dataclasses.replace(request, resume=True), engine())
    assert (after.flagged, after.done) == (0, 0)
    found = contents(request.out)
    assert not found["flags"].any() and found["written"].all()
    if background == "none":
        run(EncodeRequest(scan, tmp_path / "whole.h5", background="none"), engine())
        assert_same(request.out, tmp_path / "whole.h5")


def test_blank_patterns_that_are_filled_while_the_scan_grows_are_encoded_again(
    scan: Path, tmp_path: Path, patterns: NDArray[Any]
) -> None:
    dark = patterns.copy()
    dark[20:30] = 0
    growing = write_up(tmp_path / "growing.up2", dark, HEADER)
    request = EncodeRequest(growing, tmp_path / "out.h5", True, background="none", idle_timeout_s=LONG_S)

    def fill(now: Statistics) -> None:
        if now.done == COUNT:
            with growing.open("r+b") as file:
                file.write(scan.read_bytes())

    after = run(request, engine(), fill)
    assert (after.done, after.flagged) == (COUNT, 0)
    run(EncodeRequest(scan, tmp_path / "whole.h5", background="none"), engine())
    assert_same(request.out, tmp_path / "whole.h5")


def test_a_grid_that_is_too_small_is_told_at_the_end_and_what_it_takes_is_kept(
    scan: Path, tmp_path: Path, patterns: NDArray[Any]
) -> None:
    small = dataclasses.replace(HEADER, nav_shape=(5, 16))
    growing = write_up(tmp_path / "growing.up2", patterns, small)
    request = EncodeRequest(growing, tmp_path / "out.h5", True, background="none", idle_timeout_s=LONG_S)
    with pytest.raises(ScanError, match="holds 160 patterns, and a grid of 5×16 takes 80"):
        run(request, engine())
    assert contents(request.out)["written"].all()


@pytest.mark.parametrize("background", ["none", "running"])
def test_a_hexagonal_scan_whose_rows_turn_out_equally_long_lies_where_it_does_offline(
    tmp_path: Path, patterns: NDArray[Any], background: str
) -> None:
    hexagonal = dataclasses.replace(HEADER, hexagonal=1)  # without the flag for rows that are equally long
    whole = write_up(tmp_path / "whole.up2", patterns, hexagonal)
    run(EncodeRequest(whole, tmp_path / "offline.h5", background=background), engine())
    growing = write_up(tmp_path / "growing.up2", patterns[:100], hexagonal)
    request = EncodeRequest(growing, tmp_path / "live.h5", True, background=background, idle_timeout_s=LONG_S)

    def grow(now: Statistics) -> None:
        if now.done == 100:  # all that is there; lanes wait for more
            growing.write_bytes(whole.read_bytes())

    with pytest.warns(ScanWarning, match="all rows of the hexagonal grid of 10×16 are equally long"):
        assert run(request, engine(), grow).done == COUNT
    assert_same(request.out, tmp_path / "offline.h5")
    with open_latents(request.out) as live, open_latents(tmp_path / "offline.h5") as offline:
        assert live.origin.scan == offline.origin.scan and (live.probes == offline.probes).all()


def test_a_finished_file_is_left_as_it_is_by_following_on(scan: Path, tmp_path: Path) -> None:
    request = EncodeRequest(scan, tmp_path / "out.h5", follow=True, idle_timeout_s=0.1)
    run(request, engine())
    before = request.out.read_bytes(), request.out.stat().st_mtime_ns
    after = run(dataclasses.replace(request, resume=True), engine())
    assert (after.done, after.total) == (0, 0)
    assert (request.out.read_bytes(), request.out.stat().st_mtime_ns) == before
