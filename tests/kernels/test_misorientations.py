"""Misorientations against orix, and swaps that change nothing but the order."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from microrun.kernels.misorientations import BINS, measure_distance, measure_pairs, swap_orientations
from microrun.runtime.maps.orientations import misorientation_angles, point_group
from microrun.runtime.textures.matching import find_operators


def random_rotations(count: int, seed: int = 0) -> np.ndarray:
    parts = np.random.default_rng(seed).normal(size=(count, 4))
    return parts / np.linalg.norm(parts, axis=1, keepdims=True)


@pytest.mark.parametrize("symmetry", ["m-3m", "6/mmm", "-3m", "4/m", "-1"])
def test_angles_are_those_of_orix(symmetry: str) -> None:
    rotations = random_rotations(400)
    pairs = np.arange(400).reshape(200, 2)
    angles = np.empty(200)
    measure_pairs(rotations, pairs, find_operators(symmetry), angles)
    inverse = rotations * [1, -1, -1, -1]  # orix turns the sample's axes into the crystal's the other way round
    expected = misorientation_angles(inverse[pairs[:, 0]], inverse[pairs[:, 1]], symmetry)
    assert_allclose(angles, expected, atol=1e-6)


def test_a_crystal_and_its_equivalents_are_not_turned() -> None:
    group = point_group("m-3m")
    operators = find_operators("m-3m")
    assert len(operators) == 24 == len(group[~group.improper].data)
    from microrun.runtime.textures.rotations import multiply

    one = random_rotations(1)
    rotations = np.concatenate([one, multiply(np.repeat(one, 24, 0), operators)])
    angles = np.empty(24)
    measure_pairs(rotations, np.stack([np.zeros(24, int), np.arange(1, 25)], axis=1), operators, angles)
    assert_allclose(angles, 0, atol=1e-5)


def test_the_distance_is_the_area_between_the_curves() -> None:
    one, other = np.zeros(BINS), np.zeros(BINS)
    one[10], other[14] = 1, 1
    assert measure_distance(one, other) == 4
    assert measure_distance(one, one) == 0


def test_swaps_keep_the_histogram_right() -> None:
    rng = np.random.default_rng(0)
    rotations, operators = random_rotations(30), find_operators("m-3m")
    pairs = np.array([(a, b) for a in range(30) for b in range(a + 1, 30) if (a + b) % 4 == 0])
    shares = rng.random(len(pairs))
    shares /= shares.sum()
    ends, others = pairs.T.ravel(), pairs[:, ::-1].T.ravel()
    order = np.argsort(ends, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=30))])

    def count(which: np.ndarray) -> np.ndarray:
        angles = np.empty(len(pairs))
        measure_pairs(rotations[which], pairs, operators, angles)
        return np.bincount(angles.astype(int), shares, BINS)

    which = np.arange(30)
    histogram, target = count(which), np.zeros(BINS)
    target[30:50] = 1 / 20
    before = measure_distance(histogram, target)
    neighbours = (starts, others[order], np.tile(shares, 2)[order])
    swaps = swap_orientations(
        which, rotations, operators, neighbours, rng.integers(0, 30, (2000, 2)), histogram, target
    )
    assert swaps > 0
    assert_array_equal(np.sort(which), np.arange(30))
    assert_allclose(histogram, count(which), atol=1e-12)
    assert measure_distance(histogram, target) < before
