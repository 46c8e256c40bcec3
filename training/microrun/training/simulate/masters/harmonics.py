"""Real functions on the sphere from spherical harmonics, and their square Lambert projections."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
PER_ORDER = 3  # latitudes for each harmonic degree: what is between them is interpolated
PAD = 8  # longitudes repeated on either side, for the interpolation


def evaluate_on_rings(coefficients: NDArray[np.complex128], theta: Float64, n_phi: int) -> Float64:
    """Sum spherical harmonics on rings of equal latitude.

    Parameters
    ----------
    coefficients
        (L, L) complex: at [m, l] that of Yₗᵐ, orthonormal with the Condon–Shortley phase, m ≥ 0; those of −m follow,
        since the function is real.
    theta
        (n,) polar angles in radians.
    n_phi
        Longitudes 2π·j/n_phi of each ring; at least 2·L.

    Returns
    -------
    (n, n_phi) float64

    Notes
    -----
    Normalised associated Legendre functions by their three-term recurrence in l, which is stable; each ring by a
    Fourier transform.
    """
    spectrum = np.zeros((len(theta), n_phi // 2 + 1), complex)
    for m in np.flatnonzero(coefficients.any(axis=1)):
        for value, legendre in zip(coefficients[m, m:], _legendre(int(m), theta), strict=False):
            if value:
                spectrum[:, m] += value * legendre
    return np.fft.irfft(spectrum * n_phi, n_phi, axis=1)


def project_lambert(coefficients: NDArray[np.complex128], side: int) -> Float32:
    """Both hemispheres in the square Lambert projection of kikuchipy and EMsoft.

    Parameters
    ----------
    coefficients
        As for `evaluate_on_rings`.
    side
        Pixels of a side; odd, so that one is at the pole.

    Returns
    -------
    (2, side, side) float32: upper and lower hemisphere
    """
    degrees = len(coefficients)
    n_theta, n_phi = PER_ORDER * degrees + 1, 2 * PER_ORDER * degrees
    rings = evaluate_on_rings(coefficients, np.linspace(0, math.pi, n_theta), n_phi)
    rings = np.concatenate([rings[:, -PAD:], rings, rings[:, :PAD]], axis=1)
    x, y, z = square_lambert(side)
    phi = np.mod(np.arctan2(y, x), 2 * np.pi) / (2 * np.pi) * n_phi + PAD
    hemispheres = []
    for sign in (1, -1):
        theta = np.arccos(np.clip(sign * z, -1, 1)) / math.pi * (n_theta - 1)
        hemispheres.append(map_coordinates(rings, [theta, phi], order=3, mode="nearest"))
    return np.stack(hemispheres).astype(np.float32)


def square_lambert(side: int) -> tuple[Float64, Float64, Float64]:
    """Directions of the upper hemisphere that pixels of its square Lambert projection show.

    Parameters
    ----------
    side
        Pixels of a side.

    Returns
    -------
    x, y, z
        (side, side) float64 each; the lower hemisphere has −z.

    Notes
    -----
    The equal-area map of Roşca, Astron. Astrophys. 520 (2010) A63, equation 8.
    """
    across, down = np.meshgrid(*[np.linspace(-1, 1, side) * math.sqrt(math.pi / 2)] * 2)
    steep = np.abs(down) > np.abs(across)
    longer, shorter = np.where(steep, down, across), np.where(steep, across, down)
    radius = 2 / math.pi * longer * np.sqrt(math.pi - longer**2)
    angle = math.pi / 4 * np.divide(shorter, longer, out=np.zeros_like(longer), where=longer != 0)
    one, other = radius * np.cos(angle), radius * np.sin(angle)
    return np.where(steep, other, one), np.where(steep, one, other), 1 - 2 / math.pi * longer**2


def _legendre(m: int, theta: Float64) -> Iterator[Float64]:
    """Normalised Pₗᵐ(cos θ) for l = m, m + 1, …; without end."""
    x = np.cos(theta)
    # sinᵐθ in logarithms: near the poles it is less than float64 can hold.
    start = 0.5 * (math.log((2 * m + 1) / (4 * math.pi)) + sum(math.log1p(-0.5 / k) for k in range(1, m + 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = start + (m * np.log(np.abs(np.sin(theta))) if m else np.zeros_like(theta))
    sign = -1.0 if m % 2 else 1.0
    before, now = np.zeros_like(theta), sign * np.exp(np.maximum(exponent, -745.0))
    now[exponent < -745.0] = 0
    degree, last = m, 1.0
    while True:
        yield now
        degree += 1
        scale = math.sqrt((4 * degree**2 - 1) / (degree**2 - m**2))
        before, now = now, scale * (x * now - before / last)
        last = scale
