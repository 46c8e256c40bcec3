"""`microrun physics` on scans whose files state the geometry: used, printed, and kept with the maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused
from scipy.spatial.transform import Rotation
from write_ang import write_ang
from write_up2 import Header, write_up

from microrun.runtime.maps.orientations import misorientation_angles
from microrun.training.simulate.masters.find import load_nickel

CENTRE = (0.42, 0.79, 0.50)
NAV_SHAPE = (3, 4)
TRUTH = Rotation.random(12, np.random.default_rng(5)).as_quat(scalar_first=True)
STATED = """\
# x-star 0.42
# y-star 0.79
# z-star 0.50
# SampleTiltAngle 70.0
# CameraElevationAngle {elevation}
# CameraAzimuthalAngle 0.0
# WorkingDistance 15.0
# GRID: SqrGrid
# XSTEP: 0.5
# YSTEP: 0.5
# NCOLS_ODD: 4
# NCOLS_EVEN: 4
# NROWS: 3
"""


def write_tilted(path: Path, elevation: float) -> Path:
    """A scan of nickel that kikuchipy projects onto a tilted camera."""
    kikuchipy, orix = pytest.importorskip("kikuchipy"), pytest.importorskip("orix.quaternion")
    detector = kikuchipy.detectors.EBSDDetector((120, 120), pc=CENTRE, convention="edax", tilt=elevation)
    made = load_nickel().get_patterns(orix.Rotation(TRUTH), detector, energy=20, compute=True)
    patterns = np.rint(20_000 * (made.data.reshape(12, 120, 120) + 1.2)).astype(np.uint16)
    return write_up(path, patterns, Header(sig_shape=(120, 120), nav_shape=NAV_SHAPE))


def maps_of(path: Path) -> tuple[Any, dict[str, Any]]:
    with h5py.File(path) as file:
        return file["rotations"][()].reshape(-1, 4), {n: json.loads(file.attrs[n]) for n in file.attrs if n != "format"}


def test_the_elevation_of_the_camera_is_that_of_the_file(microrun: Microrun, tmp_path: Path) -> None:
    scan = write_tilted(tmp_path / "scan.up2", 10.0)
    scan.with_suffix(".ang").write_text(STATED.format(elevation=10.0))
    ran = microrun("physics", scan, "--background", "none")
    assert ran.code == 0
    for said in (
        "pc 0.4200,0.7900,0.5000 from scan.ang",
        "elevation 10° from scan.ang",
        "distance 15 mm from scan.ang",
    ):
        assert said in ran.said
    rotations, attributes = maps_of(tmp_path / "scan.physics.h5")
    assert np.median(misorientation_angles(rotations, TRUTH, "fcc")) < 0.5
    kept = attributes["geometry"]
    assert (kept["pattern_centre"], kept["convention"]) == (list(CENTRE), "edax")
    assert (kept["sample_tilt"], kept["camera_tilt"], kept["working_distance_mm"]) == (70, 10, 15)
    assert kept["sources"]["camera_tilt"] == "from scan.ang"


def test_the_elevation_of_the_camera_can_be_given(microrun: Microrun, tmp_path: Path) -> None:
    scan = write_tilted(tmp_path / "scan.up2", 6.0)
    scan.with_suffix(".ang").write_text(STATED.format(elevation=0.0))  # an operator who never set it
    ran = microrun("physics", scan, "--background", "none", "--elevation", "6")
    assert "elevation 6° as asked" in ran.said
    rotations, _ = maps_of(tmp_path / "scan.physics.h5")
    assert np.median(misorientation_angles(rotations, TRUTH, "fcc")) < 0.5


def test_orientations_of_a_file_keep_their_symmetries(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    angles = write_ang(tmp_path / "angles.ang", (3, 5), missing=(4,))
    angles.write_text(angles.read_text().replace("Symmetry          43", "Symmetry          62"))
    ran = microrun("physics", scan, "--orientations", angles)
    assert ran.code == 0
    assert "indexed 93.3% of the points of angles.ang: phase 1 as 6/mmm" in ran.said
    _, attributes = maps_of(tmp_path / "scan.physics.h5")
    assert attributes["orientations"] == {"file": "angles.ang", "symmetries": {"1": "62"}}
    check_refused(
        microrun("physics", scan, "--orientations", angles, "--phase", "fcc", "--overwrite"), angles, "has symmetry 62"
    )
