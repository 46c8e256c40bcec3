"""Binning against blocks of pixels averaged one by one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.binning import area_weights, bin_area, bin_whole

DTYPES = st.sampled_from(["uint8", "uint16"])
SIDES = st.integers(1, 24)
RELATIVE = 1e-5


def whole(pattern: NDArray[Any], factor: int) -> NDArray[np.float32]:
    out = np.full((pattern.shape[0] // factor, pattern.shape[1] // factor), np.nan, np.float32)
    bin_whole(pattern, factor, out)
    return out


def area(pattern: NDArray[Any], out_shape: tuple[int, int]) -> NDArray[np.float32]:
    out = np.full(out_shape, np.nan, np.float32)
    rows, cols = (area_weights(size, side) for size, side in zip(pattern.shape, out_shape, strict=True))
    bin_area(pattern, *rows, *cols, out)
    return out


def noise(shape: tuple[int, int], dtype: str) -> NDArray[Any]:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@given(st.data(), DTYPES, st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))
def test_whole_factors_average_blocks(data: st.DataObject, dtype: str, factor: int, rows: int, cols: int) -> None:
    pattern = data.draw(arrays(dtype, (rows * factor, cols * factor)))
    assert_allclose(whole(pattern, factor), oracles.bin_whole(pattern, factor), rtol=RELATIVE)


@given(st.data(), DTYPES, SIDES, SIDES, SIDES, SIDES)
def test_any_factor_averages_exact_areas(
    data: st.DataObject, dtype: str, rows: int, cols: int, out_rows: int, out_cols: int
) -> None:
    pattern = data.draw(arrays(dtype, (rows, cols)))
    expected = oracles.bin_area(pattern, (out_rows, out_cols))
    assert_allclose(area(pattern, (out_rows, out_cols)), expected, rtol=RELATIVE)


@given(SIDES, SIDES)
def test_weights_are_the_overlaps(size: int, out_size: int) -> None:
    first, weights = area_weights(size, out_size)
    dense = np.zeros((out_size, size + weights.shape[1]))
    for i, start in enumerate(first):
        dense[i, start : start + weights.shape[1]] = weights[i]
    shares = oracles.overlaps(size, out_size)
    assert_allclose(dense[:, :size], shares / shares.sum(axis=1, keepdims=True), atol=1e-6)
    assert_array_equal(dense[:, size:], 0)
    assert first.dtype == np.int64
    assert weights.dtype == np.float32


@given(SIDES, SIDES, st.fractions(-30, 30, max_denominator=7), st.fractions("1/9", 60, max_denominator=9))
def test_weights_of_a_part_are_the_overlaps(size: int, out_size: int, start: Fraction, width: Fraction) -> None:
    """The part may reach beyond the input, or lie beside it."""
    stop = start + width
    first, weights = area_weights(size, out_size, float(start), float(stop))
    dense = np.zeros((out_size, size + weights.shape[1]))
    for row, begin, shares in zip(dense, first, weights, strict=True):
        row[begin : begin + len(shares)] = shares
    assert_allclose(dense[:, :size], oracles.part_overlaps(size, out_size, start, stop), atol=1e-6)
    assert_array_equal(dense[:, size:], 0)


@given(SIDES, SIDES)
def test_all_of_an_axis_is_resampled_as_in_version_0_1(size: int, out_size: int) -> None:
    """To the last bit: latents of the published method stay what they are."""
    edges = np.arange(out_size + 1) * (size / out_size)
    edges = np.where(np.abs(edges - np.round(edges)) < 1e-9, np.round(edges), edges)
    begins = np.floor(edges[:-1]).astype(np.int64)
    pixels = begins[:, None] + np.arange(int((np.ceil(edges[1:]).astype(np.int64) - begins).max()))
    shares = np.clip(np.minimum(pixels + 1, edges[1:, None]) - np.maximum(pixels, edges[:-1, None]), 0, None)
    for first, weights in (area_weights(size, out_size), area_weights(size, out_size, 0.0, float(size))):
        assert_array_equal(first, begins)
        assert_array_equal(weights, (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(480, 480), (622, 512), (156, 128), (60, 60), (120, 120)])
def test_detectors_to_the_input_of_an_engine(shape: tuple[int, int], dtype: str) -> None:
    pattern = noise(shape, dtype)
    assert_allclose(area(pattern, (120, 120)), oracles.bin_area(pattern, (120, 120)), rtol=RELATIVE)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("side", "factor"), [(480, 4), (360, 3), (240, 2), (120, 1), (600, 5)])
def test_both_ways_agree_on_whole_factors(side: int, factor: int, dtype: str) -> None:
    pattern = noise((side, side), dtype)
    assert_allclose(whole(pattern, factor), oracles.bin_whole(pattern, factor), rtol=RELATIVE)
    assert_allclose(whole(pattern, factor), area(pattern, (120, 120)), rtol=RELATIVE)


@pytest.mark.parametrize("factor", [2, 4, 16, 64, 254, 255])
def test_saturated_sums_do_not_overflow(factor: int) -> None:
    pattern = np.full((factor, 2 * factor), 65535, np.uint16)
    assert_allclose(whole(pattern, factor), 65535, rtol=1e-6)


def test_factor_one_copies() -> None:
    pattern = noise((7, 9), "uint16")
    assert_array_equal(whole(pattern, 1), pattern)
    assert_array_equal(area(pattern, (7, 9)), pattern)


def test_enlarging_by_two_repeats_pixels() -> None:
    pattern = noise((60, 60), "uint8")
    assert_array_equal(area(pattern, (120, 120)), np.repeat(np.repeat(pattern, 2, 0), 2, 1))


def test_a_block_by_hand() -> None:
    pattern = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert_array_equal(whole(pattern, 2), [[2.5, 4.5], [10.5, 12.5]])
    assert_array_equal(whole(pattern, 4), [[7.5]])
    assert_allclose(area(pattern[:, :3], (2, 2)), [[2 + 1 / 3, 3 + 2 / 3], [10 + 1 / 3, 11 + 2 / 3]], rtol=1e-6)


def test_views_are_read_as_they_lie() -> None:
    large = noise((50, 70), "uint16")
    view = large[3:43, 5:65]
    assert_array_equal(whole(view, 4), whole(view.copy(), 4))
    assert_array_equal(area(view, (13, 13)), area(view.copy(), (13, 13)))


def test_floats_are_binned_by_area() -> None:
    image = np.random.default_rng(2).normal(size=(31, 17)).astype(np.float32)
    assert_allclose(area(image, (12, 12)), oracles.bin_area(image, (12, 12)), atol=1e-5)
    image[3, 4] = np.nan
    assert np.isnan(area(image, (12, 12))).any()
