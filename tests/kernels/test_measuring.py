"""What is measured of patterns, against plain NumPy, and what must not change it."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.binning import area_weights
from microrun.kernels.intensity import prepare_area, prepare_whole
from microrun.kernels.masking import circular_keep
from microrun.kernels.measuring import (
    BACKGROUND,
    CONTRAST,
    MEAN,
    MEASURES,
    SATURATED,
    SHARPNESS,
    find_saturated,
    find_spans,
    measure_pattern,
    measure_patterns,
    saturated_share,
)

SHAPE = (12, 20)
KEEP = circular_keep(SHAPE, 0) | (np.indices(SHAPE)[0] == 4)
PATTERNS = arrays(np.float32, SHAPE, elements=st.floats(0, 65535, width=32))
REST = [MEAN, CONTRAST, SHARPNESS, BACKGROUND]


def measured(binned: NDArray[Any], background: NDArray[Any], keep: NDArray[np.bool_] = KEEP) -> NDArray[np.float32]:
    measures = np.full(MEASURES, -1, np.float32)
    measure_pattern(binned.astype(np.float32), background.astype(np.float32), find_spans(keep), measures)
    return measures


def bell(shape: tuple[int, int], height: float = 20_000) -> NDArray[np.float32]:
    y, x = (np.linspace(-1, 1, side) for side in shape)
    return (height * np.exp(-(y[:, None] ** 2 + (x - 0.2) ** 2))).astype(np.float32)


def pictured(blur_px: float, noise: float) -> NDArray[np.float32]:
    """Medians of what is measured of nine patterns of bands on a background, 120×120."""
    rng, background = np.random.default_rng(0), bell((120, 120))
    keep, y_x = circular_keep((120, 120), 0), np.indices((120, 120))
    found = []
    for _ in range(9):
        bands = np.zeros((120, 120))
        for angle, place, width in zip(*rng.uniform([[0], [20], [2]], [[np.pi], [100], [6]], (3, 14)), strict=True):
            apart = (y_x[0] - place) * np.sin(angle) + (y_x[1] - place) * np.cos(angle)
            spread = np.hypot(width, blur_px)
            bands += width / spread * np.exp(-((apart / spread) ** 2))
        noisy = bands + noise * rng.standard_normal(bands.shape)
        found.append(measured(background * (1 + 0.05 * noisy), background, keep))
    median: NDArray[np.float32] = np.median(found, axis=0)
    return median


@given(PATTERNS, PATTERNS, arrays(np.int64, (SHAPE[0], 2), elements=st.integers(0, SHAPE[1])))
def test_measures_are_those_of_plain_numpy(binned: NDArray[Any], background: NDArray[Any], ends: NDArray[Any]) -> None:
    columns = np.arange(SHAPE[1])
    keep = (columns >= ends.min(axis=1)[:, None]) & (columns < ends.max(axis=1)[:, None])
    expected, error = oracles.measure_pattern(binned, background, keep)
    found = measured(binned, background, keep)
    assert found[SATURATED] == -1
    for place in REST:
        if np.isfinite(error[place]):  # else rounding decides
            assert_allclose(found[place], expected[place], atol=error[place], rtol=1e-4)


@given(arrays(st.sampled_from([np.dtype("uint8"), np.dtype("uint16")]), (9, 7)))
def test_saturated_pixels_are_those_that_the_largest_grey_level_has_too_many(pattern: NDArray[Any]) -> None:
    lines = np.array([[0, 1, 6], [4, 0, 7], [8, 3, 4]])
    pixels = np.concatenate([pattern[row, start:stop] for row, start, stop in lines]).astype(np.int64)
    below = (pixels >= pixels.max() - max(1, pixels.max() // 128)) & (pixels < pixels.max())
    expected = max(0, (pixels == pixels.max()).mean() - below.mean())
    assert_allclose(saturated_share(pattern, lines), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("brightest", [12, 40, 250])
def test_a_dim_camera_of_8_bits_is_not_saturated_and_a_ceiling_is(brightest: float) -> None:
    lines = np.stack([np.arange(120), np.zeros(120), np.full(120, 120)], axis=1).astype(np.int64)
    noise = np.random.default_rng(0).standard_normal((120, 120))
    levels = bell((120, 120), 0.8 * brightest) + 0.2 * np.sqrt(brightest) * noise
    pattern = np.clip(levels.round(), 0, 255).astype(np.uint8)
    assert saturated_share(pattern, lines) < 0.004
    ceiling = np.uint8(np.quantile(pattern, 0.85))
    assert saturated_share(np.minimum(pattern, ceiling), lines) > 0.05


@given(PATTERNS, st.floats(0.25, 4, width=32))
def test_a_gain_changes_the_mean_alone(binned: NDArray[Any], gain: float) -> None:
    background = bell(SHAPE)
    _, error = oracles.measure_pattern(binned, background, KEEP)
    one, other = measured(binned, background), measured(binned * np.float32(gain), background * np.float32(gain))
    assert_allclose(other[MEAN], gain * one[MEAN], rtol=1e-4, atol=1e-4)
    for place in (CONTRAST, SHARPNESS, BACKGROUND):
        if np.isfinite(error[place]):
            assert_allclose(other[place], one[place], atol=2 * error[place], rtol=1e-3)


def test_a_blur_lowers_sharpness_and_noise_changes_neither_it_nor_the_contrast() -> None:
    sharp, blurred, noisy = pictured(0, 0), pictured(3, 0), pictured(0, 0.3)
    assert blurred[SHARPNESS] < 0.85 * sharp[SHARPNESS]
    assert_allclose(noisy[[SHARPNESS, CONTRAST]], sharp[[SHARPNESS, CONTRAST]], rtol=0.05)


def test_nothing_is_measured_of_a_constant_pattern_but_its_mean() -> None:
    found = measured(np.full(SHAPE, 7), bell(SHAPE))
    assert found[MEAN] == 7
    assert np.isnan(found[[CONTRAST, SHARPNESS, BACKGROUND]]).all()


def test_without_a_background_there_is_no_correlation_with_it() -> None:
    found = measured(np.random.default_rng(0).random(SHAPE), np.zeros(SHAPE))
    assert np.isnan(found[BACKGROUND])
    assert np.isfinite(found[[MEAN, CONTRAST]]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_are_passed_over_in_silence(bad: float) -> None:
    binned = np.random.default_rng(0).random(SHAPE)
    binned[4, 9] = bad
    assert np.isnan(measured(binned, bell(SHAPE))[[CONTRAST, SHARPNESS, BACKGROUND]]).all()


@pytest.mark.parametrize("shape", [(40, 40), (60, 60)])
def test_preparing_gives_the_same_bits_whether_it_is_measured_or_not(shape: tuple[int, int]) -> None:
    rng, n = np.random.default_rng(1), 3
    raw, background, keep = (
        rng.integers(0, 4096, (n, *shape), np.uint16),
        bell((20, 20), 900),
        circular_keep((20, 20), 0),
    )
    spans, lines = find_spans(keep), np.array([[0, 2, 30], [20, 0, 40]])
    measures, axis = np.full((n, MEASURES), np.nan, np.float32), area_weights(shape[0], 20)

    def prepare(*measuring: object) -> tuple[NDArray[Any], ...]:
        results = np.empty((n, 20, 20), np.float32), np.empty((n, 2), np.float32), np.empty(n, bool)
        how = background, keep.astype(np.float32), False, *results, *measuring
        if shape[0] == 40:
            prepare_whole(raw, 2, *how)
        else:
            prepare_area(raw, *axis, *axis, *how)
        return results

    for one, other in zip(prepare(), prepare((spans, lines, measures)), strict=True):
        assert_array_equal(one, other)
    apart, binned = np.empty_like(measures), np.stack([oracles.bin_area(pattern, (20, 20)) for pattern in raw])
    measure_patterns(binned.astype(np.float32), background, spans, apart)
    find_saturated(raw, lines, apart)
    told = [MEAN, SATURATED, BACKGROUND]  # of noise alone, rounding decides what there is beside it
    assert_allclose(measures[:, told], apart[:, told], rtol=1e-3, atol=1e-3)
