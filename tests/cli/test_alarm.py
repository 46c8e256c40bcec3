"""`microrun encode` says what changes in a scan, and the file keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import Microrun
from make_models import write_pair
from write_up2 import Header, write_up

from microrun.runtime.encoding.encode_scan import EncodeRun, encode_scan
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.engines.engine import Engine, EngineRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.watched import STOPPED, WHOLE
from microrun.runtime.monitor import watch

SHAPE, FADES = (26, 64), 1000  # number of the pattern from which on the beam current is lower


@pytest.fixture(scope="module")
def fading(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patterns of 60×60 of an 8-bit camera whose brightness falls by a third."""
    rng = np.random.default_rng(0)
    y, x = np.indices((60, 60)) / 60
    few = np.stack([np.sin(30 * (x * np.cos(a) + y * np.sin(a))) for a in rng.uniform(0, np.pi, 16)])
    levels = np.where(np.arange(SHAPE[0] * SHAPE[1]) < FADES, 200, 134)
    patterns = levels[:, None, None] * (0.8 + 0.1 * few[rng.integers(0, 16, len(levels))])
    patterns += 4 * rng.standard_normal(patterns.shape, np.float32)
    path = tmp_path_factory.mktemp("fading") / "fading.up1"
    return write_up(path, patterns.round().astype(np.uint8), Header(sig_shape=(60, 60), nav_shape=SHAPE))


@pytest.fixture(autouse=True)
def _learns_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_PATTERNS", 640)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    model = write_pair(tmp_path_factory.mktemp("tiny"))
    with open_engine(model, "cpu", EngineRequest("f32", lanes=1, batch=48)) as opened:
        yield opened


def run_to(run: EncodeRun, patterns: int) -> None:
    for now in run:
        if now.done >= patterns:
            run.stop()


def test_a_falling_beam_current_is_said_kept_and_shown(microrun: Microrun, fading: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    ran = microrun("encode", fading, "--engine", write_pair(tmp_path), "--background", "none", "--out", out)
    assert ran.code == 0
    with open_latents(out) as latents:
        alarms, status, blocks = latents.alarms, latents.status, latents.monitor
    assert alarms is not None and status is not None and blocks is not None
    (alarm,) = (alarm for alarm in alarms if alarm.what == "mean")
    assert FADES <= alarm.start < FADES + 256
    assert alarm.change == pytest.approx(-0.33, abs=0.04)  # a moving average lags
    assert f"since row {alarm.start // 64}: beam current, or a shadow?" in alarm.text
    assert ran.err.count("alarm: brightness −") == 1
    assert f"alarms   1, at the end: {alarm.text}" in ran.out
    assert (status.state, status.done, status.blocks, len(blocks)) == (WHOLE, 1664, 26, 26)
    assert blocks["count"].sum() == 1664
    assert alarm.text in microrun("inspect", out).said
    told = json.loads(microrun("inspect", out, "--json").out)["alarms"]
    assert told[0]["start"] == alarm.start and told[0]["end"] is None


def test_a_run_that_was_stopped_and_gone_on_with_says_the_same(engine: Engine, fading: Path, tmp_path: Path) -> None:
    request = EncodeRequest(fading, tmp_path / "whole.h5", background="none")
    with encode_scan(request, engine) as run:
        run_to(run, 10**9)
    with open_latents(request.out) as latents:
        expected, rows = latents.alarms, latents.monitor
    out = tmp_path / "twice.h5"
    with encode_scan(EncodeRequest(fading, out, background="none"), engine) as run:
        run_to(run, 1248)  # in the midst of a block
    with open_latents(out) as latents:
        assert latents.status is not None and latents.status.state == STOPPED
    with encode_scan(EncodeRequest(fading, out, resume=True), engine) as run:
        run_to(run, 10**9)
        assert expected is not None and [alarm.text for alarm in run.alarms] == [alarm.text for alarm in expected]
    with open_latents(out) as latents:
        assert latents.alarms == expected
        assert latents.status is not None and latents.monitor is not None and rows is not None
        assert (latents.status.state, latents.status.blocks, len(latents.monitor)) == (WHOLE, 26, 26)
        assert (latents.monitor["mean"] != rows["mean"]).sum() <= 1  # of the block in which the run was stopped


def test_a_file_from_before_has_no_monitor_and_is_read_all_the_same(
    microrun: Microrun, engine: Engine, fading: Path, tmp_path: Path
) -> None:
    out = tmp_path / "older.h5"
    with encode_scan(EncodeRequest(fading, out, background="none"), engine) as run:
        run_to(run, 480)
    with h5py.File(out, "r+") as file:
        for name in ("monitor", "alarms", "status"):
            del file[name]
    with open_latents(out) as latents:
        assert latents.monitor is latents.alarms is latents.status is None
    assert "alarms" not in microrun("inspect", out).said
    with encode_scan(EncodeRequest(fading, out, resume=True), engine) as run:
        run_to(run, 10**9)
    with open_latents(out) as latents:
        assert latents.status is not None and latents.status.state == WHOLE
