"""`microrun simulate scan` as users run it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun, check_refused, run_here
from numpy.testing import assert_allclose
from scan_files import names_in, read_patterns
from write_ang import random_angles, write_ang
from write_sht import make_coefficients, write_sht

from microrun.runtime.scans.truth import load_truth
from microrun.runtime.scans.up_source import FileSource

SMALL = ("--grid", "3x4", "--grains", "2", "--detector", "60")


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


def test_a_scan_is_simulated(microrun: Microrun, tmp_path: Path) -> None:
    options = ("--particles", "3", "--seed", "5", "--step", "0.25", "--pc", "0.5,0.6,0.7")
    ran = microrun("simulate", "scan", tmp_path / "a.up2", *SMALL, *options)
    assert (ran.code, ran.err) == (0, "")
    assert f"wrote {tmp_path / 'a.up2'} (86.4 kB), its truth in a.truth.npz" in ran.said
    scan, truth = FileSource(tmp_path / "a.up2").scan, load_truth(tmp_path / "a.up2")
    assert (scan.nav_shape, scan.sig_shape, scan.step_um) == ((3, 4), (60, 60), (0.25, 0.25))
    assert truth is not None
    assert (truth.pattern_centre, truth.sample_tilt) == ((0.5, 0.6, 0.7), 70)
    assert (truth.phase == 1).any()
    assert names_in(tmp_path) == ["a.truth.npz", "a.up2"]


def test_the_same_seed_gives_the_same_scan(microrun: Microrun, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert microrun("simulate", "scan", tmp_path / f"{name}.up2", *SMALL, "--seed", seed).code == 0
    one, again, other = ((tmp_path / f"{name}.up2").read_bytes() for name in "abc")
    assert one == again != other


def test_noise_does_not_change_the_brightness(microrun: Microrun, tmp_path: Path) -> None:
    patterns = {}
    for noise in ("low", "high"):
        path = tmp_path / f"{noise}.up2"
        assert microrun("simulate", "scan", path, "--grid", "1x1", "--detector", "60", "--noise", noise).code == 0
        patterns[noise] = read_patterns(path)[0].astype(float)
    assert patterns["low"].mean() == pytest.approx(patterns["high"].mean(), rel=0.01)
    roughness = {noise: np.diff(pattern, axis=1).std() for noise, pattern in patterns.items()}
    assert roughness["high"] > 1.1 * roughness["low"]


def test_a_map_of_orientations_is_simulated(microrun: Microrun, tmp_path: Path) -> None:
    angles = write_ang(tmp_path / "angles.ang", (2, 3))
    assert microrun("simulate", "scan", tmp_path / "a.up2", "--orientations", angles, "--detector", "60").code == 0
    truth = load_truth(tmp_path / "a.up2")
    assert truth is not None
    assert truth.rotations.shape == (2, 3, 4)
    a, b, c = random_angles(6).T
    assert_allclose(np.abs(truth.rotations[..., 0].ravel()), np.abs(np.cos(b / 2) * np.cos((a + c) / 2)), atol=1e-5)


def test_what_cannot_be_simulated(microrun: Microrun, tmp_path: Path) -> None:
    missing = write_ang(tmp_path / "missing.ang", (2, 3), missing=(1, 2))
    out = tmp_path / "a.up2"
    for options, said in (
        (["--grid", "12"], "ROWSxCOLS"),
        (["--grid", "0x3"], "ROWSxCOLS"),
        (["--orientations", missing], "2 of its points are not indexed"),
        (["--orientations", tmp_path / "none.ang"], "none.ang"),
        (["--pc", "0.5"], "a pattern centre is written X,Y,Z"),
        (["--noise", "none"], "--noise"),
        (["--detector", "30"], "--detector"),
        (["--grains", "0"], "--grains"),
        (["--seed", "-1"], "--seed"),
        (["--grid", "2x2", "--step", "nan"], "steps must be finite"),
    ):
        check_refused(microrun("simulate", "scan", out, *options), said)
    for name in ("a.up1", "a.h5", "a"):
        check_refused(microrun("simulate", "scan", tmp_path / name), "expected a name that ends in .up2")
    check_refused(microrun("simulate", "scan", tmp_path / "no" / "a.up2", *SMALL), "there is no folder")
    assert names_in(tmp_path) == ["missing.ang"]


def test_simulate_does_not_overwrite_unasked(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "a.up2"
    out.write_bytes(b"precious")
    check_refused(microrun("simulate", "scan", out, *SMALL), out, "--overwrite")
    assert out.read_bytes() == b"precious"
    assert microrun("simulate", "scan", out, *SMALL, "--overwrite").code == 0
    assert len(read_patterns(out)) == 12


def test_another_phase_is_simulated_and_indexed_as_what_it_is(
    microrun: Microrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_coefficients(40, 4, 7)
    write_sht(tmp_path / "Fe.sht", made, name="alpha-iron", formula="Fe", structure="A2", group=229, kev=15)
    monkeypatch.setenv("MICRORUN_MASTERS", str(tmp_path))
    scan = tmp_path / "iron.up2"
    ran = microrun("simulate", "scan", scan, "--phase", "ferrite", "--kv", 15, "--grid", "2x3", "--detector", 60)
    assert ran.code == 0 and "of alpha-iron at 15 kV, master pattern: Fe.sht" in ran.said, ran
    assert load_truth(scan).structure == "bcc"  # type: ignore[union-attr]
    other = tmp_path / "other.up2"
    again = ("simulate", "scan", other, "--master", tmp_path / "Fe.sht", "--grid", "2x3", "--detector", 60)
    assert microrun(*again).code == 0
    assert scan.read_bytes() == other.read_bytes()
    check_refused(microrun(*again, "--overwrite", "--phase", "Ni"), "Fe.sht: is of alpha-iron (Fe); Ni is asked for")
    check_refused(microrun(*again, "--overwrite", "--kv", 20), "is of 15 kV; 20 kV is asked for")


def test_nickel_is_the_same_asked_for_or_not(
    microrun: Microrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MICRORUN_MASTERS", raising=False)
    one, other = tmp_path / "one.up2", tmp_path / "other.up2"
    assert microrun("simulate", "scan", one, *SMALL).code == 0
    assert microrun("simulate", "scan", other, *SMALL, "--phase", "nickel", "--kv", 20).code == 0
    assert one.read_bytes() == other.read_bytes()
