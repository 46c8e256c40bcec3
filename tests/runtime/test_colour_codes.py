"""Colours as numbers: far apart, and found again in spite of noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.spatial.distance import pdist

from microrun.runtime.colour_codes import colour_codes, colour_values, nearest_codes, nearest_colours
from microrun.runtime.errors import SpecError

KINDS = st.one_of(
    st.tuples(st.integers(2, 64), st.just(1)),
    st.integers(2, 6).map(lambda c: (1 << c, c)),
    st.integers(3, 64).map(lambda n: (n, (n - 1).bit_length())),  # such as 20 colours in 5 bits
)


@given(KINDS)
def test_codes_lie_a_gap_apart_within_one(kind: tuple[int, int]) -> None:
    n_colours, channels = kind
    codes = colour_codes(n_colours, channels)
    gap = 2 / (n_colours - 1) if channels == 1 else 2
    assert codes.shape == kind and codes.dtype == np.float32 and np.abs(codes).max() == 1
    assert pdist(codes, "chebyshev").min() == pytest.approx(gap, rel=1e-5)


@given(KINDS, st.integers(0, 1000))
def test_colours_are_found_again_within_half_the_gap(kind: tuple[int, int], seed: int) -> None:
    n_colours, channels = kind
    rng = np.random.default_rng(seed)
    colours = rng.integers(n_colours, size=(3, 4, 5), dtype=np.int8)
    values = colour_values(colours, n_colours, channels)
    assert values.shape == (channels, 3, 4, 5) and values.dtype == np.float32 and values.flags.c_contiguous
    half = 1 / (n_colours - 1) if channels == 1 else 1
    noise = rng.uniform(-0.99 * half, 0.99 * half, values.shape).astype(np.float32)
    found = nearest_colours(values + noise, n_colours)
    assert found.dtype == np.int8
    assert_array_equal(found, colours)


@given(KINDS, st.integers(0, 1000))
def test_the_nearest_colour_is_that_of_the_smallest_distance(kind: tuple[int, int], seed: int) -> None:
    n_colours, channels = kind
    values = np.random.default_rng(seed).normal(0, 1.5, (channels, 30)).astype(np.float32)
    distances = np.linalg.norm(colour_codes(n_colours, channels)[:, :, None] - values, axis=1)
    chosen = nearest_colours(values, n_colours)
    assert np.take_along_axis(distances, chosen[None].astype(int), 0)[0] == pytest.approx(distances.min(axis=0))


@given(st.integers(2, 20), st.integers(1, 4), st.integers(0, 1000))
def test_the_nearest_of_any_codes_has_the_smallest_distance(count: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, values = rng.normal(size=(count, channels)), rng.normal(size=(channels, 5, 6))
    distances = np.linalg.norm(codes[:, :, None, None] - values, axis=1)
    found = nearest_codes(values.astype(np.float32), codes.astype(np.float32))
    assert found.dtype == np.int8 and found.shape == (5, 6)
    assert np.take_along_axis(distances, found[None].astype(int), 0)[0] == pytest.approx(
        distances.min(axis=0), abs=1e-3
    )


@pytest.mark.parametrize(("n_colours", "channels"), [(8, 4), (10, 2), (1, 1), (0, 1)])
def test_codes_that_cannot_be_are_refused(n_colours: int, channels: int) -> None:
    with pytest.raises(SpecError, match="channels of bits hold"):
        colour_codes(n_colours, channels)
