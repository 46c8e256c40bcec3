"""`--scan-name`, and files with fewer patterns than they promise, as users run them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun, check_refused, run_here
from make_models import write_encoder
from vendor_files import write_h5oina
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.latents.reader import open_latents

pytest.importorskip("kikuchipy")
SIG_SHAPE = (60, 60)


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


def test_one_of_two_scans_is_encoded_by_its_name(microrun: Microrun, tmp_path: Path) -> None:
    one, other = (make_patterns(6, SIG_SHAPE, seed=seed) for seed in (0, 1))
    two = write_h5oina(tmp_path / "two.h5oina", (2, 3), {"Area 1": one, "Area 2": other})
    alone = write_up(tmp_path / "other.up2", other, Header(sig_shape=SIG_SHAPE, nav_shape=(2, 3)))
    options = ("--engine", write_encoder(tmp_path / "tiny.onnx"), "--device", "cpu", "--precision", "f32")
    check_refused(microrun("encode", two, *options), "two.h5oina: holds 2 scans, 'Area 1', 'Area 2'; say which")
    check_refused(microrun("physics", two, "--no-index"), "'Area 1', 'Area 2'; say which with --scan-name")
    said = microrun("inspect", two)
    assert said.code == 0 and "Area 1, Area 2" in said.said
    ran = microrun("encode", two, *options, "--scan-name", "Area 2")
    assert (ran.code, ran.err) == (0, "")
    assert microrun("encode", alone, *options).code == 0
    with open_latents(tmp_path / "two.latents.h5") as found, open_latents(tmp_path / "other.latents.h5") as expected:
        np.testing.assert_array_equal(found.latents, expected.latents)
    check_refused(microrun("encode", alone, *options, "--out", tmp_path / "b.h5", "--scan-name", "1"), "leave out")


def test_an_unfinished_file_of_another_vendor_is_encoded_as_far_as_it_goes(microrun: Microrun, tmp_path: Path) -> None:
    path = write_h5oina(tmp_path / "a.h5oina", (2, 3), {"1": make_patterns(4, SIG_SHAPE)})
    options = ("--engine", write_encoder(tmp_path / "tiny.onnx"), "--device", "cpu", "--precision", "f32")
    ran = microrun("encode", path, *options)
    assert (ran.code, ran.err) == (0, f"warning: {path}: holds 4 of the 6 patterns that it promises\n")
    assert "4 of 6 patterns of 60×60" in ran.said
    with open_latents(tmp_path / "a.latents.h5") as latents:
        assert latents.written.ravel().tolist() == [True] * 4 + [False] * 2
        assert not latents.flags.any()


def test_int8_is_calibrated_on_one_of_two_scans(microrun: Microrun, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from microrun.cli.export import _calibration

    one, other = (make_patterns(6, SIG_SHAPE, seed=seed) for seed in (0, 1))
    two = write_h5oina(tmp_path / "two.h5oina", (2, 3), {"Area 1": one, "Area 2": other})
    alone = write_up(tmp_path / "one.up2", one, Header(sig_shape=SIG_SHAPE, nav_shape=(2, 3)))
    options = ("export", "vae32", "--precision", "int8", "--out", tmp_path / "a.onnx")
    check_refused(microrun(*options, "--calibrate", two), "'Area 1', 'Area 2'; say which with --scan-name")
    plan = (*options[:-1], tmp_path / "a.plan")
    check_refused(microrun(*plan, "--calibrate", two, "--scan-name", "Area 2"), "ends in .onnx")
    check_refused(microrun(*options, "--scan-name", "Area 2"), "--scan-name are for int8")
    request = _calibration(two, alone, "auto", "Area 2")
    assert request is not None and request.held_out is not None
    for source, patterns in ((request.calibrate, other), (request.held_out, one)):
        found = np.empty((6, *SIG_SHAPE), source.scan.dtype)
        source.read_patterns(np.arange(6), found)
        np.testing.assert_array_equal(found, patterns)
