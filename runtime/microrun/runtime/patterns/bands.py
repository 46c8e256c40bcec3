"""What bands a pattern shows: its smooth brightness taken away, and its noise.

Pearson's correlation of whole patterns flatters a blur: most of their variance is smooth brightness, which a low-pass
of the pattern reproduces best. Correlated after a high-pass, that does not count. A background that fits badly, dust
and the phosphor's grain leave residues that are narrower; where only bands may count, the high-pass is as narrow.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Float64

BRIGHTNESS_PX, NOISE_PX = 12.0, 1.5  # standard deviations of the low-passes, in a pattern of 120 pixels
BAND_PX = 4.0  # bands of usual phases and voltages are 2 to 4° wide, which is 2 to 6 pixels at z* = 0.5
SIDE = 120
TRUNCATE = 4.0  # standard deviations after which a Gaussian ends, as SciPy's does
LEAST_WEIGHT = 1e-3  # keeps far outside the mask, where nothing is known, finite
AT_ONCE = 64  # patterns whose low-passes are in memory together


def high_pass(patterns: Float32, pixel_keep: NDArray[np.bool_], width_px: float = BRIGHTNESS_PX) -> Float32:
    """Patterns less their smooth brightness: a Gaussian low-pass, of 12 pixels of 120 by default.

    Parameters
    ----------
    patterns
        (n, H, W) float32, prepared, or reconstructed.
    pixel_keep
        (H, W) bool, True inside the mask. What lies outside has no influence on what is inside.
    width_px
        Standard deviation of the low-pass, as in `low_pass`.

    Returns
    -------
    (n, H, W) float32; without a meaning outside the mask
    """
    passed: Float32 = patterns - low_pass(patterns, pixel_keep, width_px)
    return passed


def smooth(patterns: Float32, pixel_keep: NDArray[np.bool_]) -> Float32:
    """Patterns less most of their white noise: a Gaussian low-pass of 1.5 pixels of 120; arguments as `high_pass`."""
    return low_pass(patterns, pixel_keep, NOISE_PX)


def low_pass(patterns: Float32, pixel_keep: NDArray[np.bool_], sigma_px: float) -> Float32:
    """Mean over a pixel's surroundings, weighted by a Gaussian, of the pixels inside the mask only.

    Parameters
    ----------
    patterns
        (n, H, W) float32.
    pixel_keep
        (H, W) bool, True for the pixels that count.
    sigma_px
        Standard deviation in pixels of a pattern whose longer side has 120; for others it grows with the side.

    Returns
    -------
    (n, H, W) float32; it falls to 0 far from all pixels that count
    """
    rows, cols = pixel_keep.shape
    sigma = sigma_px * max(rows, cols) / SIDE
    down, across = _gaussian(rows, sigma), _gaussian(cols, sigma)
    keep = pixel_keep.astype(np.float32)
    weight = down @ keep @ across + np.float32(LEAST_WEIGHT)
    passed = np.empty(patterns.shape, np.float32)
    for first in range(0, len(patterns), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        passed[part] = down @ (patterns[part] * keep) @ across / weight
    return passed


def correlate(one: Float32, other: Float32, pixel_keep: NDArray[np.bool_]) -> Float64:
    """Pearson's correlation of patterns inside the mask, pair by pair.

    Parameters
    ----------
    one, other
        (n, H, W) float32.
    pixel_keep
        (H, W) bool, True inside the mask.

    Returns
    -------
    (n,) float64 in [−1, 1], 0 for constant patterns
    """
    a, b = (images[:, pixel_keep].astype(np.float64) for images in (one, other))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    correlation: Float64 = (a * b).sum(axis=1) / np.maximum(norms, 1e-300)
    return correlation


def band_correlation(
    reconstructed: Float32, reference: Float32, pixel_keep: NDArray[np.bool_], width_px: float = BRIGHTNESS_PX
) -> Float64:
    """Pearson's correlation of patterns after the high-pass, pair by pair: how well the bands agree.

    Parameters
    ----------
    reconstructed, reference
        (n, H, W) float32. The reference is best without noise; of a recorded pattern, its `smooth`.
    pixel_keep
        (H, W) bool, True inside the mask.
    width_px
        Of the high-pass.

    Returns
    -------
    (n,) float64 in [−1, 1], 0 for patterns without bands
    """
    one, other = (high_pass(images, pixel_keep, width_px) for images in (reconstructed, reference))
    return correlate(one, other, pixel_keep)


@lru_cache(maxsize=8)
def _gaussian(side: int, sigma: float) -> Float32:
    """(side, side) symmetric float32: row i holds what each pixel of a line adds to the low-pass at i."""
    reach = int(TRUNCATE * sigma + 0.5)
    whole = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).sum()
    distance = np.abs(np.arange(side)[:, None] - np.arange(side))
    return np.where(distance <= reach, np.exp(-0.5 * (distance / sigma) ** 2) / whole, 0).astype(np.float32)
