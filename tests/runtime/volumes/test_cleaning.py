"""Noise that is filled and tiny grains that are absorbed, against slow twins; and what memory that takes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import segmentation_oracles as oracles
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.volumes.cleaning import absorb_grains, fill_noise

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 6))
SEEDS = st.integers(0, 2**32 - 1)


def strewn_grains(shape: tuple[int, int, int], strewn: float) -> NDArray[np.int32]:
    """Components of large grains strewn with small ones, as of a volume that was only just grown."""
    rng = np.random.default_rng(0)
    colours = (oracles.random_grains(shape, 40) * 12).astype(int)
    colours = np.where(rng.random(shape) < strewn, rng.integers(0, 12, shape), colours)
    return oracles.components(colours, 6)


@given(SHAPES, SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_noise_is_filled_round_by_round(shape: tuple[int, int, int], seed: int, noise: float, outside: float) -> None:
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(shape) < noise, -1, rng.integers(0, 5, shape)).astype(np.int32)
    fillable = (labels < 0) & (rng.random(shape) >= outside)
    expected = oracles.fill(labels, fillable)
    fill_noise(labels, np.flatnonzero(fillable))
    assert_array_equal(labels, expected)


@given(SHAPES, SEEDS, st.integers(0, 30), st.integers(1, 40))
def test_tiny_grains_join_the_neighbour_with_the_largest_face(
    shape: tuple[int, int, int], seed: int, min_voxels: int, colours: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = oracles.number_by_first(rng.integers(-1, colours, shape))
    expected = oracles.absorb(labels, min_voxels)
    remaining = absorb_grains(labels, int(labels.max()) + 1, min_voxels)
    assert_array_equal(labels, expected)
    assert remaining == expected.max() + 1


@pytest.mark.parametrize("min_voxels", [2, 8, 100, 10**6])
def test_many_tiny_grains_are_absorbed_in_the_right_order(min_voxels: int) -> None:
    labels = strewn_grains((14, 15, 16), 0.2)
    grains = int(labels.max()) + 1
    assert grains > 400
    expected = oracles.absorb(labels, min_voxels)
    assert absorb_grains(labels, grains, min_voxels) == expected.max() + 1
    assert_array_equal(labels, expected)


def test_grains_that_grow_wait_until_it_is_their_turn_by_the_new_size() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], np.int32).reshape(1, 1, 11)
    assert absorb_grains(labels, 4, 4) == 2
    assert labels.ravel().tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]  # 0 to 1; 2 to {0, 1}, which then is too large
    assert absorb_grains(labels, 2, 7) == 1


def test_a_grain_without_neighbours_stays() -> None:
    labels = np.array([0, -1, 1, 2, -1], np.int32).reshape(5, 1, 1)
    assert absorb_grains(labels, 3, 100) == 2
    assert labels.ravel().tolist() == [0, -1, 1, 1, -1]


def test_where_there_is_only_noise_nothing_is_absorbed() -> None:
    labels = np.full((2, 3, 4), -1, np.int32)
    assert absorb_grains(labels, 0, 8) == 0
    assert (labels == -1).all()


def test_absorbing_takes_little_memory() -> None:
    labels = strewn_grains((40, 40, 40), 0.08)
    grains = int(labels.max()) + 1
    assert grains > 0.06 * labels.size
    tracemalloc.start()
    absorb_grains(labels, grains, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * labels.size


def rolled(labels: NDArray[np.int32], shift: int) -> NDArray[np.int32]:
    return np.roll(labels, (shift, -shift, 2 * shift), axis=(0, 1, 2))


@given(SHAPES, SEEDS, st.integers(0, 30), st.integers(1, 40))
def test_tiny_grains_join_across_periodic_faces_wherever_the_volume_is_cut(
    shape: tuple[int, int, int], seed: int, min_voxels: int, colours: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, colours, shape).astype(np.int32)
    shift = int(rng.integers(1, 9))
    moved = rolled(labels, shift)
    for one in (labels, moved):
        absorb_grains(one, colours, min_voxels, (True, True, True))
    assert_array_equal(rolled(labels, shift), moved)


def test_kept_grains_are_not_absorbed_but_absorb() -> None:
    labels = np.array([[[0, 1, 2, 2, 2, 2, 2]]], np.int32)
    kept = np.array([False, True, False])
    assert absorb_grains(labels, 3, 5, kept=kept) == 2
    assert labels.tolist() == [[[0, 0, 1, 1, 1, 1, 1]]]
