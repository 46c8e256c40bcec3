"""What is in a pattern besides its bands."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from microrun.runtime.array_types import Float32
from microrun.training.simulate.camera.bands import mask_of, standardise
from microrun.training.simulate.camera.conditions import SIDE, Conditions

Rng = np.random.Generator
HIGHEST = 14  # half-waves of a brightness along an axis: finer is no brightness


def coordinates(side: int) -> tuple[Float32, Float32]:
    """Columns of y and rows of x from −½ to ½, downwards and to the right."""
    places = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side) - np.float32(0.5)
    return places[:, None], places[None, :]


def draw_envelope(side: int, conditions: Conditions, rng: Rng) -> Float32:
    """Draw the bell of the background, 1 at its top; (side, side) float32."""
    if rng.random() < conditions.even:
        return np.ones((side, side), np.float32)
    y, x = coordinates(side)
    top, left = rng.uniform(-0.2, 0.2, 2)
    width = rng.uniform(*conditions.envelope_width)
    down, across = (np.exp(-np.square(axis - at) / (2 * width**2)) for axis, at in ((y, top), (x, left)))
    bell: Float32 = (down * across).astype(np.float32)
    return bell


def draw_noise(envelope: Float32, conditions: Conditions, rng: Rng) -> Float32:
    """Draw noise: shot noise follows the root of the background, and a fixed pattern its brightness."""
    side = len(envelope)
    root = np.sqrt(envelope)
    noise: Float32 = rng.standard_normal(envelope.shape, np.float32) * (root / np.sqrt(envelope[mask_of(side)].mean()))
    if rng.random() < conditions.correlated_noise:
        noise = gaussian_filter(noise, rng.uniform(*conditions.correlation_px) * side / SIDE)
        noise /= noise[mask_of(side)].std()
    noise *= np.float32(math.exp(rng.uniform(*np.log(conditions.noise))))
    if rng.random() < conditions.blotches:
        for most, sizes in ((conditions.fine_blotches, (0.8, 2.0)), (conditions.coarse_blotches, (2.0, 6.0))):
            width = rng.uniform(*sizes) * side / SIDE
            grain = gaussian_filter(rng.standard_normal(envelope.shape, np.float32), width, truncate=3)
            noise += envelope * (np.float32(rng.uniform(0, most)) * standardise(grain))
    return noise


def draw_brightness(envelope: Float32, conditions: Conditions, rng: Rng) -> Float32:
    """Draw what a background leaves that does not fit: smooth waves, and some of the bell."""
    strength, order = rng.uniform(*conditions.brightness), rng.uniform(*conditions.brightness_order)
    waves, orders = _cosines(len(envelope)), np.arange(HIGHEST)
    falls = np.exp(-(orders[:, None] ** 2 + orders**2) / (2 * order**2))
    falls[0, 0] = 0
    surface = waves @ (rng.normal(size=falls.shape) * falls / np.linalg.norm(falls)).astype(np.float32) @ waves.T
    surface += np.float32(rng.normal(0, 0.7)) * (envelope - envelope.mean()) / (envelope.std() + np.float32(0.2))
    return standardise(surface) * np.float32(strength)


@cache
def _cosines(side: int) -> Float32:
    """Half-waves along an axis, by their number, each with mean square 1; (side, HIGHEST) float32."""
    places = (np.arange(side) + 0.5) / side
    waves = np.cos(np.pi * places[:, None] * np.arange(HIGHEST)) * np.sqrt(2)
    waves[:, 0] = 1
    return np.ascontiguousarray(waves, np.float32)


def draw_local_mean_width(rng: Rng) -> float:
    """Width in px over which acquisition software takes a local mean."""
    return float(rng.uniform(6, 30))


def local_mean(image: Float32, keep: Float32, width_px: float) -> Float32:
    """Local mean inside the mask, of a nearly Gaussian neighbourhood: three boxes, whose cost is the same for all.

    Parameters
    ----------
    image, keep
        (H, W) float32; 1 inside the mask.
    width_px
        Standard deviation of the neighbourhood.
    """
    size = round(math.sqrt(4 * width_px**2 + 1)) | 1
    both = np.stack([image * keep, keep])
    for _ in range(3):
        both = uniform_filter(both, (1, size, size), mode="constant")
    mean: Float32 = both[0] / (both[1] + np.float32(1e-3))
    return mean


def draw_shadow(rng: Rng) -> Float32:
    """Draw where a screen ends inside the mask: a circle or a straight edge; (120, 120) bool, True in the dark."""
    y, x = coordinates(SIDE)
    if rng.random() < 0.5:
        top, left = rng.uniform(-0.06, 0.06, 2)
        return np.asarray((x - left) ** 2 + (y - top) ** 2 > rng.uniform(0.40, 0.50) ** 2)
    angle = rng.uniform(0, 2 * math.pi)
    return np.asarray(x * math.cos(angle) + y * math.sin(angle) > rng.uniform(0.30, 0.48))


def add_bad_pixels(image: Float32, rng: Rng) -> None:
    """Set one to seven pixels far beyond the others."""
    count = int(rng.integers(1, 8))
    rows, cols = rng.integers(0, SIDE, (2, count))
    image[rows, cols] = rng.choice([-1, 1], count) * rng.uniform(3, 12, count)
