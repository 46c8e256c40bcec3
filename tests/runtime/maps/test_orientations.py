"""Conventional maps, against kikuchipy, orix, and slow twins made of rotation matrices."""

from __future__ import annotations

import warnings
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from oracles import circular_keep
from scipy.spatial.transform import Rotation

from microrun.runtime.maps.orientations import (
    SampleDirection,
    average_misorientation,
    colour_orientations,
    deviate_from_grains,
    measure_pair_angles,
    misorientation_angles,
    nearest_equivalents,
)
from microrun.runtime.maps.pattern_quality import SHARP, measure_image_quality, measure_sharpness
from microrun.runtime.scans.lattice import connect, neighbour_pairs
from microrun.runtime.scans.scan import Scan

Float64 = NDArray[np.float64]
EVERYWHERE = np.ones((24, 30), bool)
# The rotations that leave a cube a cube: signed permutations of the axes that are no mirrors.
SIGNED = [
    np.diag(signs) @ np.eye(3)[list(order)] for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]
CUBE = Rotation.from_matrix([matrix for matrix in SIGNED if np.linalg.det(matrix) > 0])
SCANS = {
    "square": Scan((5, 6), (8, 8)),
    "hexagonal": Scan((5, 6), (8, 8), grid="hexagonal"),
    "alternating": Scan((5, 6), (8, 8), grid="hexagonal", alternating=True),
    "short first": Scan((5, 6), (8, 8), grid="hexagonal", alternating=True, first_shifted=True),
}

CUBIC = ("fcc", "bcc", "diamond")


def make_patterns(count: int = 6, shape: tuple[int, int] = (24, 30)) -> NDArray[np.float32]:
    """Patterns from smooth to noise, in [−1, 1]."""
    rng = np.random.default_rng(0)
    y, x = np.indices(shape)
    smooth = np.sin(x / 5) * np.cos(y / 4)
    share = np.linspace(0, 1, count)[:, None, None]
    mixed = (1 - share) * smooth + share * rng.uniform(-1, 1, (count, *shape))
    return (mixed / np.abs(mixed).max(axis=(1, 2), keepdims=True)).astype(np.float32)


def to_quaternions(rotations: Rotation) -> Float64:
    found: Float64 = rotations.as_quat(scalar_first=True)
    return found


def random_quaternions(count: int, seed: int = 0) -> Float64:
    return to_quaternions(Rotation.random(count, np.random.default_rng(seed)))


def smallest_angle(one: Float64, other: Float64) -> float:
    """Try all equal orientations; the angle from the trace of the matrix."""
    a, b = (Rotation.from_quat(q, scalar_first=True).as_matrix() for q in (one, other))
    traces = [np.trace(operation @ a @ b.T) for operation in CUBE.as_matrix()]
    return float(np.rad2deg(np.arccos(np.clip((max(traces) - 1) / 2, -1, 1))))


def turn_slightly(start: Float64, degrees: Float64, seed: int = 0) -> Float64:
    """Rotate orientations by so much about random axes, then take any of those that symmetry makes equal."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(len(degrees), 3))
    axes *= (np.deg2rad(degrees) / np.linalg.norm(axes, axis=1))[:, None]
    turned = Rotation.from_quat(start, scalar_first=True) * Rotation.from_rotvec(axes)
    return to_quaternions(CUBE[rng.integers(0, 24, len(degrees))] * turned)


# --- patterns


def test_image_quality_is_kikuchipys() -> None:
    kikuchipy = pytest.importorskip("kikuchipy")
    patterns = make_patterns()
    found = measure_image_quality(patterns, EVERYWHERE)
    y, x = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in (24, 30)), indexing="ij")
    theirs = [
        kikuchipy.pattern.get_image_quality(pattern, frequency_vectors=y**2 + x**2, inertia_max=(y**2 + x**2).mean())
        for pattern in patterns
    ]
    assert_allclose(found, theirs, atol=1e-5)
    # Left alone, kikuchipy counts frequencies from 1, and the mean as one of them.
    assert_allclose(found, kikuchipy.signals.EBSD(patterns).get_image_quality(show_progressbar=False), atol=0.02)
    assert found[0] > 0.8 > 0.3 > found[1] > found[-1]  # noise lowers it


def test_image_quality_does_not_see_what_lies_outside_the_mask() -> None:
    keep = circular_keep((24, 30), 0)
    patterns = make_patterns()
    expected = measure_image_quality(patterns, keep)
    patterns[:, ~keep] = 7
    assert_allclose(measure_image_quality(patterns, keep), expected, rtol=1e-12)


@given(st.floats(0.01, 100), st.floats(-10, 10))
def test_image_quality_ignores_brightness_and_contrast(gain: float, offset: float) -> None:
    patterns = make_patterns(3).astype(np.float64)
    expected = measure_image_quality(patterns, EVERYWHERE)
    assert_allclose(measure_image_quality(gain * patterns + offset, EVERYWHERE), expected, rtol=1e-6)


def test_a_constant_pattern_has_a_finite_image_quality() -> None:
    assert np.isfinite(measure_image_quality(np.zeros((2, 24, 30), np.float32), EVERYWHERE)).all()


@pytest.mark.parametrize("radius", [-1, 0])
def test_sharpness_is_counted_coefficient_by_coefficient(radius: int) -> None:
    keep = circular_keep((12, 12), radius)
    patterns = make_patterns(4, (12, 12))
    y, x = np.indices((12, 12))
    for pattern, found in zip(patterns, measure_sharpness(patterns, keep), strict=True):
        positive = np.where(keep, (pattern.astype(np.float64) + 1) / 2, 0)
        magnitudes = [
            abs((positive * np.exp(-2j * np.pi * (u * y + v * x) / 12)).sum()) for u in range(12) for v in range(12)
        ]
        assert found == sum(value > max(magnitudes) / SHARP for value in magnitudes) / 144


def test_noise_counts_as_sharp() -> None:
    found = measure_sharpness(make_patterns(), EVERYWHERE)
    assert 0 < found[0] < found[-1] <= 1


# --- misorientation


@pytest.mark.parametrize("phase", CUBIC)
def test_misorientations_are_orixs(phase: str) -> None:
    pytest.importorskip("orix")
    from orix.quaternion import Orientation, symmetry

    one, other = random_quaternions(200), random_quaternions(200, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Orientation(one, symmetry=symmetry.Oh).angle_with(
            Orientation(other, symmetry=symmetry.Oh), degrees=True
        )
    found = misorientation_angles(one, other, phase)
    assert_allclose(found, theirs, atol=1e-4)
    assert_allclose(found, [smallest_angle(a, b) for a, b in zip(one, other, strict=True)], atol=1e-4)
    assert found.max() < 62.81  # no two cubes differ by more


@pytest.mark.parametrize("phase", ["hcp", "hcp:1.856", "6/mmm"])
def test_hexagonal_misorientations_are_orixs(phase: str) -> None:
    pytest.importorskip("orix")
    from orix.quaternion import Orientation, symmetry

    one, other = random_quaternions(200), random_quaternions(200, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = (Orientation(rotations, symmetry=symmetry.D6h) for rotations in (one, other))
        theirs = first.angle_with(second, degrees=True)
    assert_allclose(misorientation_angles(one, other, phase), theirs, atol=1e-4)


@given(st.integers(0, 999), st.floats(0, 20))
def test_the_angle_of_a_small_rotation_is_found(seed: int, degrees: float) -> None:
    start = random_quaternions(1, seed)
    turned = turn_slightly(start, np.array([degrees]), seed)
    assert misorientation_angles(turned, start, "fcc")[0] == pytest.approx(degrees, abs=1e-9)
    assert misorientation_angles(start, turned, "fcc")[0] == pytest.approx(degrees, abs=1e-9)
    assert misorientation_angles(-turned, start, "fcc")[0] == pytest.approx(degrees, abs=1e-9)


def test_the_nearest_of_equal_orientations_is_taken() -> None:
    rotations, references = random_quaternions(50), random_quaternions(50, seed=1)
    found = nearest_equivalents(rotations, references, "fcc")
    for rotation, reference, near in zip(rotations, references, found, strict=True):
        equal = to_quaternions(CUBE * Rotation.from_quat(rotation, scalar_first=True))
        assert near @ reference == pytest.approx(np.abs(equal @ reference).max())
        assert np.abs(equal @ near).max() == pytest.approx(1)


def test_maps_of_orientations_keep_their_shape() -> None:
    one, other = random_quaternions(12).reshape(3, 4, 4), random_quaternions(12, seed=1).reshape(3, 4, 4)
    found = misorientation_angles(one, other, "fcc")
    assert found.shape == (3, 4)
    assert_allclose(found.ravel(), misorientation_angles(one.reshape(12, 4), other.reshape(12, 4), "fcc"))
    assert misorientation_angles(np.empty((0, 4)), np.empty((0, 4)), "fcc").shape == (0,)


# --- maps of orientations


def make_map(seed: int = 0) -> tuple[Float64, NDArray[np.bool_]]:
    """Two grains, left and right, of points turned by up to 3°; some points are missing."""
    rng = np.random.default_rng(seed)
    start = random_quaternions(2, seed)[(np.indices((5, 6))[1] > 2).ravel().astype(int)]
    rotations = turn_slightly(start, rng.uniform(0, 1.5, 30), seed).reshape(5, 6, 4)
    return rotations, rng.random((5, 6)) < 0.9


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_kam_is_the_mean_over_the_neighbours_of_the_same_grain(scan: Scan) -> None:
    rotations, valid = make_map()
    valid &= scan.exists()
    pairs = neighbour_pairs(scan)
    angles = measure_pair_angles(rotations, valid, "fcc", pairs)
    found = average_misorientation(angles, pairs, scan.nav_shape)
    for point in range(30):
        beside = [int(pair.sum()) - point for pair in pairs if point in pair]
        own = [
            smallest_angle(rotations.reshape(30, 4)[point], rotations.reshape(30, 4)[other])
            for other in beside
            if valid.flat[point] and valid.flat[other]
        ]
        counted = [angle for angle in own if angle < 5]
        assert found.flat[point] == pytest.approx(np.mean(counted) if counted else np.nan, abs=1e-4, nan_ok=True)
    assert np.isinf(angles[~valid.ravel()[pairs].all(axis=1)]).all()
    assert 0.3 < np.nanmean(found) < 3
    assert np.nanmax(average_misorientation(angles, pairs, scan.nav_shape, limit_deg=180)) > 5


def test_grod_is_the_angle_to_the_mean_of_the_grain() -> None:
    rotations, valid = make_map()
    pairs = neighbour_pairs(SCANS["square"])
    grains = connect(pairs[measure_pair_angles(rotations, valid, "fcc", pairs) < 5], valid)
    assert {(grains == number).sum() > 10 for number in (0, 1)} == {True}
    found = deviate_from_grains(rotations, grains, "fcc")
    assert_array_equal(np.isnan(found), ~valid)
    for grain in range(grains.max() + 1):
        own = rotations[grains == grain]
        first = Rotation.from_quat(own[0], scalar_first=True)
        turned = [
            min((CUBE * Rotation.from_quat(point, scalar_first=True)), key=lambda r: (r * first.inv()).magnitude())
            for point in own
        ]
        mean = to_quaternions(Rotation.concatenate(turned).mean())
        expected = [smallest_angle(point, mean) for point in own]
        assert_allclose(found[grains == grain], expected, atol=5e-3)


def test_a_grain_of_one_orientation_does_not_deviate() -> None:
    rotations = np.tile(random_quaternions(1), (5, 6, 1))
    assert_allclose(deviate_from_grains(rotations, np.zeros((5, 6), int), "fcc"), 0, atol=1e-6)
    assert np.isnan(deviate_from_grains(rotations, np.full((5, 6), -1), "fcc")).all()


def test_a_map_of_one_point_has_no_neighbours() -> None:
    pairs = neighbour_pairs(Scan((1, 1), (8, 8)))
    angles = measure_pair_angles(random_quaternions(1)[None], np.ones((1, 1), bool), "fcc", pairs)
    assert angles.shape == (0,)
    assert np.isnan(average_misorientation(angles, pairs, (1, 1))).all()


# --- colours


def test_colours_tell_what_points_along_the_normal() -> None:
    def bring_to_normal(direction: list[float]) -> Float64:
        """Orientation, sample to crystal, that maps the normal onto a crystal direction."""
        return to_quaternions(Rotation.align_vectors([direction], [[0, 0, 1]])[0])

    rotations = np.stack([bring_to_normal(direction) for direction in ([0, 0, 1], [1, 0, 1], [1, 1, 1], [-1, 0, 0])])
    rotations = np.append(rotations, rotations[:1], axis=0)[None]
    valid = np.array([[True, True, True, True, False]])
    for phase in CUBIC:
        found = colour_orientations(rotations, valid, phase)
        assert_allclose(found[0], [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [np.nan] * 3], atol=0.01)
    assert np.isnan(colour_orientations(rotations, np.zeros((1, 5), bool), "fcc")).all()


@pytest.mark.parametrize("direction", ["x", "y", "z"])
def test_colours_tell_what_points_along_each_axis_of_the_sample(direction: SampleDirection) -> None:
    along = np.eye(3)["xyz".index(direction)]
    turned = to_quaternions(Rotation.align_vectors([[1, 1, 1]], [along])[0])
    found = colour_orientations(turned[None, None], np.ones((1, 1), bool), "fcc", direction)
    assert_allclose(found[0, 0], [0, 0, 1], atol=0.01)


def test_neither_symmetry_nor_turning_about_the_normal_changes_the_colour() -> None:
    rotation = Rotation.random(rng=np.random.default_rng(3))
    turned = rotation * Rotation.from_rotvec(np.arange(24)[:, None] * [0, 0, 0.2])
    equal = np.stack([to_quaternions(CUBE * rotation), to_quaternions(turned)])
    found = colour_orientations(equal, np.ones((2, 24), bool), "fcc")
    assert_allclose(found, np.broadcast_to(found[0, 0], (2, 24, 3)), atol=1e-6)
    assert np.ptp(found[0, 0]) > 0.1
