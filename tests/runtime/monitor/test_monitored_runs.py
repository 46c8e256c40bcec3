"""What a run that is watched leaves in the file of its latents."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from make_models import write_pair
from write_up2 import Header, write_up

from microrun.runtime.encoding.encode_scan import encode_scan
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.encoding.stream import EncodeStream
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.latents import writer
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.watched import STOPPED, WHOLE, WRITING, RunStatus

BLANK = [5, 100, 170]


@pytest.fixture
def patterns() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(1, 200, (180, 60, 60), np.uint8)


def write(path: Path, patterns: np.ndarray) -> Path:
    return write_up(path, patterns, Header(sig_shape=(60, 60), nav_shape=(6, 30)))


def test_going_on_with_a_scan_for_patterns_that_were_blank_keeps_what_was_measured(
    patterns: np.ndarray, tmp_path: Path
) -> None:
    scan, out, whole = tmp_path / "scan.up1", tmp_path / "out.h5", patterns.copy()
    patterns[BLANK] = 0
    write(scan, patterns)
    with open_engine(write_pair(tmp_path), "cpu") as engine:
        with encode_scan(EncodeRequest(scan, out, background="none"), engine) as run:
            list(run)
        with open_latents(out) as latents:
            before = latents.monitor
        scan.unlink()
        write(scan, whole)
        with encode_scan(EncodeRequest(scan, out, background="none", resume=True), engine) as run:
            list(run)
    with open_latents(out) as latents:
        assert not latents.flags.any()
        assert before is not None and latents.monitor is not None and latents.status is not None
        assert before["count"].tolist() == [63, 63, 51]
        assert latents.monitor.tobytes() == before.tobytes()
        assert latents.status.blocks == 3


def test_who_looks_on_never_sees_a_count_without_its_row(
    patterns: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[str] = []
    put = h5py.Dataset.__setitem__

    def noted(data: h5py.Dataset, place: object, value: object) -> None:
        stored.append(data.name)
        put(data, place, value)

    scan = write(tmp_path / "scan.up1", patterns)
    with open_engine(write_pair(tmp_path), "cpu", EngineRequest(lanes=1, batch=48)) as engine:
        monkeypatch.setattr(writer, "FLUSH_S", 1e9)
        with encode_scan(EncodeRequest(scan, tmp_path / "out.h5", background="none"), engine) as run:
            monkeypatch.setattr(h5py.Dataset, "__setitem__", noted)
            list(run)
    assert stored.index("/status") > max(stored.index(name) for name in ("/monitor", "/alarms", "/written"))


def test_a_run_that_goes_on_says_so_while_the_microscope_still_pauses(
    patterns: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, out = write(tmp_path / "scan.up1", patterns), tmp_path / "out.h5"
    told: list[RunStatus | None] = []
    ready = EncodeStream.ready

    def late(stream: EncodeStream, timeout_s: float) -> bool:
        with open_latents(shutil.copy(out, tmp_path / "seen.h5")) as latents:  # as another process sees it
            told.append(latents.status)
        return len(told) > 1 and ready(stream, timeout_s)

    with open_engine(write_pair(tmp_path), "cpu", EngineRequest(lanes=1, batch=48)) as engine:
        with encode_scan(EncodeRequest(scan, out, background="none"), engine) as run:
            next(run)
        monkeypatch.setattr(EncodeStream, "ready", late)
        with encode_scan(EncodeRequest(scan, out, background="none", resume=True), engine) as run:
            list(run)
    assert told[0] is not None and told[1] is not None
    assert (told[0].state, told[1].state) == (STOPPED, WRITING)
    assert told[0].done == told[1].done == 48
    with open_latents(out) as latents:
        assert latents.status is not None and (latents.status.state, latents.status.done) == (WHOLE, 180)


def test_what_is_counted_is_of_the_whole_scan_after_a_run_went_on(patterns: np.ndarray, tmp_path: Path) -> None:
    scan, out = tmp_path / "scan.up1", tmp_path / "out.h5"
    patterns[BLANK] = 0
    write(scan, patterns[:120])
    request = EncodeRequest(scan, out, follow=True, background="none", idle_timeout_s=0.1)
    with open_engine(write_pair(tmp_path), "cpu") as engine:
        for count, there in ((2, 120), (3, 180)):
            scan.unlink()
            write(scan, patterns[:there])
            with encode_scan(replace(request, resume=out.exists()), engine) as run:
                list(run)
            with open_latents(out) as latents:
                assert latents.status is not None and latents.flags.sum() == count
                assert (latents.status.done, latents.status.flagged, latents.status.dropped) == (there, count, 0)


@pytest.mark.parametrize("missing", [20, 0])
def test_what_an_earlier_run_lost_is_not_lost_when_it_is_gone_on_with(
    patterns: np.ndarray, tmp_path: Path, missing: int
) -> None:
    scan, out = write(tmp_path / "scan.up1", patterns[:100]), tmp_path / "out.h5"
    request = EncodeRequest(scan, out, follow=True, background="none", idle_timeout_s=0.1)
    with open_engine(write_pair(tmp_path), "cpu") as engine:
        with encode_scan(request, engine) as run:
            list(run)
        with h5py.File(out, "r+") as file:  # as a source that loses patterns leaves it
            rows = file["status"][()]
            rows["dropped"] = 7
            file["status"][...] = rows
        scan.unlink()
        write(scan, patterns[: 180 - missing])
        with encode_scan(replace(request, resume=True), engine) as run:
            list(run)
    with open_latents(out) as latents:
        assert latents.status is not None and (latents.status.done, latents.status.dropped) == (180 - missing, 0)
