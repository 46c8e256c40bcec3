"""The twenty crystal orientations of simulated sections, and the colours in which cubic orientations are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64

N_ORIENTATIONS = 20
UNINDEXED_COLOUR = 1.0  # white


def _draw_table(count: int) -> Float64:
    generator = np.random.RandomState(1)  # the paper's generator: another one draws another table
    heights, first, second = (generator.random_sample(count) for _ in range(3))
    table: Float64 = np.stack([2 * np.pi * first, np.arccos(2 * heights - 1), 2 * np.pi * second], axis=1)
    table.setflags(write=False)
    return table


# Table 1 of Xie et al., "Sim-to-real diffusion models for microstructure prediction in metal additive manufacturing"
# (2026): (20, 3) float64 Bunge angles phi1, Phi, phi2 in radians. Directions are uniform on the sphere. The first row
# is 288.268, 99.553, 355.990 degrees.
TABLE_1 = _draw_table(N_ORIENTATIONS)


def build_directions(euler: Float64) -> Float64:
    """Crystal directions that point along the build direction.

    Parameters
    ----------
    euler
        (…, 3) float64 Bunge angles phi1, Phi, phi2 in radians, of the rotation from sample to crystal. The sample's z
        is the build direction.

    Returns
    -------
    (…, 3) float64
        Unit vectors in the axes of the crystal.
    """
    polar, second = euler[..., 1], euler[..., 2]
    return np.stack([np.sin(polar) * np.sin(second), np.sin(polar) * np.cos(second), np.cos(polar)], axis=-1)


def colour_directions(directions: Float64) -> Float64:
    """Colours of crystal directions in the standard triangle of cubic crystals.

    ⟨001⟩ is red, ⟨011⟩ green and ⟨111⟩ blue. Within the triangle the colour follows the polar angle and the azimuth
    in shares of their ranges, its square root is taken, and its largest part is 1, as in DREAM.3D's key for m-3m.
    orix and MTEX spread the same three corners a little otherwise.

    Parameters
    ----------
    directions
        (…, 3) float64, of any length above 0.

    Returns
    -------
    (…, 3) float64
        sRGB in [0, 1].
    """
    unit = np.sort(np.abs(directions), axis=-1) / np.linalg.norm(directions, axis=-1, keepdims=True)
    small, middle, large = np.moveaxis(unit, -1, 0)
    azimuth = np.arctan2(small, middle)
    widest = np.arccos(np.sqrt(1 / (2 + np.tan(azimuth) ** 2)))  # the polar angle at the edge 011–111
    outward, around = np.arctan2(np.hypot(small, middle), large) / widest, azimuth / (np.pi / 4)
    shares = np.stack([1 - outward, (1 - around) * outward, around * outward], axis=-1)
    colours: Float64 = np.sqrt(np.clip(shares, 0, 1))
    colours /= colours.max(axis=-1, keepdims=True)
    return colours


def ipf_colours(euler: Float64) -> Float64:
    """Colours of orientations in the inverse pole figure of the build direction (IPF-Z).

    Parameters
    ----------
    euler
        (…, 3) float64 Bunge angles in radians.

    Returns
    -------
    (…, 3) float64
        sRGB in [0, 1].
    """
    return colour_directions(build_directions(euler))


def paint_orientations(orientation: NDArray[np.integer[Any]], euler: Float64) -> Float64:
    """Picture of sections in IPF-Z colours.

    Parameters
    ----------
    orientation
        (…, rows, cols) rows of `euler`; negative where there is no orientation.
    euler
        (n, 3) float64 Bunge angles in radians.

    Returns
    -------
    (…, rows, cols, 3) float64
        sRGB in [0, 1], white where there is no orientation.
    """
    colours = np.concatenate([ipf_colours(euler), np.full((1, 3), UNINDEXED_COLOUR)])
    picture: Float64 = colours[np.where(orientation >= 0, orientation, len(euler))]
    return picture
