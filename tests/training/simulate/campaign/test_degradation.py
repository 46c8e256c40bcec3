"""Flaws of maps: points that are not indexed, scatter, another step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import MicrorunError
from microrun.runtime.sections.grain_map import OrientationMap, segment_map, to_quaternions
from microrun.training.simulate.campaign.degradation import (
    Flaws,
    Raster,
    find_boundaries,
    measure_map,
    multiply,
    random_orientations,
    resample_grains,
    small_rotations,
    to_euler,
)

NONE = Flaws(0, 0, 0, 0)
Grains = NDArray[np.int32]


def cells(side: int = 160, seeds: int = 60, seed: int = 0) -> Grains:
    """Voronoi cells of a plane."""
    spots = np.random.default_rng(seed).random((seeds, 2)) * side
    y, x = np.mgrid[:side, :side] + 0.5
    return ((y[..., None] - spots[:, 0]) ** 2 + (x[..., None] - spots[:, 1]) ** 2).argmin(axis=-1).astype(np.int32)


def measured(flaws: Flaws, grains: Grains, seed: int = 1) -> OrientationMap:
    generator = np.random.default_rng(seed)
    orientations = random_orientations(int(grains.max()) + 1, generator)
    return measure_map(grains, orientations, 2.0, flaws, generator)


def test_the_share_that_is_not_indexed_and_where_it_lies() -> None:
    grains = cells()
    failed = measured(Flaws(), grains).phase < 0
    assert failed.mean() == pytest.approx(0.075, abs=0.006)
    on = find_boundaries(grains)
    assert on[failed].mean() == pytest.approx(0.85, abs=0.03)
    assert on.mean() < 0.3


def test_where_boundaries_are_few_the_share_is_kept() -> None:
    grains = np.repeat(np.int32([0, 1]), 100)[None].repeat(200, axis=0)
    failed = measured(Flaws(), grains).phase < 0
    assert failed.mean() == pytest.approx(0.075, abs=0.006)
    assert failed[:, 99:101].mean() == pytest.approx(0.95, abs=0.05)


def test_one_grain_has_no_boundary() -> None:
    assert (measured(Flaws(), np.zeros((100, 100), np.int32)).phase < 0).mean() == pytest.approx(0.075, abs=0.01)


def test_without_flaws_orientations_are_the_grains() -> None:
    grains = cells(40, 9)
    seen = measured(NONE, grains)
    assert (seen.phase > 0).all()
    table = random_orientations(9, np.random.default_rng(1))
    agreement = np.abs((to_quaternions(seen.euler) * to_quaternions(table)[grains]).sum(axis=-1))
    assert_allclose(agreement, 1, atol=1e-12)


@pytest.mark.parametrize(("bend", "noise"), [(0.7, 0.2), (0.0, 0.5), (1.2, 0.0)])
def test_scatter_is_what_was_asked_for_as_orix_measures_it(bend: float, noise: float) -> None:
    orix = pytest.importorskip("orix.quaternion")
    grains = cells(120, 80)
    flat = grains.ravel()
    seen = measured(Flaws(0, 0, bend, noise), grains).euler.reshape(-1, 3)
    clean = measured(NONE, grains).euler.reshape(-1, 3)
    symmetry = pytest.importorskip("orix.quaternion.symmetry").Oh
    one, other = (orix.Orientation.from_euler(angles, symmetry) for angles in (seen, clean))
    angles = np.rad2deg(one.angle_with(other))
    assert np.sqrt((angles**2).mean()) == pytest.approx(np.hypot(bend, noise), rel=0.1)
    if not noise:  # each grain bends evenly: points beside each other hardly differ
        steps = np.rad2deg(one[:-1].angle_with(one[1:]))[flat[:-1] == flat[1:]]
        assert np.median(steps) < bend / 4


def test_grains_are_found_again_by_their_misorientation() -> None:
    grains = cells(160, 60)
    seen = segment_map(measured(Flaws(unindexed=0), grains), "map").grain
    pairs = np.unique(np.stack([seen.ravel(), grains.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == pytest.approx(60, abs=2)  # a few touch at angles below 10°
    assert len(pairs.T) <= 61  # and none falls apart


@pytest.mark.parametrize("step_um", [1.0, 1.5, 2.5, 3.0])
def test_another_step_keeps_the_sizes_of_grains(step_um: float) -> None:
    grains, cell_um = cells(160, 60), 2.0
    pitch = step_um / cell_um
    count = int(160 / pitch)
    seen = resample_grains(grains, Raster(count, count, pitch, (pitch / 2, pitch / 2)))
    before = np.bincount(grains.ravel(), minlength=60) * cell_um**2
    after = np.bincount(seen.ravel(), minlength=60) * step_um**2
    assert_allclose(after, before, rtol=0.1, atol=25 * step_um**2)
    assert after.mean() == pytest.approx(before.mean(), rel=0.02)


def slow_vote(grains: Grains, y: float, x: float) -> dict[int, float]:
    """Votes of the cells around a place, one by one."""
    votes: dict[int, float] = {}
    for row in range(grains.shape[0]):
        for col in range(grains.shape[1]):
            weight = max(0.0, 1 - abs(row + 0.5 - y)) * max(0.0, 1 - abs(col + 0.5 - x))
            votes[int(grains[row, col])] = votes.get(int(grains[row, col]), 0.0) + weight
    return votes


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.int32, (5, 6), elements=st.integers(0, 2)),
    st.floats(0.3, 1.7), st.floats(0.5, 1.5), st.floats(0.5, 1.5),
)  # fmt: skip
def test_each_point_has_the_grain_with_most_votes(grains: Grains, pitch: float, top: float, left: float) -> None:
    seen = resample_grains(grains, Raster(2, 3, pitch, (top, left)))
    for (i, j), grain in np.ndenumerate(seen):
        votes = slow_vote(grains, min(top + i * pitch, 4.5), min(left + j * pitch, 5.5))
        assert votes[int(grain)] == pytest.approx(max(votes.values()))


def test_points_on_cells_take_them_as_they_are() -> None:
    grains = cells(30, 12)
    assert_array_equal(resample_grains(grains, Raster(30, 30, 1.0, (0.5, 0.5))), grains)


def test_angles_and_quaternions_are_each_other_backwards() -> None:
    euler = random_orientations(1000, np.random.default_rng(0))
    assert_allclose(to_euler(to_quaternions(euler)), euler, atol=1e-9)
    assert np.cos(euler[:, 1]).mean() == pytest.approx(0, abs=0.06)  # uniform on the sphere


def test_rotations_as_scipy_has_them() -> None:
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    vectors = np.random.default_rng(0).normal(size=(50, 3)) * 0.1
    assert_allclose(small_rotations(vectors), rotation.from_rotvec(vectors).as_quat(scalar_first=True), atol=1e-12)
    one, other = small_rotations(vectors), small_rotations(vectors[::-1] * 3)
    expected = rotation.from_quat(one, scalar_first=True) * rotation.from_quat(other, scalar_first=True)
    agreement = (multiply(one, other) * expected.as_quat(scalar_first=True)).sum(axis=1)
    assert_allclose(np.abs(agreement), 1, atol=1e-12)


@pytest.mark.parametrize("wrong", [{"unindexed": 1.0}, {"on_boundaries": -0.1}, {"bend_deg": 10.0}, {"noise_deg": -1}])
def test_flaws_that_are_not_possible(wrong: dict[str, float]) -> None:
    with pytest.raises(MicrorunError, match=r"lie between|are 0 to 10"):
        Flaws(**wrong)
