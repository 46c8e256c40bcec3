"""Tilted cameras: patterns that kikuchipy projects onto them are indexed as the orientations they were made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from microrun.runtime.maps.indexing import Geometry, Indexer
from microrun.runtime.maps.orientations import misorientation_angles
from microrun.training.simulate.masters.find import load_nickel

if TYPE_CHECKING:
    from conftest import Indexed

CENTRE = (0.42, 0.79, 0.50)


@pytest.mark.parametrize(
    ("tilt", "elevation", "azimuth", "twist"),
    [(70.0, 10.0, 0.0, 0.0), (70.0, -6.0, 0.0, 0.0), (65.0, 5.0, 8.0, 0.0), (70.0, 4.0, -7.0, 3.0)],
)
def test_every_angle_of_the_camera_counts(
    indexed: Indexed, tilt: float, elevation: float, azimuth: float, twist: float
) -> None:
    kikuchipy, orix = pytest.importorskip("kikuchipy"), pytest.importorskip("orix.quaternion")
    truth = Rotation.random(12, np.random.default_rng(3)).as_quat(scalar_first=True)
    detector = kikuchipy.detectors.EBSDDetector(
        (120, 120), pc=CENTRE, convention="edax", sample_tilt=tilt, tilt=elevation, azimuthal=azimuth, twist=twist
    )
    made = load_nickel().get_patterns(orix.Rotation(truth), detector, energy=20, compute=True)
    patterns = made.data.reshape(12, 120, 120).astype(np.float32)
    patterns[:, ~indexed.pixel_keep] = 0
    found = Indexer(Geometry(CENTRE, "fcc", tilt, elevation, azimuth, twist), (120, 120), (120, 120)).index(patterns)
    assert found.indexed.mean() > 0.9
    assert np.median(misorientation_angles(found.rotations, truth, "fcc")) < 0.5
    if azimuth or twist:
        untold = Indexer(Geometry(CENTRE, "fcc", tilt, elevation), (120, 120), (120, 120)).index(patterns)
        assert np.median(misorientation_angles(untold.rotations, truth, "fcc")) > 5
