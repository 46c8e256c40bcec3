"""Samples of a picture of voxels coloured, shaded by their faces, lined at borders, and averaged to pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.pictures.isometric import LEFT, NO_FACE, RIGHT, TOP

Image = NDArray[np.float32]
SAMPLES = 3  # along each side of a pixel
BRIGHTNESS = {NO_FACE: 1.0, TOP: 1.0, RIGHT: 0.84, LEFT: 0.68}
LINE = 0.3  # brightness of lines
NOISE = 0.45  # grey of voxels that have neither grain nor value
VALUES = "viridis"  # colours of values
COLOURS = 1024
STRIDES = np.array([0.6180339887, 0.7548776662, 0.5698402910])  # whose multiples fill the unit interval evenly
# From OKLab to the cones' answers, and from their cubes to linear sRGB (Ottosson 2020).
TO_CONES = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def make_palette() -> Image:
    """Many colours of all hues, none much heavier than another.

    Returns
    -------
    (1024, 3) float32 sRGB in [0, 1]
    """
    shares = np.arange(COLOURS)[:, None] * STRIDES % 1
    hue, lightness, chroma = 2 * np.pi * shares[:, 0], 0.6 + 0.28 * shares[:, 1], 0.07 + 0.06 * shares[:, 2]
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)])
    linear = np.clip(TO_RGB @ (TO_CONES @ lab) ** 3, 0, 1)
    encoded: Image = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).astype(
        np.float32
    )
    return encoded.T


def colour_grains(grains: NDArray[np.int32]) -> Image:
    """Colours of grains, the same in every picture.

    Parameters
    ----------
    grains
        (…) int32, negative where there is none.

    Returns
    -------
    (…, 3) float32 sRGB in [0, 1], grey where there is no grain
    """
    at = (grains % COLOURS + grains // COLOURS * 389) % COLOURS
    return np.where((grains >= 0)[..., None], make_palette()[at], np.float32(NOISE))


def shade_values(values: NDArray[np.float32], low: float, high: float, cmap: str = VALUES) -> Image:
    """Colours of values between two bounds.

    Parameters
    ----------
    values
        (…) float32, NaN where there is none.
    low, high
        Values that the first and the last colour stand for; beyond them the colour is the same.
    cmap
        matplotlib's name of the colours.

    Returns
    -------
    (…, 3) float32 sRGB in [0, 1], grey for NaN
    """
    from matplotlib import colormaps

    table = colormaps[cmap](np.linspace(0, 1, 256))[:, :3].astype(np.float32)
    known = ~np.isnan(values)
    shares = (np.where(known, values, low) - low) / max(high - low, 1e-30)
    at = np.clip(shares * 255, 0, 255).round().astype(np.uint8)
    return np.where(known[..., None], table[at], np.float32(NOISE))


def find_borders(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Samples beside one of another number; lines of them are two samples wide.

    Parameters
    ----------
    numbers
        (rows, columns).

    Returns
    -------
    (rows, columns) bool
    """
    borders = np.zeros(numbers.shape, np.bool_)
    across, down = numbers[:, 1:] != numbers[:, :-1], numbers[1:] != numbers[:-1]
    borders[:, 1:] |= across
    borders[:, :-1] |= across
    borders[1:] |= down
    borders[:-1] |= down
    return borders


def smooth(brightness: Image, seen: NDArray[np.bool_], radius: int) -> Image:
    """Mean over a square of the samples that show anything, so that a slope is not striped by its steps.

    Parameters
    ----------
    brightness
        (rows, columns) float32.
    seen
        (rows, columns) bool, True where a sample shows anything.
    radius
        Samples from the square's middle to its sides.

    Returns
    -------
    (rows, columns) float32, 1 where nothing is seen
    """
    weighted, weights = (np.where(seen, values, 0) for values in (brightness, np.float32(1)))
    for axis in (0, 1):
        weighted, weights = (_sum_window(values, axis, radius) for values in (weighted, weights))
    mean: Image = np.where(seen, weighted / np.maximum(weights, 1), 1).astype(np.float32)
    return mean


def _sum_window(values: NDArray[Any], axis: int, radius: int) -> NDArray[np.float64]:
    around = [(radius + 1, radius) if axis == each else (0, 0) for each in (0, 1)]
    sums = np.pad(values, around).cumsum(axis, np.float64)
    last = np.arange(2 * radius + 1, sums.shape[axis])
    window: NDArray[np.float64] = sums.take(last, axis) - sums.take(last - 2 * radius - 1, axis)
    return window


def paint(colours: Image, faces: NDArray[np.uint8], numbers: NDArray[Any], radius: int = 0) -> Image:
    """Make the pixels of a picture.

    Parameters
    ----------
    colours
        (rows, columns, 3) float32 sRGB of the samples, `SAMPLES` along each side of a pixel.
    faces
        (rows, columns) uint8, the face that each shows; white where none.
    numbers
        (rows, columns); lines are drawn where they change.
    radius
        Samples around over which the shades of faces are averaged.

    Returns
    -------
    (rows // `SAMPLES`, columns // `SAMPLES`, 3) float32 sRGB in [0, 1]
    """
    brightness = np.array([BRIGHTNESS[face] for face in range(len(BRIGHTNESS))], np.float32)[faces]
    seen = faces != NO_FACE
    if radius:
        brightness = smooth(brightness, seen, radius)
    brightness[find_borders(numbers)] *= LINE
    shaded = np.where(seen[..., None], colours, np.float32(1)) * brightness[..., None]
    rows, cols = (side // SAMPLES for side in faces.shape)
    shaded = shaded[: rows * SAMPLES, : cols * SAMPLES]
    pixels: Image = shaded.reshape(rows, SAMPLES, cols, SAMPLES, 3).mean((1, 3))
    return pixels
