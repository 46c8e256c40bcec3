"""Projection of master patterns against one pixel at a time, and against kikuchipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from microrun.kernels.projection import project_gnomonic

RNG = np.random.default_rng(2)
MASTER = RNG.normal(size=(2, 31, 31)).astype(np.float32)
MASTER[1, [0, -1]], MASTER[1, :, [0, -1]] = MASTER[0, [0, -1]], MASTER[0, :, [0, -1]]  # the equator is of both


def project(rotation: NDArray[np.float32], centre: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    out = np.full(shape, np.nan, np.float32)
    project_gnomonic(MASTER, rotation, centre, out)
    return out


def to_square(direction: NDArray[np.float64]) -> tuple[float, float]:
    """Place in the square, −1 to 1, by the equations of Roşca (2010) as Callahan and De Graef (2013) write them."""
    x, y, z = direction / np.linalg.norm(direction)
    root = math.sqrt(2 * (1 - abs(z)))
    if root == 0:
        return 0.0, 0.0
    if abs(y) <= abs(x):
        first, second = np.sign(x) * root * math.sqrt(math.pi) / 2, 2 / math.sqrt(math.pi) * math.atan(y / x)
        return first / math.sqrt(math.pi / 2), np.sign(x) * root * second / math.sqrt(math.pi / 2)
    first, second = np.sign(y) * root * math.sqrt(math.pi) / 2, 2 / math.sqrt(math.pi) * math.atan(x / y)
    return np.sign(y) * root * second / math.sqrt(math.pi / 2), first / math.sqrt(math.pi / 2)


def look_up(rotation: NDArray[np.float32], centre: NDArray[np.float32], i: int, j: int) -> float:
    direction = rotation.astype(np.float64) @ [(j + 0.5 - centre[0]) / centre[2], (centre[1] - i - 0.5) / centre[2], 1]
    x, y = to_square(direction)
    place = [[(y + 1) / 2 * 30], [(x + 1) / 2 * 30]]
    return float(map_coordinates(MASTER[0 if direction[2] >= 0 else 1], place, order=1, mode="nearest")[0])


@given(st.integers(0, 2**32 - 1), st.floats(-0.5, 1.5), st.floats(-0.5, 1.5), st.floats(0.2, 2.0))
def test_every_pixel_is_looked_up_in_its_direction(seed: int, x: float, y: float, z: float) -> None:
    rows, cols = 5, 7
    rotation = Rotation.random(rng=np.random.default_rng(seed)).as_matrix().astype(np.float32)
    centre = np.array([x * cols, y * cols, z * cols], np.float32)
    expected = [[look_up(rotation, centre, i, j) for j in range(cols)] for i in range(rows)]
    assert_allclose(project(rotation, centre, (rows, cols)), expected, atol=2e-3)


def test_the_poles_and_the_equator_are_looked_up() -> None:
    centre = np.array([0.5, 0.5, 1], np.float32)  # the one pixel lies straight ahead
    for side, sign in ((0, 1.0), (1, -1.0)):
        turned = np.diag([1, sign, sign]).astype(np.float32)
        assert project(turned, centre, (1, 1)) == pytest.approx(MASTER[side, 15, 15])
    onto_x = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
    assert project(onto_x, centre, (1, 1)) == pytest.approx(MASTER[0, 15, 30], abs=1e-3)


@pytest.mark.parametrize("shape", [(60, 60), (45, 60)])
def test_patterns_are_those_of_kikuchipy(shape: tuple[int, int]) -> None:
    from kikuchipy.detectors import EBSDDetector
    from orix.quaternion import Rotation as OrixRotation

    from microrun.training.simulate.masters.find import load_nickel

    detector = EBSDDetector(shape, pc=(0.45, 0.7, 0.6), sample_tilt=68, tilt=3, convention="edax")
    rotations = OrixRotation.random(3)
    options = {"energy": 20, "compute": True, "show_progressbar": False, "dtype_out": "float32"}
    theirs = load_nickel().get_patterns(rotations, detector, **options).data
    master = np.ascontiguousarray(load_nickel().data, np.float32)
    x, y, z = detector.pc_bruker()[0] * (shape[1], shape[0], shape[0])
    to_sample = (~detector.sample_to_detector).to_matrix()[0]
    for rotation, their in zip(rotations, theirs, strict=True):
        out = np.empty(shape, np.float32)
        turn = np.ascontiguousarray(rotation.to_matrix()[0] @ to_sample, np.float32)
        project_gnomonic(master, turn, np.array([x, y, z], np.float32), out)
        assert np.corrcoef(out.ravel(), their.ravel())[0, 1] > 0.99999
