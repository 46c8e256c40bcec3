"""Kikuchi bands on a detector, without background and noise."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from microrun.kernels.masking import circular_keep
from microrun.kernels.projection import project_gnomonic
from microrun.runtime.array_types import Float32, Float64
from microrun.training.simulate.camera.conditions import SIDE, Conditions
from microrun.training.simulate.camera.materials import Material

LEAST_SHARE = 0.03  # of an energy: less is not seen


class View(NamedTuple):
    """Where a pattern is seen from.

    Parameters
    ----------
    rotation
        (4,) unit quaternion, scalar first, from the sample's to the crystal's axes.
    centre
        (x*, y*, z*) in EDAX's convention, of a square detector.
    tilt_deg
        Of the sample, less the camera's elevation.
    """

    rotation: Float64
    centre: Float64
    tilt_deg: float

    def turn(self) -> Float32:
        """Matrix from directions (right, up, from source to detector) to the crystal's axes, (3, 3) float32."""
        tilt = math.radians(self.tilt_deg)
        sine, cosine = math.sin(tilt), math.cos(tilt)
        to_sample = np.array([[0, -sine, cosine], [1, 0, 0], [0, cosine, sine]])
        to_crystal = Rotation.from_quat(self.rotation, scalar_first=True).as_matrix()
        return np.ascontiguousarray(to_crystal @ to_sample, np.float32)


def draw_view(conditions: Conditions, rng: np.random.Generator) -> View:
    """Draw an orientation, evenly over all, and a geometry."""
    rotation = rng.normal(size=4)
    centre = np.array([rng.uniform(*span) for span in conditions.pattern_centre])
    return View(rotation / np.linalg.norm(rotation), centre, rng.uniform(*conditions.tilt_deg))


class Bands(NamedTuple):
    """Bands of one pattern, both with mean 0 and standard deviation 1 inside the mask, brighter in the bands.

    Parameters
    ----------
    real
        (side, side) float32, with profiles that real ones have.
    clean
        The same as simulated at the usual energy: as sharp, and in the same places.
    """

    real: Float32
    clean: Float32


def draw_bands(material: Material, view: View, side: int, conditions: Conditions, rng: np.random.Generator) -> Bands:
    """Project bands and give them a profile: energies, detail, flanks, saturation, excess and deficiency.

    Parameters
    ----------
    material
        The phase.
    view
        Where from.
    side
        Of the detector in pixels.
    conditions
        What profiles are drawn from.
    rng
        Source of what is drawn.
    """
    clean = standardise(project(material.masters[material.usual], view, side))
    real = _mix(material, view, clean, _draw_energies(material, conditions, rng))
    real = standardise(_draw_profile(real, side / SIDE, conditions, rng))
    strength = rng.uniform(*conditions.saturation)
    if strength:
        real = (1 - np.exp(-np.float32(strength) * real)) / np.float32(strength)
    spread = rng.uniform(*conditions.point_spread_px) * side / SIDE
    if spread > 0.15:  # less is no blur at this sampling
        real, clean = (gaussian_filter(image, spread, mode="nearest", truncate=3) for image in (real, clean))
    return Bands(standardise(real), standardise(clean))


def _draw_profile(bands: Float32, px: float, conditions: Conditions, rng: np.random.Generator) -> Float32:
    """Change detail by its scale, and shift brightness from one side of the bands to the other."""
    fine, flanks = (np.float32(rng.uniform(*span)) for span in (conditions.fine_detail, conditions.flanks))
    widths = rng.uniform(0.7, 1.3) * px * np.array([3.0, 6.0])
    if fine != 1 or flanks != 1:
        middle, broad = (gaussian_filter(bands, width, truncate=2.5) for width in widths)
        bands = fine * (bands - middle) + flanks * (middle - broad) + broad
    shift = rng.normal(0, conditions.excess_deficiency, 2) * px * (1.0, 0.5)  # the beam comes from above
    if conditions.excess_deficiency:
        down, right = np.gradient(gaussian_filter(bands, rng.uniform(0.8, 2.5) * px, truncate=3))
        bands = bands + np.float32(shift[0]) * down + np.float32(shift[1]) * right
    return bands


def standardise(image: Float32) -> Float32:
    """Give a square image mean 0 and standard deviation 1 inside the mask; a constant one becomes 0."""
    inside = image[mask_of(len(image))]
    deviation = inside.std()
    scaled: Float32 = (image - inside.mean()) / np.float32(deviation if deviation > 0 else 1)
    return scaled


@cache
def mask_of(side: int) -> NDArray[np.bool_]:
    """(side, side) bool, True inside the circle that patterns are judged in."""
    return circular_keep((side, side), 0)


def project(master: Float32, view: View, side: int) -> Float32:
    """Project a master pattern.

    Parameters
    ----------
    master
        (2, m, m) float32.
    view
        Where from.
    side
        Of the detector in pixels.

    Returns
    -------
    (side, side) float32
    """
    x, y, z = view.centre
    out = np.empty((side, side), np.float32)
    project_gnomonic(master, view.turn(), (np.array([x, 1 - y, z]) * side).astype(np.float32), out)
    return out


def _mix(material: Material, view: View, usual: Float32, shares: Float64) -> Float32:
    """Bands of several energies; those of the usual one are at hand."""
    bands = np.zeros_like(usual)
    for number, share in enumerate(shares):
        if share > LEAST_SHARE:
            one = (
                usual if number == material.usual else standardise(project(material.masters[number], view, len(usual)))
            )
            bands += np.float32(share) * one
    return bands


def _draw_energies(material: Material, conditions: Conditions, rng: np.random.Generator) -> Float64:
    """Share of each energy."""
    count = len(material.masters)
    if count > 1 and rng.random() < conditions.energy_mixing:
        mixed: Float64 = rng.dirichlet(np.full(count, 0.7))
        return mixed
    single: Float64 = np.eye(count)[rng.integers(count)]
    return single
