"""What is measured of every pattern beside its latent: brightness, contrast, saturation, sharpness, background."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import fast_kernel

MEAN, CONTRAST, SATURATED, SHARPNESS, BACKGROUND = range(5)
MEASURES = 5
NEAR, FAR = 2, 4  # pixels apart, at which even patterns that were enlarged twice share no noise
EVERY = 2  # lines that are looked at
NO_VARIANCE = 1e-9  # of the square of the mean: rounding
BELOW = 128  # of the largest grey level, the part that lies just below it; one level at least


def find_spans(keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First and one after the last pixel of each row inside a mask, which has no holes: (H, 2) int64; 0, 0 for none."""
    first, last = keep.argmax(axis=1), keep.shape[1] - keep[:, ::-1].argmax(axis=1)
    used = np.asarray(keep.any(axis=1))
    spans: NDArray[np.int64] = np.where(used[:, None], np.stack([first, last], axis=1), 0)
    return spans


@fast_kernel
def saturated_share(pattern: Any, lines: Any) -> np.float32:
    """Share of the pixels that a ceiling cut off: how many more have the largest grey level than lie just below it.

    Parameters
    ----------
    pattern
        (h, w) uint8 or uint16.
    lines
        (n, 3) int64: row, first column and one after the last, of the pixels that are looked at.

    Notes
    -----
    Where nothing is cut off, grey levels thin out towards the largest one, however few levels there are: a dim pattern
    of 8 bits has per cents of its pixels there.
    """
    limits = np.zeros(2, pattern.dtype)  # of its type, which compares 16 or 32 pixels at once
    for n in range(lines.shape[0]):
        row = pattern[lines[n, 0], lines[n, 1] : lines[n, 2]]
        brightest = limits[0]
        for x in range(len(row)):
            brightest = row[x] if row[x] > brightest else brightest
        limits[0] = brightest
    limits[1] = limits[0] - min(limits[0], max(1, limits[0] // BELOW))
    largest, least = limits[0], limits[1]
    found: Any = 0
    looked_at = 0
    for n in range(lines.shape[0]):
        row = pattern[lines[n, 0], lines[n, 1] : lines[n, 2]]
        count = np.int32(0)
        for x in range(len(row)):
            count += np.int32(2) if row[x] == largest else np.int32(0)
            count -= np.int32(1) if row[x] >= least else np.int32(0)
        found += count
        looked_at += len(row)
    return np.float32(max(0, found) / max(1, looked_at))


@fast_kernel
def fit_background(binned: Any, background: Any, spans: Any, moments: Any) -> None:
    """Mean of a pattern, its variance and that of the background, and their covariance, inside the mask.

    Parameters
    ----------
    binned, background
        (H, W) float32.
    spans
        From `find_spans`.
    moments
        (4,) float64, as named above.
    """
    middle = binned.shape[0] // 2
    level, below = binned[middle, middle], background[middle, middle]  # or else squares lose what tells
    sums, count = np.zeros(5, np.float64), 0
    for i in range(0, binned.shape[0], EVERY):
        row, under_row = binned[i, spans[i, 0] : spans[i, 1]], background[i, spans[i, 0] : spans[i, 1]]
        b, bb, g, gg, bg = np.float32(0), np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for j in range(len(row)):
            value, behind = row[j] - level, under_row[j] - below
            b += value
            bb += value * value
            g += behind
            gg += behind * behind
            bg += value * behind
        count += len(row)
        sums[0] += b
        sums[1] += bb
        sums[2] += g
        sums[3] += gg
        sums[4] += bg
    sums /= max(1, count)
    moments[0] = level + sums[0] if count else np.nan
    moments[1] = sums[1] - sums[0] * sums[0]
    moments[2] = sums[3] - sums[2] * sums[2]
    moments[3] = sums[4] - sums[0] * sums[2]


@fast_kernel
def structure(binned: Any, background: Any, share: Any, spans: Any, differences: Any) -> None:
    """Mean squares of the differences of pixels that lie `NEAR` and `FAR` apart in a row.

    Parameters
    ----------
    binned, background
        (H, W) float32.
    share
        float32: how many times the background is taken away.
    spans
        From `find_spans`.
    differences
        (2,) float64; 0 where the mask is too narrow.
    """
    differences[:] = 0
    count = 0
    line = np.empty(binned.shape[1], np.float32)
    for i in range(0, binned.shape[0], EVERY):
        row, under_row = binned[i, spans[i, 0] : spans[i, 1]], background[i, spans[i, 0] : spans[i, 1]]
        pixels = max(0, len(row) - FAR)
        for j in range(len(row)):
            line[j] = row[j] - share * under_row[j]
        a, b = np.float32(0), np.float32(0)
        for j in range(pixels):
            one, two = line[j + NEAR] - line[j], line[j + FAR] - line[j]
            a += one * one
            b += two * two
        differences[0] += a
        differences[1] += b
        count += pixels
    differences /= max(1, count)


@fast_kernel
def measure_pattern(binned: Any, background: Any, spans: Any, measures: Any) -> None:
    """Measure a binned pattern.

    Parameters
    ----------
    binned, background
        (H, W) float32; a background of one value is none.
    spans
        From `find_spans`.
    measures
        (5,) float32, of which four are set: `MEAN`, the mean inside the mask, without its sign. `CONTRAST`, the
        standard deviation over the mean of what is neither background nor noise. `SHARPNESS`, the share of that
        variance which is lost from 2 to 4 pixels' distance. `BACKGROUND`,
        Pearson's correlation with the background. NaN where a number means nothing.

    Notes
    -----
    Noise adds the same to squared differences at all distances, so that it cancels in contrast and sharpness.
    """
    moments, apart = np.empty(4, np.float64), np.empty(2, np.float64)
    fit_background(binned, background, spans, moments)
    mean, variance, behind, together = moments[0], moments[1], moments[2], moments[3]
    measures[MEAN] = abs(mean)
    measures[CONTRAST] = measures[SHARPNESS] = measures[BACKGROUND] = np.nan
    if not (variance > NO_VARIANCE * mean * mean and variance < np.inf):
        return
    share = 0.0
    level = background[background.shape[0] // 2, background.shape[1] // 2]
    if behind > NO_VARIANCE * level * level and behind < np.inf:
        share = together / behind
        measures[BACKGROUND] = together / np.sqrt(variance * behind)
    structure(binned, background, np.float32(share), spans, apart)
    signal = variance - share * together - apart[0] / 2
    if mean != 0:
        measures[CONTRAST] = np.sqrt(max(signal, 0.0)) / abs(mean)
    if signal > NO_VARIANCE * mean * mean:
        measures[SHARPNESS] = (apart[1] - apart[0]) / (2 * signal)


@fast_kernel
def measure_patterns(binned: Any, background: Any, spans: Any, measures: Any) -> None:
    """Apply `measure_pattern` to each of (n, H, W) binned patterns; ``measures`` is (n, 5) float32."""
    for n in range(binned.shape[0]):
        measure_pattern(binned[n], background, spans, measures[n])


@fast_kernel
def find_saturated(patterns: Any, lines: Any, measures: Any) -> None:
    """Set `SATURATED` of ``measures``, (n, 5) float32, for (n, h, w) raw patterns, by `saturated_share`."""
    for n in range(patterns.shape[0]):
        measures[n, SATURATED] = saturated_share(patterns[n], lines)
