"""What files state of the geometry: .ang files as OIM writes them, the truth, and all that kikuchipy reads."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scan_files import copy_with_truth

from microrun.runtime.scans.ang import read_ang_header
from microrun.runtime.scans.stated import StatedGeometry, state_ang, state_beside, state_signal
from microrun.runtime.scans.up2 import ScanWarning

OIM = """\
# HEADER: Start
# TEM_PIXperUM          1.000000
# x-star                0.420000
# y-star                0.790000
# z-star                0.500000
# SampleTiltAngle       65.000000
# CameraElevationAngle  10.000000
# CameraAzimuthalAngle  -2.500000
# WorkingDistance       15.000000
#
# Phase 1
# MaterialName  \tNickel
# Formula     \tNi
# Symmetry              43
# LatticeConstants      3.520 3.520 3.520  90.000  90.000  90.000
# NumberFamilies        3
# hklFamilies   \t 1  1  1 1 8.469246 1
# hklFamilies   \t 2  0  0 1 6.185964 1
# hklFamilies   \t 2  2  0 1 3.450512 1
"""


def state(tmp_path: Path, text: str) -> StatedGeometry:
    (tmp_path / "a.ang").write_text(text)
    return state_ang(read_ang_header(tmp_path / "a.ang"))


def test_all_that_oim_states(tmp_path: Path) -> None:
    assert state(tmp_path, OIM) == StatedGeometry(
        "a.ang", (0.42, 0.79, 0.5), 65.0, 10.0, -2.5, phase="fcc", material="Nickel", working_distance_mm=15.0
    )


def test_zeros_of_programs_that_know_nothing_are_no_statement(tmp_path: Path) -> None:
    zeros = [f"# {name} 0.000000\n" for name in ("x-star", "y-star", "z-star", "SampleTiltAngle", "WorkingDistance")]
    assert state(tmp_path, "".join(zeros)) == StatedGeometry("a.ang")
    untilted = state(tmp_path, "# x-star 0.5\n# y-star 0.5\n# z-star 0.7\n# SampleTiltAngle 0\n")
    assert untilted.sample_tilt == 0


@pytest.mark.parametrize(
    ("symmetry", "families", "phase"),
    [
        ("43", ["1 1 1", "2 0 0", "2 2 0"], "fcc"),
        ("43", ["-1 1 -1", "0 0 2", "3 1 1"], "fcc"),
        ("43", ["1 1 0", "2 0 0", "2 1 1"], "bcc"),
        ("43", ["1 1 1", "2 2 0", "4 0 0", "3 1 1"], "diamond"),
        ("43", ["1 0 0", "1 1 0", "1 1 1"], None),  # primitive
        ("43", ["1 1 1"], None),
        ("43", [], None),
        ("62", ["1 0 0", "0 0 2"], "Some metal, symmetry 62"),
    ],
)
def test_the_structure_follows_from_the_planes_that_reflect(
    tmp_path: Path, symmetry: str, families: list[str], phase: str | None
) -> None:
    lines = "".join(f"# hklFamilies   \t {family} 1 5.0 1\n" for family in families)
    found = state(tmp_path, f"# Phase 1\n# MaterialName \tSome metal\n# Symmetry {symmetry}\n{lines}")
    assert (found.phase, found.material) == (phase, "Some metal")


def test_of_several_phases_the_first_is_named(tmp_path: Path) -> None:
    found = state(tmp_path, OIM + "# Phase 2\n# MaterialName Titanium\n# Symmetry 62\n")
    assert (found.phase, found.material) == ("fcc", "Nickel, the first of 2 phases")


def test_the_truth_comes_before_the_ang(simulated_scan: Path, tmp_path: Path) -> None:
    scan = copy_with_truth(simulated_scan, tmp_path)
    scan.with_suffix(".ang").write_text(OIM)
    truth, ang = state_beside(scan, (2, 2))
    assert (truth.source, truth.pattern_centre) == ("random.truth.npz", (0.42, 0.79, 0.5))
    assert (truth.sample_tilt, truth.camera_tilt) == (70, 0)
    assert ang.source == "random.ang"
    assert state_beside(tmp_path / "other.up2", (2, 2)) == []


@pytest.mark.parametrize(
    ("grid", "odd", "nav_shape", "used"),
    [("SqrGrid", 10, (8, 10), True), ("SqrGrid", 10, (10, 8), False), ("SqrGrid", 10, (8, 11), False),
     ("HexGrid", 9, (8, 10), True), ("HexGrid", 9, (7, 10), False)],
)  # fmt: skip
def test_an_ang_of_another_map_states_nothing_of_this_scan(
    tmp_path: Path, grid: str, odd: int, nav_shape: tuple[int, int], used: bool
) -> None:
    stated = f"# GRID: {grid}\n# NCOLS_ODD: {odd}\n# NCOLS_EVEN: 10\n# NROWS: 8\n"
    (tmp_path / "a.ang").write_text(OIM + stated)
    with contextlib.nullcontext() if used else pytest.warns(ScanWarning, match=r"a\.ang: is of a map of 8×10"):
        found = state_beside(tmp_path / "a.up2", nav_shape)
    assert len(found) == used


# --- kikuchipy


def make_signal(**values: Any) -> Any:
    """Patterns of 40 rows and 60 columns."""
    kikuchipy = pytest.importorskip("kikuchipy")
    signal = kikuchipy.signals.EBSD(np.zeros((1, 2, 40, 60), np.uint8))
    signal.detector = kikuchipy.detectors.EBSDDetector((40, 60), **values)
    return signal


@pytest.mark.parametrize(
    ("convention", "centre"),
    [
        ("edax", (0.42, 0.79, 0.5)),
        ("bruker", (0.42, 0.21, 0.5)),  # y from above; z in heights, here the shorter side
        ("oxford", (0.42, 0.79 * 40 / 60, 0.5 * 40 / 60)),  # all in widths
    ],
)
def test_pattern_centres_of_all_conventions_become_edaxs(convention: str, centre: tuple[float, float, float]) -> None:
    signal = make_signal(pc=centre, convention=convention, sample_tilt=69, tilt=5, azimuthal=1, twist=2)
    found = state_signal(signal, "a.h5")
    assert found.pattern_centre == pytest.approx((0.42, 0.79, 0.5))
    assert (found.source, found.sample_tilt, found.camera_tilt) == ("a.h5", 69, 5)
    assert (found.camera_azimuth, found.camera_twist) == (1, 2)


def test_what_kikuchipy_fills_in_is_no_statement() -> None:
    assert state_signal(make_signal(), "a.h5") == StatedGeometry("a.h5")
    assert state_signal(make_signal(convention="edax"), "a.h5").pattern_centre is None
    assert state_signal(make_signal(tilt=4), "a.h5") == StatedGeometry("a.h5", camera_tilt=4)


def test_of_many_pattern_centres_the_mean_is_taken_and_said() -> None:
    found = state_signal(make_signal(pc=[[(0.4, 0.2, 0.5), (0.42, 0.2, 0.5)]]), "a.h5")
    assert found.pattern_centre == pytest.approx((0.41, 0.8, 0.5))
    assert found.source == "a.h5 (mean of 2 pattern centres, 0.0200 apart)"


def test_phase_and_working_distance_of_a_real_file() -> None:
    kikuchipy = pytest.importorskip("kikuchipy")
    signal = kikuchipy.load(Path(__file__).parents[2] / "data" / "nickel_ebsd_small.h5", lazy=True)
    found = state_signal(signal, "a.h5")
    assert found.pattern_centre == pytest.approx((0.425, 0.787, 0.501), abs=1e-3)
    assert (found.phase, found.material, found.working_distance_mm) == ("fcc", "ni", 24.7)


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ({"space_group": 229}, "bcc"),
        ({"space_group": 227}, "diamond"),
        ({"point_group": "m-3m"}, None),
        ({"space_group": 221}, "stuff, symmetry m-3m"),  # primitive
        ({"space_group": 194}, "stuff, symmetry 6/mmm"),
    ],
)
def test_structures_of_space_groups(phase: dict[str, Any], expected: str | None) -> None:
    from orix.crystal_map import CrystalMap, Phase, PhaseList
    from orix.quaternion import Rotation

    plain = make_signal()
    beside = CrystalMap(Rotation.identity((2,)), x=np.arange(2), phase_list=PhaseList(Phase("stuff", **phase)))
    signal = SimpleNamespace(detector=plain.detector, metadata=plain.metadata, xmap=beside)
    assert state_signal(signal, "a.h5").phase == expected
