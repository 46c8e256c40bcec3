"""Pieces of masks against scipy's labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import label

from microrun.kernels.pieces import BLOCK, count_pieces

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9))


def expected(filled: NDArray[np.uint8]) -> tuple[int, int]:
    """How many pieces scipy finds, and the voxels of the largest."""
    labels, pieces = label(filled)
    return pieces, int(np.bincount(labels[filled > 0], minlength=1).max())


@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))))
@settings(max_examples=200)
def test_pieces_are_those_that_scipy_finds(filled: NDArray[np.uint8]) -> None:
    assert count_pieces(filled) == expected(filled)


@pytest.mark.parametrize("length", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_long_lines_have_the_same_pieces(length: int, share: float) -> None:
    filled = (np.random.default_rng(7).random((6, 7, length)) < share).astype(np.uint8)
    filled[:3, :, BLOCK // 2 :] = 1
    assert count_pieces(filled) == expected(filled)


def test_nothing_has_no_pieces() -> None:
    assert count_pieces(np.zeros((3, 4, 5), np.uint8)) == (0, 0)
