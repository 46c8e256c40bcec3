"""Sums of grains against voxels counted one by one, for any cut into slabs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import voxel_oracles as oracles
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.grains import BOUNDARY, COLUMNS, EMPTY, FACES, FIRST, SECOND, VOXELS, insert, sum_slab

Labels = NDArray[np.int32]
SIDES = st.tuples(*[st.integers(1, 6)] * 3)


def volumes(most: int) -> st.SearchStrategy[Labels]:
    return SIDES.flatmap(lambda shape: arrays(np.int32, shape, elements=st.integers(-2, most)))


def add_up(labels: Labels, cuts: tuple[int, ...] = ()) -> tuple[NDArray[np.int64], set[tuple[int, int]]]:
    """Sums, and the pairs of grains that touch, of slabs one after the other."""
    sums = np.zeros((labels.max() + 1, COLUMNS), np.int64)
    planes = [0, *sorted(cuts), len(labels)]
    pairs = [sum_slab(labels, slab, sums) for slab in itertools.pairwise(planes)]
    assert all(len(np.unique(found)) == len(found) for found in pairs)
    return sums, {(int(pair >> 32), int(pair & (2**32 - 1))) for pair in np.concatenate(pairs)}


def touching(labels: Labels) -> set[tuple[int, int]]:
    found = set()
    for axis in range(3):
        aligned = np.moveaxis(labels, axis, 0)
        found |= {(min(one, two), max(one, two)) for one, two in zip(aligned[:-1].flat, aligned[1:].flat, strict=True)}
    return {(int(one), int(two)) for one, two in found if 0 <= one < two}


@given(volumes(3))
def test_sums_are_those_of_the_voxels(labels: Labels) -> None:
    if labels.max() < 0:
        return
    sums, pairs = add_up(labels)
    assert pairs == touching(labels)
    for label, found in enumerate(sums):
        places = np.argwhere(labels == label)
        z, y, x = places.T
        assert found[VOXELS] == len(places)
        assert_array_equal(found[FIRST], places.sum(axis=0))
        assert_array_equal(
            found[SECOND], [(one * two).sum() for one, two in ((z, z), (y, y), (x, x), (z, y), (z, x), (y, x))]
        )
        if len(places):
            expected = oracles.measure_grain(labels, label)
            assert found[FACES] == expected.faces
            assert (found[BOUNDARY] > 0) == expected.touches_boundary
            assert sum(label in pair for pair in pairs) == expected.neighbours


@given(volumes(40), st.data())
def test_slabs_add_up_to_the_whole(labels: Labels, data: st.DataObject) -> None:
    if labels.max() < 0:
        return
    cuts = data.draw(st.lists(st.integers(0, len(labels)), max_size=3))
    whole, pairs = add_up(labels)
    sums, found = add_up(labels, tuple(cuts))
    assert_array_equal(sums, whole)
    assert found == pairs


def test_a_block_by_hand() -> None:
    labels = np.full((4, 4, 4), -1, np.int32)
    labels[1:3, 1:3, 0:3] = 0
    sums, pairs = add_up(labels)
    assert_array_equal(sums, [[12, 18, 18, 12, 30, 30, 20, 27, 18, 18, 28, 4 + 28]])
    assert pairs == set()


@pytest.mark.parametrize("shape", [(16, 16, 16), (1, 1, 3000), (3000, 1, 1)])
def test_every_pair_is_kept_where_there_are_many(shape: tuple[int, int, int]) -> None:
    labels = np.random.default_rng(0).permutation(np.prod(shape)).astype(np.int32).reshape(shape)
    _, pairs = add_up(labels)
    assert len(pairs) == sum((size - 1) * np.prod(shape) // size for size in shape)
    assert pairs == touching(labels)


def test_a_table_takes_a_pair_once() -> None:
    table = np.full(8, EMPTY, np.int64)
    pairs = np.array([5, 2**62, 5, 0, 2**62, 77])
    assert [insert(pair, table) for pair in pairs] == [1, 1, 0, 1, 0, 1]
    assert_array_equal(np.sort(table[table != EMPTY]), [0, 5, 77, 2**62])


def test_sums_of_large_volumes_do_not_overflow() -> None:
    labels = np.zeros((1, 1, 1_000_000), np.int32)
    sums, _ = add_up(labels)
    last = 1_000_000 - 1
    assert sums[0, 3] == last * (last + 1) // 2
    assert sums[0, 6] == last * (last + 1) * (2 * last + 1) // 6
