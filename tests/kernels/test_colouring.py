"""Grains by number against a flood, and colourings in which no neighbours are alike."""

from __future__ import annotations

import numpy as np
import potts_oracles as oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.colouring import UNCOLOURED, colour_grains, label_grains

SPINS = arrays(np.int32, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(-1, 2))


def labelled(spins: NDArray[np.int32], periodic: bool = False) -> tuple[NDArray[np.int32], int]:
    grain_ids = np.full(spins.shape, -7, np.int32)
    return grain_ids, label_grains(spins, periodic, grain_ids)


def coloured(grain_ids: NDArray[np.int32], count: int, n_colours: int, seed: int) -> tuple[NDArray[np.uint8], bool]:
    rng = np.random.default_rng(seed)
    colours = np.full(count, 77, np.uint8)
    return colours, colour_grains(grain_ids, rng.permutation(count), rng.random(count), n_colours, colours)


@given(SPINS, st.booleans())
def test_grains_are_those_of_a_flood_in_the_same_order(spins: NDArray[np.int32], periodic: bool) -> None:
    grain_ids, count = labelled(spins, periodic)
    assert_array_equal(grain_ids, oracles.label_grains(spins, periodic))
    assert count == grain_ids.max() + 1


def test_many_grains_are_those_of_scipy() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    spins = np.random.default_rng(0).integers(0, 3, (30, 31, 32), np.int32)
    grain_ids, count = labelled(spins)
    parts = [ndimage.label(spins == spin) for spin in range(3)]
    assert count == sum(number for _, number in parts)
    for labels, number in parts:
        inside = labels > 0
        assert len(np.unique(np.stack([labels[inside], grain_ids[inside]]), axis=1).T) == number


def test_a_grain_may_reach_across_the_faces() -> None:
    spins = np.zeros((4, 4, 4), np.int32)
    spins[:, :, 1:3] = 1
    assert labelled(spins)[1] == 3
    assert labelled(spins, periodic=True)[1] == 2


@given(SPINS, st.integers(27, 64), st.integers(0, 1000))
def test_neighbours_never_share_a_colour(spins: NDArray[np.int32], n_colours: int, seed: int) -> None:
    grain_ids, count = labelled(spins)
    colours, fits = coloured(grain_ids, count, n_colours, seed)
    if not fits:
        assert UNCOLOURED in colours
        return
    assert colours.max() < n_colours
    assert all(colours[one] != colours[other] for one, other in oracles.pairs_that_touch(grain_ids))


def test_eight_single_voxels_that_all_touch_take_eight_colours() -> None:
    grain_ids = np.arange(8, dtype=np.int32).reshape(2, 2, 2)
    colours, fits = coloured(grain_ids, 8, 8, 0)
    assert fits
    assert sorted(colours) == list(range(8))
    assert not coloured(grain_ids, 8, 7, 0)[1]


def test_a_random_mosaic_takes_nine_colours() -> None:
    side = 12
    grain_ids = np.arange(side**3, dtype=np.int32).reshape(side, side, side)
    grain_ids, count = labelled(grain_ids // 2)
    colours, fits = coloured(grain_ids, count, 14, 3)
    assert fits
    assert all(colours[one] != colours[other] for one, other in oracles.pairs_that_touch(grain_ids))


def test_another_seed_gives_another_colouring_and_the_same_seed_the_same() -> None:
    grain_ids, count = labelled(np.random.default_rng(1).integers(0, 40, (8, 8, 8), np.int32))
    one, again, other = (coloured(grain_ids, count, 30, seed)[0] for seed in (0, 0, 1))
    assert_array_equal(one, again)
    assert (one != other).mean() > 0.5


def test_all_colours_are_equally_likely_where_nothing_forbids_them() -> None:
    grain_ids = np.zeros((2, 2, 2), np.int32)
    taken = [int(coloured(grain_ids, 1, 5, seed)[0][0]) for seed in range(2000)]
    assert np.bincount(taken, minlength=5).min() > 330
