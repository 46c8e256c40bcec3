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


def draw_bands(material: Material, view: View, side: int, conditions: Conditions, rng: np.random.Generator) -> Float32:
    """Project bands and give them a profile: energies, softness, excess and deficiency.

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

    Returns
    -------
    (side, side) float32
        With mean 0 and standard deviation 1 inside the mask, brighter in the bands.
    """
    bands = _project(material, view, side, _draw_energies(material, conditions, rng))
    px = side / SIDE
    softness = rng.uniform(-1, 1) * conditions.band_softness
    if softness:
        bands += np.float32(softness) * (gaussian_filter(bands, rng.uniform(2, 5) * px, truncate=2.5) - bands)
    if conditions.excess_deficiency:
        down, right = np.gradient(gaussian_filter(bands, rng.uniform(0.8, 2.5) * px, truncate=3))
        shift = rng.normal(0, conditions.excess_deficiency, 2) * px * (1.0, 0.5)  # the beam comes from above
        bands += np.float32(shift[0]) * down + np.float32(shift[1]) * right
    spread = rng.uniform(*conditions.point_spread_px) * px
    if spread > 0.15:  # less is no blur at this sampling
        bands = gaussian_filter(bands, spread, mode="nearest", truncate=3)
    return standardise(bands)


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


def _project(material: Material, view: View, side: int, shares: Float64) -> Float32:
    bands = np.zeros((side, side), np.float32)
    for master, share in zip(material.masters, shares, strict=True):
        if share > LEAST_SHARE:
            bands += np.float32(share) * project(master, view, side)
    return bands


def _draw_energies(material: Material, conditions: Conditions, rng: np.random.Generator) -> Float64:
    """Share of each energy."""
    count = len(material.masters)
    if count > 1 and rng.random() < conditions.energy_mixing:
        mixed: Float64 = rng.dirichlet(np.full(count, 0.7))
        return mixed
    single: Float64 = np.eye(count)[rng.integers(count)]
    return single
