"""Runs that were interrupted and go on: the same, to the last bit, as uninterrupted ones."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encode_runs import (
    COUNT,
    HEADER,
    LONG_S,
    SIG_SHAPE,
    SPEC,
    EndedError,
    assert_same,
    contents,
    engine,
    in_pieces,
    run,
    stopping,
)
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from write_up2 import write_up

from microrun.runtime.encoding.encode_scan import EncodeRequest, encode_scan
from microrun.runtime.errors import LatentsError, RefusedOutputError, ScanError
from microrun.runtime.latents.stored_maps import store_maps
from microrun.runtime.patterns.background import BLOCK
from microrun.runtime.testing import ProjectionEngine


@pytest.mark.parametrize("background", ["auto", "none", "running", "file"])
@pytest.mark.parametrize("after", [1, 70, 150])
def test_a_resumed_run_equals_an_uninterrupted_one(
    scan: Path, tmp_path: Path, background_file: Path, background: str, after: int
) -> None:
    chosen = str(background_file) if background == "file" else background
    out, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    with pytest.raises(EndedError):
        run(EncodeRequest(scan, out, background=chosen), engine(), stopping(after))
    before = int(contents(out)["written"].sum())
    assert after <= before < COUNT
    rest = run(EncodeRequest(scan, out, background=chosen, resume=True), engine(3, 5))
    again = background == "running" and before < BLOCK  # its mean may have been that of fewer patterns
    assert rest.done == rest.total == (COUNT if again else COUNT - before)
    run(EncodeRequest(scan, whole, background=chosen), engine())
    assert_same(out, whole)


@pytest.mark.parametrize("held", [10, 64, 100])
def test_a_followed_run_that_ended_early_is_resumed(
    tmp_path: Path, scan: Path, patterns: NDArray[Any], held: int
) -> None:
    growing, out, whole = tmp_path / "growing.up2", tmp_path / "out.h5", tmp_path / "whole.h5"
    write_up(growing, patterns[:held], HEADER)
    request = EncodeRequest(growing, out, follow=True, idle_timeout_s=0.1)
    assert run(request, engine()).done == held
    in_pieces(growing, patterns[held:]).join(LONG_S)
    run(dataclasses.replace(request, resume=True), engine())
    run(EncodeRequest(scan, whole, background="running"), engine())
    assert_same(out, whole)


@pytest.mark.parametrize(("blank", "held"), [(range(58), 100), (range(40), 70), (range(5, 60), 64), (range(0), 100)])
def test_a_running_mean_that_was_not_known_yet_is_made_anew(
    tmp_path: Path, patterns: NDArray[Any], blank: range, held: int
) -> None:
    """It is that of the first whole blocks with 32 patterns that carry information."""
    dark = patterns.copy()
    dark[blank] = 0
    whole = write_up(tmp_path / "whole.up2", dark, HEADER)
    growing, out = write_up(tmp_path / "growing.up2", dark[:held], HEADER), tmp_path / "out.h5"
    request = EncodeRequest(growing, out, follow=True, idle_timeout_s=0.1)
    assert run(request, engine()).done == held
    write_up(growing, dark, HEADER)
    run(dataclasses.replace(request, resume=True), engine())
    run(EncodeRequest(whole, tmp_path / "whole.h5", background="running"), engine())
    assert_same(out, tmp_path / "whole.h5")


def test_a_run_that_is_left_keeps_its_running_background(scan: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.h5"
    run(EncodeRequest(scan, whole, background="running"), engine())
    expected = contents(whole)["background"]
    with encode_scan(EncodeRequest(scan, tmp_path / "left.h5", background="running"), engine()) as running:
        next(running)
    before = running.statistics
    time.sleep(0.01)
    assert running.statistics == before  # nothing counts on, neither patterns nor seconds
    np.testing.assert_allclose(contents(tmp_path / "left.h5")["background"], expected, rtol=0.1)


def test_a_background_that_cannot_be_read_leaves_the_file_free(
    scan: Path, tmp_path: Path, background_file: Path
) -> None:
    request = EncodeRequest(scan, tmp_path / "out.h5", background=str(background_file))
    run(request, engine())
    for name in ("missing.npy", "missing.up2"):
        with pytest.raises(ScanError, match=name):
            run(dataclasses.replace(request, background=str(tmp_path / name), resume=True), engine())
    assert run(dataclasses.replace(request, resume=True), engine()).done == 0


def test_a_finished_file_is_resumed_to_itself(scan: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    for background in ("auto", "running"):
        for path in (out, whole):
            path.unlink(missing_ok=True)
            run(EncodeRequest(scan, path, background=background), engine())
        assert run(EncodeRequest(scan, out, background=background, resume=True), engine()).done == 0
        assert_same(out, whole)


def test_a_finished_file_and_its_analysis_are_left_as_they_are(
    tmp_path: Path, patterns: NDArray[Any], background_file: Path
) -> None:
    seen = patterns.copy()
    seen[3], seen[9] = 0, 1000  # a blanked beam, and a constant frame: neither has come back
    scan, out = write_up(tmp_path / "scan.up2", seen, HEADER), tmp_path / "out.h5"
    request = EncodeRequest(scan, out, background=str(background_file))
    run(request, engine())
    store_maps(out, "analysis", {"grains": np.zeros((10, 16))}, {})
    before = out.read_bytes(), out.stat().st_mtime_ns
    with encode_scan(dataclasses.replace(request, resume=True), engine()) as running:
        running.stop()
        assert list(running) == [] and running.statistics.total == 0 and not running.discards
    assert (out.read_bytes(), out.stat().st_mtime_ns) == before
    write_up(scan, patterns, HEADER)  # now they have
    run(dataclasses.replace(request, resume=True), engine())
    run(dataclasses.replace(request, out=tmp_path / "whole.h5"), engine())
    assert_same(out, tmp_path / "whole.h5")


def test_resume_starts_a_file_that_is_not_there(scan: Path, tmp_path: Path) -> None:
    assert run(EncodeRequest(scan, tmp_path / "out.h5", resume=True), engine()).done == COUNT


def test_an_existing_file_is_kept_without_resume(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    out.write_text("precious")
    with pytest.raises(RefusedOutputError, match="exists; "):
        run(EncodeRequest(scan, out), engine())
    assert out.read_text() == "precious"


def test_only_the_same_run_is_resumed(
    scan: Path, tmp_path: Path, patterns: NDArray[Any], background_file: Path
) -> None:
    out = tmp_path / "out.h5"
    run(EncodeRequest(scan, out, background=str(background_file)), engine())
    before = contents(out)
    other_scan = write_up(tmp_path / "other.up2", patterns[::-1], HEADER)
    other_file = tmp_path / "other.npy"
    np.save(other_file, np.arange(float(np.prod(SIG_SHAPE))).reshape(SIG_SHAPE))
    other_engine = ProjectionEngine(dataclasses.replace(SPEC, latent_size=5), 2, 7)
    other_engine.info = dataclasses.replace(other_engine.info, sha256="1" * 64)
    request = EncodeRequest(scan, out, background=str(background_file), resume=True)
    for wrong, made, text in (
        (dataclasses.replace(request, scan=other_scan), engine(), "another scan"),
        (dataclasses.replace(request, step_um=9.0), engine(), "another scan geometry"),
        (dataclasses.replace(request, background="none"), engine(), "another background"),
        (dataclasses.replace(request, background=str(other_file)), engine(), "another background"),
        (dataclasses.replace(request, dtype="float16"), engine(), "another latents type"),
        (request, other_engine, "another engine"),
    ):
        with pytest.raises(LatentsError, match=text):
            run(wrong, made)
    assert_array_equal(contents(out)["latents"], before["latents"])
