"""Where the pattern centre comes from, in all commands that index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scan_files import copy_with_truth
from write_up2 import Header, make_patterns, write_up

from microrun.cli import pattern_centre
from microrun.cli.pattern_centre import USUAL_CENTRE, GeometryRequest, find_geometry, parse_centre
from microrun.runtime.errors import ScanError
from microrun.runtime.maps.indexing import Geometry, crop_centre
from microrun.runtime.scans.open import open_scan
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.scans.up_source import FileSource

ASKED = GeometryRequest(None, "fcc", 70.0)
OIM = """\
# x-star 0.1
# y-star 0.2
# z-star 0.3
# SampleTiltAngle 65.0
# CameraElevationAngle 10.0
# CameraAzimuthalAngle -2.5
# WorkingDistance 15.0
# Phase 1
# MaterialName Iron
# Symmetry 43
# hklFamilies 1 1 0 1 5.0 1
# hklFamilies 2 0 0 1 4.0 1
"""


@pytest.fixture
def random_scan(simulated_scan: Path, tmp_path: Path) -> Path:
    """A copy of the simulated scan and its truth, to be changed."""
    return copy_with_truth(simulated_scan, tmp_path)


def test_what_is_asked_for_comes_first(random_scan: Path) -> None:
    asked = GeometryRequest("0.1,0.2,0.3", "bcc", 60.0)
    assert find_geometry(FileSource(random_scan), "auto", asked) == Geometry((0.1, 0.2, 0.3), "bcc", 60.0)


def test_the_truth_comes_before_other_files(random_scan: Path) -> None:
    random_scan.with_suffix(".ang").write_text("# x-star 0.1\n# y-star 0.2\n# z-star 0.3\n")
    found = find_geometry(FileSource(random_scan), "auto", GeometryRequest())
    assert found == Geometry((0.42, 0.79, 0.50), "fcc", 70.0)


def test_each_value_is_of_the_first_who_states_it(random_scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_scan.with_suffix(".ang").write_text(OIM)
    found = find_geometry(FileSource(random_scan), "auto", GeometryRequest(None, None, None, 3.0))
    assert found == Geometry((0.42, 0.79, 0.50), "fcc", 70.0, 3.0, working_distance_mm=15.0)  # not the .ang's azimuth
    said = capsys.readouterr().out
    for line in (
        "pc 0.4200,0.7900,0.5000 from random.truth.npz (EDAX's convention)", "phase fcc from random.truth.npz",
        "tilt 70° from random.truth.npz", "elevation 3° as asked", "distance 15 mm from random.ang",
    ):  # fmt: skip
        assert line in " ".join(said.split())


def test_all_that_the_ang_states_is_used(random_scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_scan.with_suffix(".truth.npz").unlink()
    random_scan.with_suffix(".ang").write_text(OIM)
    found = find_geometry(FileSource(random_scan), "auto", GeometryRequest())
    assert found == Geometry((0.1, 0.2, 0.3), "bcc", 65.0, 10.0, -2.5, working_distance_mm=15.0)
    assert "azimuth -2.5° from random.ang" in " ".join(capsys.readouterr().out.split())


def test_all_can_be_given(random_scan: Path) -> None:
    asked = GeometryRequest("0.4,0.5,0.6", "diamond", 60.0, 0.0)
    found = find_geometry(FileSource(random_scan), "auto", asked)
    assert found == Geometry((0.4, 0.5, 0.6), "diamond", 60.0, 0.0)
    names = ("pattern_centre", "phase", "sample_tilt", "camera_tilt")
    assert {found.sources[name] for name in names} == {"as asked"}


def test_what_is_assumed_is_said(random_scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_scan.with_suffix(".truth.npz").unlink()
    random_scan.with_suffix(".ang").write_text("# Phase 1\n# MaterialName Tungsten\n# Symmetry 43\n")
    find_geometry(FileSource(random_scan), "auto", GeometryRequest("0.4,0.5,0.6"))
    said = " ".join(capsys.readouterr().out.split())
    assert "phase fcc assumed for Tungsten: no file states its structure; give --phase" in said
    assert "tilt 70° assumed: no file states it" in said


def test_a_phase_that_cannot_be_indexed_is_refused_unless_asked_otherwise(random_scan: Path) -> None:
    random_scan.with_suffix(".truth.npz").unlink()
    random_scan.with_suffix(".ang").write_text("# Phase 1\n# MaterialName Titanium\n# Symmetry 62\n")
    with pytest.raises(ScanError, match=r"its phase is Titanium, symmetry 62 \(from random\.ang\)") as caught:
        find_geometry(FileSource(random_scan), "auto", GeometryRequest())
    assert "give --phase, else --orientations" in str(caught.value)
    assert find_geometry(FileSource(random_scan), "auto", GeometryRequest("0.4,0.5,0.6", "fcc")).phase == "fcc"


@pytest.mark.parametrize("angles", [(100.0, 0.0), (70.0, -91.0), (float("nan"), 0.0)])
def test_angles_that_make_no_sense(random_scan: Path, angles: tuple[float, float]) -> None:
    with pytest.raises(ScanError, match="must be between −90° and 90°"):
        find_geometry(FileSource(random_scan), "auto", GeometryRequest(None, None, *angles))


def test_a_file_that_kikuchipy_reads_states_its_own(nickel: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("kikuchipy")
    found = find_geometry(open_scan(nickel.path), "auto", GeometryRequest())
    assert found.pattern_centre == pytest.approx((0.425, 0.787, 0.501), abs=1e-3)
    assert (found.phase, found.sample_tilt, found.camera_tilt) == ("fcc", 70.0, 0.0)
    assert found.working_distance_mm == 24.7
    assert "from nickel_ebsd_small.h5" in capsys.readouterr().out


def test_the_companion_file_comes_before_a_fit(random_scan: Path) -> None:
    random_scan.with_suffix(".truth.npz").unlink()
    random_scan.with_suffix(".ang").write_text("# x-star 0.1\n# y-star 0.2\n# z-star 0.3\n")
    found = find_geometry(FileSource(random_scan), "auto", GeometryRequest(None, "fcc", 70.0))
    assert found == Geometry((0.1, 0.2, 0.3), "fcc", 70.0)


def test_without_any_word_the_centre_is_fitted(
    random_scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kikuchipy = pytest.importorskip("kikuchipy")
    random_scan.with_suffix(".truth.npz").unlink()
    fitted: list[Any] = []

    def optimise(signal: Any, start: Any, indexer: Any, batch: bool) -> Any:
        """Find the same at once, whatever the patterns: the search takes a minute."""
        fitted.append((signal.data.shape, signal.data.min(), signal.data.max(), indexer.sampleTilt, start))
        return kikuchipy.detectors.EBSDDetector((120, 120), pc=crop_centre((0.43, 0.78, 0.51), (120, 120)))

    monkeypatch.setattr(kikuchipy.signals.EBSD, "hough_indexing_optimize_pc", optimise)
    found = find_geometry(FileSource(random_scan), "auto", GeometryRequest(None, "fcc", 65.0))
    assert found.pattern_centre == pytest.approx((0.43, 0.78, 0.51))
    assert (found.phase, found.sample_tilt) == ("fcc", 65.0)
    assert fitted[0] == ((24, 120, 120), -1, 1, 65.0, crop_centre(USUAL_CENTRE, (120, 120)))
    assert found.sources["pattern_centre"].startswith("fitted")
    assert "0.4300,0.7800,0.5100 fitted; give it as --pc next time" in capsys.readouterr().out


def test_blank_frames_are_not_fitted_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = make_patterns(60, (120, 120))
    patterns[10:] = 0
    header = Header(sig_shape=(120, 120), nav_shape=(6, 10))
    fitted: list[int] = []

    def fit(patterns: Any, geometry: Geometry, sig_shape: tuple[int, int]) -> tuple[float, float, float]:
        fitted.append(len(patterns))
        return 0.5, 0.5, 0.5

    monkeypatch.setattr(pattern_centre, "fit_pattern_centre", fit)
    with pytest.warns(ScanWarning, match=r"carry no information; left out of the fit of the pattern centre"):
        find_geometry(FileSource(write_up(tmp_path / "a.up2", patterns, header)), "auto", ASKED)
    assert fitted == [10]
    patterns[:10] = 65535
    blank = FileSource(write_up(tmp_path / "b.up2", patterns, header))
    with pytest.warns(ScanWarning), pytest.raises(ScanError, match=r"b\.up2: no pattern carries information"):
        find_geometry(blank, "auto", ASKED)


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "a,b,c", "0.5;0.7;0.6", "5,0.5,0.5", "0.5,0.5,0", "inf,0,1"])
def test_centres_that_make_no_sense(text: str) -> None:
    with pytest.raises(ScanError, match="a pattern centre is"):
        parse_centre(text)
