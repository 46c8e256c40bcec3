"""`microrun physics` as users run it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused, run_here
from make_latents import SCANS, make_contents, make_origin, write_contents
from make_models import write_encoder
from scan_files import names_in
from write_ang import write_ang
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.files.extras import install_command
from microrun.runtime.maps.orientations import misorientation_angles
from microrun.runtime.scans.truth import load_truth

SIG_SHAPE = (60, 60)
NAV_SHAPE = (3, 5)
FLAT = 7
LEFT_OUT = "warning: {}: 1 of 15 patterns carries no information; left out of the mean background\n"


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Fifteen patterns of noise, one of them constant."""
    patterns = make_patterns(15, SIG_SHAPE)
    patterns[FLAT] = 1000
    return write_up(tmp_path / "scan.up2", patterns, Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE))


@pytest.fixture
def latents(microrun: Microrun, scan: Path, tmp_path: Path) -> Path:
    encoder = write_encoder(tmp_path / "tiny.onnx")
    assert microrun("encode", scan, "--engine", encoder, "--device", "cpu", "--precision", "f32").code == 0
    return tmp_path / "scan.latents.h5"


def stored(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


def test_maps_of_the_patterns_only(microrun: Microrun, scan: Path) -> None:
    ran = microrun("physics", scan, "--no-index")
    assert (ran.code, ran.err) == (0, LEFT_OUT.format(scan))
    for name in ("scan.physics.h5", "scan.physics.png"):
        assert f"wrote {scan.parent / name} (" in ran.said
    assert names_in(scan.parent) == ["scan.physics.h5", "scan.physics.png", "scan.up2"]
    found = stored(scan.parent / "scan.physics.h5")
    assert set(found) == {"image_quality", "sharpness", "mean_intensity"}
    assert np.isnan(found["sharpness"]).sum() == 1
    assert found["mean_intensity"][1, 2] == 1000


def test_maps_of_orientations_from_a_file(microrun: Microrun, scan: Path, latents: Path, tmp_path: Path) -> None:
    angles = write_ang(tmp_path / "angles.ang", NAV_SHAPE, missing=(4,))
    out = tmp_path / "maps"
    ran = microrun("physics", scan, "--orientations", angles, "--latents", latents, "--folder", out)
    assert (ran.code, ran.err) == (0, LEFT_OUT.format(scan))
    assert "autogenerating" not in ran.out  # orix's own
    assert names_in(out) == ["scan.physics.h5", "scan.physics.png", "scan.poles.png"]
    assert (out / "scan.physics.png").stat().st_size > 50_000
    found = stored(out / "scan.physics.h5")
    assert set(found) == {
        "image_quality", "sharpness", "mean_intensity", "rotations", "colours", "grains", "kam_deg", "grod_deg",
    }  # fmt: skip
    assert (found["grains"] == -1).sum() == 1 == np.isnan(found["grod_deg"]).sum()
    assert found["grains"].max() == 13  # random orientations are grains of one point
    assert np.isnan(found["colours"][0, 4]).all()


def test_maps_of_indexed_orientations(microrun: Microrun, simulated_scan: Path, tmp_path: Path) -> None:
    ran = microrun("physics", simulated_scan, "--folder", tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert "indexed" in ran.said and "% of the patterns" in ran.said
    truth, found = load_truth(simulated_scan), stored(tmp_path / "random.physics.h5")
    assert truth is not None
    assert np.median(misorientation_angles(found["rotations"], truth.rotations, "fcc")) < 0.5


def test_physics_does_not_overwrite_unasked(microrun: Microrun, scan: Path) -> None:
    store = scan.parent / "scan.physics.h5"
    store.write_bytes(b"precious")
    check_refused(microrun("physics", scan, "--no-index"), store, "--overwrite")
    assert store.read_bytes() == b"precious"
    assert microrun("physics", scan, "--no-index", "--overwrite").code == 0
    assert len(stored(store)) == 3


def test_what_has_no_conventional_maps(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    angles = write_ang(tmp_path / "angles.ang", (5, 3))
    right = write_ang(tmp_path / "right.ang", NAV_SHAPE)
    other = write_contents(tmp_path / "other.h5", make_origin(SCANS["square"]), make_contents(SCANS["square"]))
    phase = "phase 'sigma' cannot be indexed; it must be one of fcc, bcc, diamond, hcp, or hcp:C/A"
    for options, said in (
        (["--orientations", angles], "is a map of 5×3"),
        (["--orientations", tmp_path / "none.ang"], "none.ang"),
        (["--orientations", scan], "orix cannot read it"),
        (["--orientations", right, "--phase", "sigma"], phase),
        (["--phase", "sigma", "--pc", "0.5,0.7,0.6"], phase),
        (["--pc", "0.5,0.7"], "a pattern centre is written X,Y,Z"),
        (["--pc", "here"], "a pattern centre is written X,Y,Z"),
        (["--pc", "50,70,60"], "shares of the detector's side"),
        (["--pc", "nan,0.7,0.6"], "shares of the detector's side"),
        (["--no-index", "--latents", other], "is of a map of"),
        (["--no-index", "--latents", tmp_path / "none.h5"], "none.h5"),
        (["--no-index", "--background", tmp_path / "none.npy"], "none.npy"),
        (["--no-index", "--grid", "15"], "ROWSxCOLS"),
        (["--no-index", "--tilt", "60"], "--tilt: no patterns are indexed here"),
        (["--orientations", right, "--pc", "0.5,0.7,0.6", "--elevation", "5"], "--pc, --elevation: no patterns are"),
    ):
        check_refused(microrun("physics", scan, *options), said)
        assert names_in(tmp_path, "scan.physics*") == []
    check_refused(microrun("physics", tmp_path / "none.up2"), "none.up2")
    check_refused(microrun("physics", scan, "--no-index", "--folder", tmp_path / "maps.png"), "the name of a picture")


def test_latents_of_another_scan_of_the_same_size_are_refused(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    engine, latents = write_encoder(tmp_path / "encoder.onnx"), tmp_path / "other.latents.h5"
    content = bytearray(scan.read_bytes())
    half = 42 + (len(content) - 42) // 2
    content[half : half + 4000] = bytes(range(200)) * 20  # one of its patterns is another
    other = tmp_path / "other.up2"
    other.write_bytes(content)
    assert microrun("encode", other, "--engine", engine, "--out", latents, "--background", "none").code == 0
    said = "is of another scan than"
    check_refused(microrun("physics", scan, "--no-index", "--latents", latents), said)
    assert microrun("physics", other, "--no-index", "--latents", latents).code == 0


def test_a_library_that_is_missing(microrun: Microrun, scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyebsdindex"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyebsdindex", None)  # type: ignore[arg-type]
    ran = microrun("physics", "--pc", "0.5,0.7,0.6", scan)
    check_refused(ran, "error: pyebsdindex", f"is not installed; {install_command('judge')}")
    assert names_in(scan.parent) == ["scan.up2"]


def test_a_scan_that_cannot_be_read_is_not_told_as_a_file_that_cannot_be_written(
    microrun: Microrun, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> NoReturn:
        raise OSError(5, "Input/output error", str(scan))

    monkeypatch.setattr("microrun.cli.physics.map_patterns", broken)
    check_refused(microrun("physics", scan, "--no-index"), f"error: {scan}: Input/output error", code=1)
    assert [path.name for path in scan.parent.iterdir()] == [scan.name]
