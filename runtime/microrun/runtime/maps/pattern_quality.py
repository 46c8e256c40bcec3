"""Image quality and sharpness of patterns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Float64

SHARP = 2500.0  # a Fourier coefficient counts if it is larger than the largest over this (Calvat et al.)


def measure_sharpness(patterns: Float32, pixel_keep: NDArray[np.bool_]) -> Float64:
    """Share of Fourier coefficients larger than the largest over 2,500, of the pattern made positive.

    It rewards noise as much as sharp bands: compare it between patterns with the same noise only.

    Parameters
    ----------
    patterns
        (n, H, W) float32, prepared: [−1, 1] inside the mask.
    pixel_keep
        (H, W) bool, True inside the mask.

    Returns
    -------
    (n,) float64 in [0, 1]
    """
    magnitudes = np.abs(np.fft.fft2(_positive(patterns, pixel_keep)))
    largest = magnitudes.max(axis=(1, 2), keepdims=True)
    share: Float64 = (magnitudes > largest / SHARP).mean(axis=(1, 2))
    return share


def measure_image_quality(patterns: Float32, pixel_keep: NDArray[np.bool_]) -> Float64:
    """Image quality by Krieger Lassen: how far the Fourier spectrum leans to low frequencies.

    Parameters
    ----------
    patterns
        (n, H, W) float32, prepared.
    pixel_keep
        (H, W) bool, True inside the mask.

    Returns
    -------
    (n,) float64
        1 − Σ|F|q² / (Σ|F| · mean q²), with q the frequency (N. C. Krieger Lassen, thesis, 1994); patterns are
        normalised to mean 0 inside the mask. Removing noise raises it.
    """
    kept = np.where(pixel_keep, patterns, 0).astype(np.float64)
    kept -= pixel_keep * (kept.sum(axis=(1, 2)) / pixel_keep.sum())[:, None, None]
    spectrum = np.abs(np.fft.fft2(kept))
    rows, cols = (np.fft.fftfreq(n) * n for n in patterns.shape[1:])
    q2 = rows[:, None] ** 2 + cols[None, :] ** 2
    inertia = (spectrum * q2).sum(axis=(1, 2))
    total = spectrum.sum(axis=(1, 2))
    quality: Float64 = 1 - inertia / np.maximum(total * q2.mean(), 1e-300)
    return quality


def _positive(patterns: Float32, pixel_keep: NDArray[np.bool_]) -> Float32:
    return np.where(pixel_keep, (patterns + 1) / 2, 0).astype(np.float32)
