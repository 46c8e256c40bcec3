"""Grain statistics against one grain after the other, scikit-image and formulas; and what is no volume of grains."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
import voxel_oracles as oracles
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.measure import DIRECTION_SHARES, Grains, measure_grains
from microrun.runtime.volumes.parts import voxelize_triangles

VORONOI = oracles.voronoi((14, 16, 18), 40, 0)


def same(one: Grains, other: Grains) -> bool:
    return all(np.array_equal(value, vars(other)[name], equal_nan=True) for name, value in vars(one).items())


def check_against_oracle(labels: NDArray[np.integer], voxel_um: float) -> None:
    grains = measure_grains(labels, voxel_um)
    assert_array_equal(grains.grain_id, np.unique(labels[labels >= 0]))
    for n, label in enumerate(grains.grain_id):
        expected = oracles.measure_grain(labels, int(label))
        assert_allclose(grains.volume_um3[n], expected.voxels * voxel_um**3)
        assert_allclose(grains.centroid_um[n], expected.centroid * voxel_um)
        assert_allclose(grains.semi_axes_um[n], expected.semi_axes * voxel_um, rtol=1e-9)
        assert_allclose(grains.surface_um2[n], expected.faces * voxel_um**2)
        assert grains.neighbours[n] == expected.neighbours
        assert grains.touches_boundary[n] == expected.touches_boundary
    if len(grains.grain_id) > 1:
        assert_allclose(grains.nearest_um, oracles.nearest_distances(grains.centroid_um), atol=1e-12)


@given(arrays(np.int32, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(-1, 4)), st.sampled_from([1.0, 0.25]))
def test_every_grain_is_what_its_voxels_are(labels: NDArray[np.int32], voxel_um: float) -> None:
    if labels.max() >= 0:
        check_against_oracle(labels, voxel_um)


def test_polyhedra_are_what_their_voxels_are() -> None:
    check_against_oracle(VORONOI, 2.0)


def test_moments_are_those_of_scikit_image() -> None:
    from skimage.measure import regionprops_table

    names = ("label", "area", "centroid", "axis_major_length", "equivalent_diameter_area")
    table = regionprops_table(VORONOI + 1, properties=names)
    grains = measure_grains(VORONOI)
    assert_array_equal(table["label"] - 1, grains.grain_id)
    assert_array_equal(table["area"], grains.volume_um3)
    assert_allclose(table["equivalent_diameter_area"], grains.diameter_um)
    for axis in range(3):
        assert_allclose(table[f"centroid-{axis}"] + 0.5, grains.centroid_um[:, axis])
    # Its voxels are points; ours have a variance of 1/12.
    assert_allclose((table["axis_major_length"] / 2) ** 2 + 5 / 12, grains.semi_axes_um[:, 0] ** 2)


@pytest.mark.parametrize("threads", [1, 2, 3, 14, 99])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    assert same(measure_grains(VORONOI, 0.3, threads), measure_grains(VORONOI, 0.3, 1))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", ">i4"])
def test_any_integers_are_labels(dtype: str) -> None:
    assert same(measure_grains(VORONOI.astype(dtype)), measure_grains(VORONOI))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_labels_may_reach_the_largest_number_of_their_type(dtype: str) -> None:
    labels = np.arange(np.iinfo(dtype).max + 1).astype(dtype).reshape(1, 1, -1)
    assert same(measure_grains(labels), measure_grains(labels.astype(np.int64)))


def test_far_apart_labels_are_kept() -> None:
    labels = np.where(VORONOI == 3, -7, VORONOI.astype(np.int64) * 10**15)
    grains = measure_grains(labels)
    expected = measure_grains(np.where(VORONOI == 3, -1, VORONOI))
    assert_array_equal(grains.grain_id, expected.grain_id.astype(np.int64) * 10**15)
    for name in ("volume_um3", "centroid_um", "semi_axes_um", "neighbours", "surface_um2"):
        assert_array_equal(getattr(grains, name), getattr(expected, name))


def test_an_ellipsoid_has_its_axes() -> None:
    z, y, x = (np.indices((60, 60, 60)) + 0.5) - 30
    labels = np.where((z / 12) ** 2 + (y / 27) ** 2 + (x / 18) ** 2 < 1, 0, -1)
    grains = measure_grains(labels, 0.5)
    assert_allclose(grains.semi_axes_um, [[13.5, 9, 6]], rtol=0.01)
    assert_allclose((grains.b_over_a, grains.c_over_a, grains.c_over_b), [[2 / 3], [4 / 9], [2 / 3]], rtol=0.01)
    assert_allclose(grains.diameter_um, 2 * (13.5 * 9 * 6) ** (1 / 3), rtol=0.01)
    assert_allclose(grains.centroid_um, 15)
    assert np.isnan(grains.nearest_um).all()
    power = 1.6075  # Thomsen's formula, within 0.3 % of the integral
    area = 4 * np.pi * np.mean(np.array([27 * 18, 27 * 12, 18 * 12]) ** power) ** (1 / power)
    assert_allclose(grains.sphericity, 4 * np.pi * (27 * 18 * 12) ** (2 / 3) / area, rtol=0.01)


def test_single_voxels_are_round_and_flat_grains_have_an_extent() -> None:
    labels = np.array([[[0, 1, 1, 1, 1]]])
    grains = measure_grains(labels)
    assert_allclose(grains.b_over_a, [1, 0.25])
    assert_allclose(grains.c_over_b, [1, 1])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((3, 3), int), "integer labels (z, y, x)"),
        (np.zeros((3, 3, 3)), "float64 (3, 3, 3)"),
        (np.zeros((3, 3, 3), bool), "bool"),
        (np.full((3, 3, 3), -1), "no grains"),
        (np.zeros((3, 0, 3), int), "no grains"),
    ],
)
def test_what_is_no_volume_of_labels_is_refused(labels: NDArray[np.generic], said: str) -> None:
    with pytest.raises(VolumeError) as error:
        measure_grains(labels)
    assert said in str(error.value)


def ball(radius: float, seed: int) -> NDArray[np.int32]:
    """A digital ball, 1, somewhere among voxels of 0."""
    side = int(2 * radius) + 6
    middle = side / 2 + np.random.default_rng(seed).uniform(-0.5, 0.5, 3)
    places = np.indices((side, side, side)) + 0.5 - middle[:, None, None, None]
    inside: NDArray[np.int32] = ((places**2).sum(axis=0) < radius**2).astype(np.int32)
    return inside


@pytest.mark.parametrize(("radius", "within"), [(2, 0.07), (3, 0.04), (5, 0.02), (9, 0.01), (20, 0.005)])
def test_a_digital_ball_is_a_sphere(radius: float, within: float) -> None:
    found = [measure_grains(ball(radius, seed)).sphericity[1] for seed in range(8)]
    assert_allclose(np.mean(found), 1, atol=within)
    assert np.std(found) < within


@pytest.mark.parametrize("turn", [0.3, 0.7, 1.1])
@pytest.mark.parametrize("sides", [(1, 1, 1), (3, 2, 1), (1, 1, 3)])
def test_tilted_boxes_have_the_sphericity_of_boxes(sides: tuple[float, float, float], turn: float) -> None:
    tilt = trimesh.transformations.rotation_matrix(turn, (1, 2, 3))
    box = trimesh.creation.box(sides, tilt)
    filled = voxelize_triangles(np.asarray(box.triangles)[..., ::-1], 60).filled
    labels = np.pad(filled, 1).astype(np.int32)
    assert_allclose(measure_grains(labels).sphericity[1], np.cbrt(36 * np.pi * box.volume**2) / box.area, rtol=0.04)


def test_directions_share_the_sphere_by_what_is_nearest() -> None:
    points = np.random.default_rng(0).normal(size=(400_000, 3))
    axes, faces, space = np.abs(points).T, [], []
    x, y, z = axes
    faces = [(one + other) / np.sqrt(2) for one, other in ((x, y), (y, z), (z, x))]
    space = [(x + y + z) / np.sqrt(3)]
    nearest = np.argmax([*axes, *faces, *space], axis=0)
    length = np.bincount(nearest, minlength=7) / len(points)
    assert_allclose([length[:3].sum(), length[3:6].sum(), length[6]], DIRECTION_SHARES, atol=0.003)
    assert_allclose(DIRECTION_SHARES.sum(), 1)


def test_grains_beside_the_outside_of_a_part_may_be_cut() -> None:
    labels = np.full((7, 7, 7), 1)
    labels[3, 3, 3] = 0
    assert_array_equal(measure_grains(labels).interior, [True, False])
    labels[3, 3, 4] = -1
    assert_array_equal(measure_grains(labels).interior, [False, False])


def test_lengths_grow_with_the_voxels_and_shapes_stay() -> None:
    one, other = measure_grains(VORONOI), measure_grains(VORONOI, 3.0)
    assert_allclose(other.volume_um3, 27 * one.volume_um3)
    assert_allclose(other.nearest_um, 3 * one.nearest_um)
    assert_array_equal(other.sphericity, one.sphericity)
    assert_array_equal(other.interior, one.interior)
