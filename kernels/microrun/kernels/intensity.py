"""Preparation of raw patterns for an engine: bin, subtract the background, mask, rescale, in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from microrun.kernels.binning import bin_area, bin_whole
from microrun.kernels.compiling import fast_kernel
from microrun.kernels.measuring import SATURATED, measure_pattern, saturated_share


@fast_kernel
def brightness_gain(binned: Any, background: Any, keep: Any) -> np.float32:
    """Factor that brings a pattern to the brightness of the background: 1/s, s·background being nearest to it.

    Parameters
    ----------
    binned, background, keep
        (H, W) float32, as for `rescale_pattern`.

    Returns
    -------
    np.float32
        The least-squares fit over the pixels inside the mask; 1 where there is none, as without a background.
    """
    rows, cols = binned.shape
    with_pattern, with_itself = 0.0, 0.0
    for i in range(rows):
        for j in range(cols):
            used = keep[i, j] > 0
            expected = np.float64(background[i, j] if used else 0)
            with_pattern += expected * (binned[i, j] if used else 0)
            with_itself += expected * expected
    if not (0.0 < with_pattern < np.inf and 0.0 < with_itself < np.inf):
        return np.float32(1)
    return np.float32(with_itself / with_pattern)


@fast_kernel
def rescale_pattern(
    binned: Any, background: Any, keep: Any, scale_background: bool, out: Any, value_range: Any
) -> bool:
    """Subtract the background and stretch the pixels inside the mask to [−1, 1].

    Parameters
    ----------
    binned, background
        (H, W) float32.
    keep
        (H, W) float32, 1 where the pixel is used, 0 elsewhere; below 0 as for `fill_uncovered`.
    scale_background
        True to bring the pattern to the background's brightness before.
    out
        (H, W) float32; 0 outside the mask.
    value_range
        (2,) float32: smallest and largest value inside the mask after the subtraction.

    Returns
    -------
    bool
        True for a pattern without information (constant, or with NaN or Inf): its output is 0.
    """
    rows, cols = binned.shape
    infinity = np.float32(np.inf)
    raw_low, raw_high, low, high = infinity, -infinity, infinity, -infinity
    gain = brightness_gain(binned, background, keep) if scale_background else np.float32(1)
    not_finite = 0  # NaN and Inf, counted by comparison: min and max pass over NaN
    for i in range(rows):
        for j in range(cols):
            value = binned[i, j] * gain
            corrected = value - background[i, j]
            out[i, j] = corrected
            used = keep[i, j] > 0
            raw_low = min(raw_low, value if used else infinity)
            raw_high = max(raw_high, value if used else -infinity)
            low = min(low, corrected if used else infinity)
            high = max(high, corrected if used else -infinity)
            not_finite += 1 if used and not abs(corrected) < infinity else 0
    # Less than this is rounding of the binning, not contrast.
    least = np.float32(2e-6) * max(abs(raw_low), abs(raw_high)) + np.float32(1e-30)
    spread = high - low
    if not_finite or not (raw_high - raw_low > least and least < spread < infinity):
        out[:] = 0
        known = not_finite == 0 and -infinity < spread < infinity
        value_range[0] = value_range[1] = low + spread / 2 if known else 0
        return True
    value_range[0], value_range[1] = low, high
    stretch = np.float32(2) / (high - low)
    for i in range(rows):
        for j in range(cols):
            stretched = (out[i, j] - low) * stretch - np.float32(1)
            out[i, j] = min(stretched, np.float32(1)) if keep[i, j] > 0 else np.float32(0)
    return False


@fast_kernel
def fill_uncovered(keep: Any, out: Any) -> None:
    """Give those pixels of prepared patterns that the detector does not cover the mean of those that are used.

    A pattern is then as if nothing was to be seen there, which disturbs a network less than an edge does.

    Parameters
    ----------
    keep
        (H, W) float32, above 0 where the pixel is used, below 0 where it lies beside the detector.
    out
        (n, H, W) float32, prepared; changed where the pixel lies beside the detector.
    """
    rows, cols = keep.shape
    used, beside = 0, 0
    for i in range(rows):
        for j in range(cols):
            used += 1 if keep[i, j] > 0 else 0
            beside += 1 if keep[i, j] < 0 else 0
    if not used or not beside:
        return
    for n in range(out.shape[0]):
        total = np.float32(0)
        for i in range(rows):
            for j in range(cols):
                total += out[n, i, j] if keep[i, j] > 0 else np.float32(0)
        mean = total / np.float32(used)
        for i in range(rows):
            for j in range(cols):
                out[n, i, j] = mean if keep[i, j] < 0 else out[n, i, j]


@fast_kernel
def rescale_patterns(
    binned: Any, background: Any, keep: Any, scale_background: bool, out: Any, value_ranges: Any, flags: Any
) -> None:
    """Apply `rescale_pattern` to each of (n, H, W) binned patterns, and `fill_uncovered` to all.

    Parameters
    ----------
    binned, out
        (n, H, W) float32; they may be the same array.
    background, keep, scale_background
        As for `rescale_pattern`.
    value_ranges
        (n, 2) float32.
    flags
        (n,) bool, True for patterns without information.
    """
    for n in range(binned.shape[0]):
        flags[n] = rescale_pattern(binned[n], background, keep, scale_background, out[n], value_ranges[n])
    fill_uncovered(keep, out)


@fast_kernel
def prepare_whole(
    patterns: Any, factor: int, background: Any, keep: Any, scale_background: bool, out: Any, value_ranges: Any,
    flags: Any, measuring: Any = None,
) -> None:  # fmt: skip
    """Prepare raw patterns whose binning factor is a whole number.

    Parameters
    ----------
    patterns
        (n, H·factor, W·factor) uint8 or uint16.
    factor
        Pixels per bin and axis.
    background, keep, scale_background
        As for `rescale_pattern`.
    out
        (n, H, W) float32.
    value_ranges
        (n, 2) float32.
    flags
        (n,) bool.
    measuring
        Spans of the mask, lines of raw patterns that are looked at for saturation, and where measures go, as
        `microrun.kernels.measuring` has them; None measures nothing.
    """
    binned = np.empty(background.shape, np.float32)
    for n in range(patterns.shape[0]):
        bin_whole(patterns[n], factor, binned)
        if measuring is not None:
            measure_pattern(binned, background, measuring[0], measuring[2][n])
            measuring[2][n, SATURATED] = saturated_share(patterns[n], measuring[1])
        flags[n] = rescale_pattern(binned, background, keep, scale_background, out[n], value_ranges[n])


@fast_kernel
def prepare_area(
    patterns: Any,
    row_first: Any,
    row_weights: Any,
    col_first: Any,
    col_weights: Any,
    background: Any,
    keep: Any,
    scale_background: bool,
    out: Any,
    value_ranges: Any,
    flags: Any,
    measuring: Any = None,
) -> None:
    """Prepare raw patterns of any shape, or part of them, by exact area weights; `fill_uncovered` ends it.

    Parameters
    ----------
    patterns
        (n, h, w) uint8 or uint16.
    row_first, row_weights, col_first, col_weights
        Weights from `area_weights`, for (h, H) and (w, W).
    background, keep, scale_background, out, value_ranges, flags, measuring
        As for `prepare_whole`.
    """
    binned = np.empty(background.shape, np.float32)
    for n in range(patterns.shape[0]):
        bin_area(patterns[n], row_first, row_weights, col_first, col_weights, binned)
        if measuring is not None:
            measure_pattern(binned, background, measuring[0], measuring[2][n])
            measuring[2][n, SATURATED] = saturated_share(patterns[n], measuring[1])
        flags[n] = rescale_pattern(binned, background, keep, scale_background, out[n], value_ranges[n])
    fill_uncovered(keep, out)
