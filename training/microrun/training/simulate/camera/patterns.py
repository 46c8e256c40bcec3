"""Prepared patterns as an encoder gets them from a real camera, each with its noise-free twin."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from microrun.kernels.binning import area_weights, bin_area
from microrun.runtime.array_types import Float32, Float64
from microrun.training.simulate.camera.bands import Bands, View, draw_bands, draw_view, mask_of
from microrun.training.simulate.camera.conditions import SIDE, Conditions
from microrun.training.simulate.camera.materials import Material
from microrun.training.simulate.camera.residues import (
    add_bad_pixels,
    draw_brightness,
    draw_envelope,
    draw_local_mean_width,
    draw_noise,
    draw_shadow,
    local_mean,
)

KEEP = mask_of(SIDE)
MASK = KEEP.astype(np.float32)


class Patterns(NamedTuple):
    """Patterns and what they are of.

    Parameters
    ----------
    patterns
        (n, 120, 120) float32, each stretched to [−1, 1] inside the mask, 0 outside.
    expected
        The same without noise and defects, on the same scale; beyond it clipped.
    bands
        (n, 120, 120) float32, the bands alone, as simulated at the usual energy, stretched to [−1, 1] inside the mask.
    rotations, centres
        (n, 4) and (n, 3) float64, as in `View`.
    materials
        (n,) int64 number of the phase.
    """

    patterns: Float32
    expected: Float32
    bands: Float32
    rotations: Float64
    centres: Float64
    materials: NDArray[np.int64]


class CameraSimulator:
    """Draws patterns; number i of a seed is the same whatever is drawn before it or beside it.

    Parameters
    ----------
    materials
        Phases.
    shares
        Of the patterns that are of each phase.
    conditions
        What all else is drawn from.
    seed
        Of all that is random.
    turned
        (4,) unit quaternion, scalar first, by which crystals are turned on from the orientations that are drawn, in
        their own axes; None leaves them.
    """

    def __init__(
        self,
        materials: Sequence[Material],
        shares: Sequence[float],
        conditions: Conditions,
        seed: int = 0,
        turned: Sequence[float] | None = None,
    ) -> None:
        self.materials, self.conditions, self.seed = tuple(materials), conditions, seed
        self._turned = None if turned is None else tuple(map(float, turned))
        weights = np.asarray(shares, np.float64)
        self.shares = weights / weights.sum()

    @property
    def identity(self) -> str:
        """Hash of all that the patterns depend on."""
        record = {
            "masters": [hashlib.sha256(material.masters.tobytes()).hexdigest() for material in self.materials],
            "shares": self.shares.tolist(),
            "conditions": self.conditions.describe(),
            "seed": self.seed,
        }
        if self._turned is not None:
            record["turned"] = list(self._turned)
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        return ", ".join(
            f"{material.crystal.name} ({', '.join(f'{kev:g}' for kev in material.energies_kev)} kV)"
            for material in self.materials
        )

    def make(self, first: int, count: int) -> Patterns:
        """Make patterns.

        Parameters
        ----------
        first
            Number of the first.
        count
            How many.
        """
        made = Patterns(
            patterns=np.empty((count, SIDE, SIDE), np.float32),
            expected=np.empty((count, SIDE, SIDE), np.float32),
            bands=np.empty((count, SIDE, SIDE), np.float32),
            rotations=np.empty((count, 4)),
            centres=np.empty((count, 3)),
            materials=np.empty(count, np.int64),
        )
        for place in range(count):
            self._draw(np.random.default_rng((self.seed, first + place)), place, made)
        return made

    def _turn(self, view: View) -> View:
        if self._turned is None:
            return view
        turn, drawn = (Rotation.from_quat(one, scalar_first=True) for one in (self._turned, view.rotation))
        return view._replace(rotation=(turn * drawn).as_quat(scalar_first=True))

    def _draw(self, rng: np.random.Generator, place: int, made: Patterns) -> None:
        conditions = self.conditions
        number = int(rng.choice(len(self.materials), p=self.shares))
        view = self._turn(draw_view(conditions, rng))
        side = int(rng.choice(conditions.pixels))
        envelope = draw_envelope(side, conditions, rng)
        real, clean = _draw_mixture(self.materials[number], view, side, conditions, rng)
        bands = real * envelope
        bands /= bands[mask_of(side)].std()
        noise = draw_noise(envelope, conditions, rng)
        brightness = draw_brightness(envelope, conditions, rng)
        bands, noise, brightness, clean = (_to_full_side(image) for image in (bands, noise, brightness, clean))
        expected = bands + brightness
        pattern, expected = _acquire(expected + noise, expected, conditions, rng)
        if rng.random() < conditions.inverted:
            pattern, expected = -pattern, -expected
        made.patterns[place], made.expected[place] = _stretch_both(pattern, expected, conditions, rng)
        made.bands[place] = _stretch(clean, *_extremes(clean))
        made.rotations[place], made.centres[place], made.materials[place] = view.rotation, view.centre, number


def _draw_mixture(material: Material, view: View, side: int, conditions: Conditions, rng: np.random.Generator) -> Bands:
    bands = draw_bands(material, view, side, conditions, rng)
    if rng.random() >= conditions.mixed:
        return bands
    other = view._replace(rotation=draw_view(conditions, rng).rotation)
    share = np.float32(rng.uniform(0, 1 / 3))
    added = draw_bands(material, other, side, conditions, rng)
    return Bands(*((1 - share) * mine + share * its for mine, its in zip(bands, added, strict=True)))


def _to_full_side(image: Float32) -> Float32:
    """As preprocessing does with a smaller detector."""
    if len(image) == SIDE:
        return image
    weights = area_weights(len(image), SIDE)
    out = np.empty((SIDE, SIDE), np.float32)
    bin_area(image, *weights, *weights, out)
    return out


def _acquire(
    pattern: Float32, expected: Float32, conditions: Conditions, rng: np.random.Generator
) -> tuple[Float32, Float32]:
    """What acquisition software and the camera do at last."""
    if rng.random() < conditions.high_passed:
        width = draw_local_mean_width(rng)
        mean = local_mean(pattern, MASK, width)
        pattern, expected = pattern - mean, expected - mean
        if rng.random() < conditions.locally_scaled:
            spread = np.sqrt(local_mean(pattern * pattern, MASK, width)) + np.float32(0.2) * pattern[KEEP].std()
            pattern, expected = pattern / spread, expected / spread
    if rng.random() < conditions.shadowed:
        shadow, level = draw_shadow(rng), np.float32(rng.normal(0, 0.7))
        pattern = np.where(shadow, level + np.float32(0.1) * (pattern - expected), pattern)
        expected = np.where(shadow, level, expected)
    if rng.random() < conditions.bad_pixels:
        pattern = pattern.copy()
        add_bad_pixels(pattern, rng)
    return pattern, expected


def _stretch_both(
    pattern: Float32, expected: Float32, conditions: Conditions, rng: np.random.Generator
) -> tuple[Float32, Float32]:
    limits = _extremes(pattern)
    if rng.random() < conditions.clipped:
        share = rng.uniform(0.05, 2.0)
        low, high = np.percentile(pattern[KEEP], (share, 100 - share)).astype(np.float32)
        limits = low, high
    images = [_stretch(image, *limits) for image in (pattern, expected)]
    if rng.random() < conditions.gamma:
        power = math.exp(rng.uniform(-0.5, 0.5))
        images = [(np.float32(2) * (np.float32(0.5) * (image + 1)) ** np.float32(power) - 1) * MASK for image in images]
    return images[0], images[1]


def _extremes(image: Float32) -> tuple[np.float32, np.float32]:
    inside = image[KEEP]
    return inside.min(), inside.max()


def _stretch(image: Float32, low: np.float32, high: np.float32) -> Float32:
    scaled = (image - low) * (np.float32(2) / (high - low + np.float32(1e-12))) - 1
    stretched: Float32 = np.clip(scaled, -1, 1) * MASK
    return stretched
