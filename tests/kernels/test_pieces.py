"""Pieces of masks against scipy's labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from scipy.ndimage import label

from microrun.kernels.pieces import BLOCK, bridge_pieces, drop_pieces, measure_pieces
from microrun.runtime.volumes.tally import split_pieces

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9))


def expected(filled: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Voxels of the pieces that scipy finds."""
    sizes: NDArray[np.int64] = np.bincount(label(filled)[0].ravel())[1:]
    return sizes


@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))))
@settings(max_examples=200)
def test_pieces_are_those_that_scipy_finds(filled: NDArray[np.uint8]) -> None:
    assert_array_equal(measure_pieces(filled), expected(filled))


@pytest.mark.parametrize("length", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_long_lines_have_the_same_pieces(length: int, share: float) -> None:
    filled = (np.random.default_rng(7).random((6, 7, length)) < share).astype(np.uint8)
    filled[:3, :, BLOCK // 2 :] = 1
    assert_array_equal(measure_pieces(filled), expected(filled))


def test_nothing_has_no_pieces() -> None:
    assert measure_pieces(np.zeros((3, 4, 5), np.uint8)).shape == (0,)


@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))), st.integers(0, 6))
def test_pieces_below_a_size_are_dropped(filled: NDArray[np.uint8], least: int) -> None:
    labels = label(filled)[0]
    kept = (filled > 0) & (np.bincount(labels.ravel())[labels] >= least)
    drop_pieces(filled, least)
    assert_array_equal(filled, kept)


@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))))
@settings(max_examples=200)
def test_pieces_that_touch_are_joined_by_as_few_voxels_as_they_need(filled: NDArray[np.uint8]) -> None:
    before = filled.copy()
    pieces, touching = len(expected(filled)), label(filled, np.ones((3, 3, 3)))[1]
    bridge_pieces(split_pieces(filled.astype(np.int32) - 1), filled)
    assert (filled >= before).all()
    assert filled.sum() <= before.sum() + 2 * (pieces - touching)
    assert len(expected(filled)) <= touching == label(before, np.ones((3, 3, 3)))[1]


@pytest.mark.parametrize("step", [(0, 1, 1), (1, 0, -1), (1, -1, 0), (1, 1, 1), (1, -1, 1)])
def test_two_cubes_that_touch_become_one(step: tuple[int, int, int]) -> None:
    filled = np.zeros((8, 8, 8), np.uint8)
    low = np.where(np.array(step) < 0, 4, 2)
    for corner in (low, low + 2 * np.array(step)):
        filled[tuple(slice(start, start + 2) for start in corner)] = 1
    assert len(expected(filled)) == 2
    bridge_pieces(split_pieces(filled.astype(np.int32) - 1), filled)
    assert (len(expected(filled)), filled.sum()) == (1, 16 + np.abs(step).sum() - 1)
