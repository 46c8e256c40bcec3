"""The circular mask against a loop over pixels."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from microrun.kernels.masking import circular_keep

SHAPES = st.tuples(st.integers(1, 30), st.integers(1, 30))


@given(SHAPES, st.integers(-1, 25))
def test_pixels_within_the_circle_are_kept(shape: tuple[int, int], radius: int) -> None:
    keep = circular_keep(shape, radius)
    assert keep.dtype == bool
    assert_array_equal(keep, oracles.circular_keep(shape, radius))


@given(SHAPES, st.integers(0, 25))
def test_the_mask_is_symmetric_and_never_empty(shape: tuple[int, int], radius: int) -> None:
    keep = circular_keep(shape, radius)
    assert keep.any()
    assert_array_equal(keep, keep[::-1])
    assert_array_equal(keep, keep[:, ::-1])


def test_the_inscribed_circle_of_an_engine_input() -> None:
    keep = circular_keep((120, 120), 0)
    assert keep[0, 59]
    assert not keep[0, 0]
    assert abs(keep.mean() - np.pi / 4) < 0.005
    assert_array_equal(keep, circular_keep((120, 120), 60))


def test_small_masks_by_hand() -> None:
    assert_array_equal(circular_keep((3, 3), 1), [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    assert_array_equal(circular_keep((2, 4), 1), [[0, 1, 1, 0], [0, 1, 1, 0]])
    assert circular_keep((5, 6), -1).all()


def test_other_radii_are_refused() -> None:
    with pytest.raises(ValueError, match=r"-1 .* 0 .* positive .* got -2"):
        circular_keep((4, 4), -2)
