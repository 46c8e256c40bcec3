"""Tiny grains that join their neighbours, one size at a time, against the obvious."""

from __future__ import annotations

import numpy as np
import segmentation_oracles as oracles
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.absorbing import Field, Members, Mergers, absorb_smallest, count_voxels, list_members
from microrun.kernels.borders import look_around

NO_WRAPS = (False, False, False)
SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7))
SEEDS = st.integers(0, 2**32 - 1)


def draw_labels(shape: tuple[int, int, int], seed: int) -> NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    return oracles.number_by_first(rng.integers(-1, rng.integers(1, 30), shape))


def members_of(labels: NDArray[np.int32], sizes: NDArray[np.int64], min_voxels: int) -> Members:
    listed = np.where(sizes < min_voxels, sizes, 0)
    starts = np.concatenate([[0, 0], np.cumsum(listed)])[:-1]
    members = Members(starts, np.full(listed.sum(), -9))
    list_members(labels, sizes, min_voxels, members)
    return members


@given(SHAPES, SEEDS)
def test_voxels_are_counted(shape: tuple[int, int, int], seed: int) -> None:
    labels = draw_labels(shape, seed)
    sizes = np.zeros(labels.max() + 1, np.int64)
    count_voxels(labels, sizes)
    assert_array_equal(sizes, np.bincount(labels[labels >= 0], minlength=sizes.size))


@given(SHAPES, SEEDS)
def test_neighbours_are_those_within_the_volume(shape: tuple[int, int, int], seed: int) -> None:
    labels = draw_labels(shape, seed)
    around = np.empty(6, np.int32)
    for voxel, place in enumerate(np.ndindex(shape)):
        look_around(labels, voxel, NO_WRAPS, around)
        expected = [labels[beside] for beside in oracles.neighbours_of(place, shape)]
        assert sorted(around[around >= 0]) == sorted(label for label in expected if label >= 0)


@given(SHAPES, SEEDS, st.integers(1, 40))
def test_the_voxels_of_tiny_grains_are_listed(shape: tuple[int, int, int], seed: int, min_voxels: int) -> None:
    labels = draw_labels(shape, seed)
    sizes = np.bincount(labels[labels >= 0], minlength=int(labels.max()) + 1)
    starts, voxels = members_of(labels, sizes, min_voxels)
    for grain, size in enumerate(sizes):
        expected = np.flatnonzero(labels == grain) if size < min_voxels else []
        assert_array_equal(voxels[starts[grain] : starts[grain + 1]], expected)


def test_only_grains_of_the_smallest_size_are_absorbed_and_see_those_before_them() -> None:
    labels = np.array([[0, 1, 2, 2, 2], [3, 3, 2, 2, 2]], np.int32).reshape(1, 2, 5)
    sizes = np.array([1, 1, 6, 2])
    grains = Mergers(sizes, np.arange(4, dtype=np.int32), np.arange(4, dtype=np.int32))
    absorb_smallest(Field(labels, NO_WRAPS), members_of(labels, sizes, 5), 1, np.array([0, 1, 3]), grains)
    assert grains.owners.tolist() == [1, 1, 2, 3]  # 0 joins 1 and makes it a grain of two, which has to wait
    assert grains.sizes.tolist() == [0, 2, 6, 2]
    absorb_smallest(Field(labels, NO_WRAPS), members_of(labels, np.array([1, 1, 6, 2]), 5), 2, np.array([1, 3]), grains)
    assert grains.owners.tolist() == [1, 3, 2, 3]  # two faces to 3 and one to 2; then 3 is too large for its turn
    assert grains.sizes.tolist() == [0, 0, 6, 4]
