"""Bands without brightness and noise: SciPy's Gaussian is the oracle, and what each measure says of a blur."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter

from microrun.runtime.array_types import Float32
from microrun.runtime.patterns.bands import band_correlation, correlate, high_pass, low_pass, smooth

RNG = np.random.default_rng(0)


def normalised(image: Float32, keep: np.ndarray, sigma: float) -> np.ndarray:
    """The low-pass of one pattern by SciPy, in float64."""
    weight = gaussian_filter(keep.astype(np.float64), sigma, mode="constant")
    return gaussian_filter(image.astype(np.float64) * keep, sigma, mode="constant") / (weight + 1e-3)


def circle(side: int) -> np.ndarray:
    y, x = np.indices((side, side)) + 0.5 - side / 2
    return np.hypot(x, y) < side / 2


def lined(n: int, side: int = 120) -> Float32:
    """Patterns of narrow stripes, each in a direction of its own."""
    y, x = np.indices((side, side)) / side
    angles = np.linspace(0, np.pi, n, endpoint=False)[:, None, None]
    return np.sin(90 * (x * np.cos(angles) + y * np.sin(angles))).astype(np.float32)


@given(
    rows=st.integers(5, 40), cols=st.integers(5, 40), sigma=st.floats(0.5, 60), n=st.integers(0, 3),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_the_low_pass_is_scipys(rows: int, cols: int, sigma: float, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    patterns = rng.uniform(-1, 1, (n, rows, cols)).astype(np.float32)
    keep = rng.random((rows, cols)) < 0.7
    found = low_pass(patterns, keep, sigma)
    assert found.shape == patterns.shape and found.dtype == np.float32
    for image, expected in zip(found, patterns, strict=True):
        assert_allclose(image, normalised(expected, keep, sigma * max(rows, cols) / 120), atol=2e-5)


@pytest.mark.parametrize("side", [60, 120])
def test_widths_go_with_the_patterns_size(side: int) -> None:
    keep, patterns = circle(side), RNG.uniform(-1, 1, (2, side, side)).astype(np.float32)
    for image, smoothed, passed in zip(patterns, smooth(patterns, keep), high_pass(patterns, keep), strict=True):
        assert_allclose(smoothed, normalised(image, keep, 1.5 * side / 120), atol=2e-5)
        assert_allclose(passed, image - normalised(image, keep, 12 * side / 120), atol=2e-5)


def test_what_lies_outside_the_mask_does_not_matter() -> None:
    keep = circle(120)
    patterns = RNG.uniform(-1, 1, (2, 120, 120)).astype(np.float32)
    other = np.where(keep, patterns, 7).astype(np.float32)
    assert_array_equal(high_pass(patterns, keep)[:, keep], high_pass(other, keep)[:, keep])


def test_many_patterns_are_those_of_each_alone() -> None:
    keep, patterns = circle(20), RNG.uniform(-1, 1, (150, 20, 20)).astype(np.float32)
    together = smooth(patterns, keep)
    assert_allclose(together, np.concatenate([smooth(one[None], keep) for one in patterns]), atol=1e-6)


def test_memory_stays_bounded() -> None:
    keep, patterns = circle(60), np.zeros((2000, 60, 60), np.float32)
    tracemalloc.start()
    low_pass(patterns, keep, 12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.4 * patterns.nbytes  # the result, and some batches


def test_a_blur_does_not_look_good_any_more() -> None:
    """The mistake that plain correlation makes: brightness without one right band scores well."""
    y, x = np.indices((120, 120)) / 120 - 0.5
    brightness = np.float32(4 * np.exp(-4 * (x * x + y * y)))
    keep, bands = circle(120), lined(4)
    patterns, blurred = brightness + bands, np.repeat(brightness[None], 4, 0)
    assert (correlate(blurred, patterns, keep) > 0.7).all()
    assert (np.abs(band_correlation(blurred, patterns, keep)) < 0.35).all()
    assert (band_correlation(bands, patterns, keep) > 0.95).all()
    assert (np.abs(band_correlation(lined(4)[[1, 2, 3, 0]], patterns, keep)) < 0.3).all()


def test_smoothing_takes_noise_away() -> None:
    keep, bands = circle(120), lined(3)
    noisy = (bands + 0.7 * RNG.standard_normal(bands.shape)).astype(np.float32)
    assert (band_correlation(bands, noisy, keep) < 0.8).all()
    assert (band_correlation(bands, smooth(noisy, keep), keep) > 0.9).all()


def test_patterns_without_bands_correlate_with_nothing() -> None:
    keep, nothing = circle(20), np.zeros((2, 20, 20), np.float32)
    assert_array_equal(band_correlation(nothing, RNG.uniform(-1, 1, (2, 20, 20)).astype(np.float32), keep), 0)


def test_correlation_is_pearsons_inside_the_mask() -> None:
    one = RNG.standard_normal((4, 6, 6)).astype(np.float32)
    other = (one + RNG.standard_normal((4, 6, 6))).astype(np.float32)
    keep = RNG.random((6, 6)) < 0.7
    expected = [np.corrcoef(a[keep], b[keep])[0, 1] for a, b in zip(one, other, strict=True)]
    assert_allclose(correlate(one, other, keep), expected, rtol=1e-6)
    assert_array_equal(correlate(one, np.zeros_like(one), keep), 0)
