"""Misorientations against orix; grains where they are below ten degrees."""

from __future__ import annotations

import numpy as np
import pytest

from microrun.runtime.errors import SectionsError
from microrun.runtime.sections.grain_map import OrientationMap, cubic_angles, segment_map, to_quaternions
from microrun.runtime.sections.orientations import TABLE_1


def test_quaternions_are_those_of_orix() -> None:
    from orix.quaternion import Rotation

    theirs = Rotation.from_euler(TABLE_1, direction="crystal2lab").data
    ours = to_quaternions(TABLE_1)
    np.testing.assert_allclose(ours * np.sign((ours * theirs).sum(axis=1, keepdims=True)), theirs, atol=1e-12)


def test_angles_are_those_of_orix() -> None:
    from orix.quaternion import Orientation
    from orix.quaternion.symmetry import Oh

    generator = np.random.default_rng(0)
    euler = generator.uniform(0, (2 * np.pi, np.pi, 2 * np.pi), (2, 300, 3))
    one, other = (Orientation.from_euler(angles, symmetry=Oh) for angles in euler)
    expected = np.rad2deg(one.angle_with(other))
    np.testing.assert_allclose(cubic_angles(*map(to_quaternions, euler)), expected, atol=1e-5)


def test_the_table_is_as_far_apart_as_known() -> None:
    turned = to_quaternions(TABLE_1)
    first, second = np.triu_indices(20, 1)
    assert cubic_angles(turned[first], turned[second]).min() == pytest.approx(11.4, abs=0.05)


def make_map(second_deg: float, phase: np.ndarray | None = None) -> OrientationMap:
    euler = np.zeros((4, 6, 3))
    euler[:, 3:, 1] = np.deg2rad(second_deg)
    euler[:, :, 0] += np.deg2rad(90) * (np.arange(6) % 2)  # a turn by the symmetry, which is none
    return OrientationMap(euler, np.zeros((4, 6), np.int32) if phase is None else phase, (1.0, 1.0))


def test_grains_end_where_neighbours_are_turned_by_ten_degrees() -> None:
    # Phi turns about x, which a turn by phi1 before it carries along: keep phi1 to one half each.
    below, above = make_map(9.9), make_map(10.1)
    for each in (below, above):
        each.euler[..., 0] = 0
    assert segment_map(below, "a").grain.max() == 0
    np.testing.assert_array_equal(segment_map(above, "a").grain, [[0, 0, 0, 1, 1, 1]] * 4)


def test_turns_of_the_crystals_symmetry_are_none() -> None:
    assert segment_map(make_map(0), "a").grain.max() == 0


def test_phases_part_grains_and_unindexed_points_belong_to_none() -> None:
    phase = np.zeros((4, 6), np.int32)
    phase[:, 2] = -1
    phase[2:, 3:] = 1
    found = segment_map(make_map(0, phase), "a")
    np.testing.assert_array_equal(found.grain[0], [0, 0, -1, 1, 1, 1])
    np.testing.assert_array_equal(found.grain[3], [0, 0, -1, 2, 2, 2])
    assert found.not_indexed == pytest.approx(1 / 6)
    with pytest.raises(SectionsError, match=r"a.ang: no point is indexed"):
        segment_map(make_map(0, np.full((4, 6), -1, np.int32)), "a.ang")
