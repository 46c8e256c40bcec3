"""Textures from a formula: none, and fibres."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import TextureError
from microrun.runtime.textures.crystal import Crystal, find_direction
from microrun.runtime.textures.rotations import multiply, to_euler, turn_about, turn_onto

FORM = "fibre:001@z:15 (crystal direction, sample direction, half width in degrees)"
AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}
WIDEST = 90.0


@dataclass(frozen=True)
class Uniform:
    """No texture: all orientations are equally likely."""

    crystal: Crystal
    notes: tuple[str, ...] = ()

    def draw(self, count: int, generator: np.random.Generator) -> Float64:
        """Draw as `Texture.draw` does."""
        first, height, second = generator.random((3, count))
        return np.stack([2 * np.pi * first, np.arccos(1 - 2 * height), 2 * np.pi * second], axis=1)


@dataclass(frozen=True)
class Fibre:
    """A crystal direction is parallel to a sample direction, but for a spread; about it crystals are turned at will.

    The density of the angle between the two is that of the de la Vallée Poussin kernel, which MTEX takes for its
    fibreODF: at the half width it is half of what it is at 0. About half of the grains lie within.

    Parameters
    ----------
    crystal
        Whose direction it is.
    direction, axis
        The crystal's and the sample's, (3,) unit vectors.
    half_width_deg
        Of the density.
    """

    crystal: Crystal
    direction: Float64
    axis: Float64
    half_width_deg: float
    notes: tuple[str, ...] = ()

    def draw(self, count: int, generator: np.random.Generator) -> Float64:
        """Draw as `Texture.draw` does."""
        sharpness = np.log(0.5) / (2 * np.log(np.cos(np.deg2rad(self.half_width_deg) / 2)))
        height, azimuth, spin = generator.random((3, count))
        tilt = 2 * np.arccos(height ** (1 / (2 * sharpness + 2)))
        across = np.cross(self.axis, np.eye(3)[np.argmin(np.abs(self.axis))])
        across /= np.linalg.norm(across)
        turns = 2 * np.pi * azimuth[:, None]
        sideways = np.cos(turns) * across + np.sin(turns) * np.cross(self.axis, across)
        ends = np.cos(tilt)[:, None] * self.axis + np.sin(tilt)[:, None] * sideways
        return to_euler(multiply(turn_about(ends, 2 * np.pi * spin), turn_onto(self.direction, ends)))


def parse_fibre(text: str, crystal: Crystal) -> Fibre:
    """Read a fibre as people write it.

    Parameters
    ----------
    text
        Such as "fibre:001@z:15", "fibre:1,-1,0@1,1,0:10" or "fibre:0001@x:20".
    crystal
        Whose direction it is.

    Returns
    -------
    Fibre

    Raises
    ------
    TextureError
        If it is of another form, or a direction or the half width is none.
    """
    found = re.fullmatch(r"fib(?:re|er):([-\d,]+)@([xyz]|[-\d.,]+):([\d.]+)", text)
    if not found:
        raise TextureError(f"a fibre is written {FORM}; got {text!r}")
    indices, axis, width = found.groups()
    try:
        parts = tuple(map(int, indices.split(","))) if "," in indices else tuple(map(int, re.findall(r"-?\d", indices)))
        vector = np.array(AXES.get(axis) or [float(part) for part in axis.split(",")], np.float64)
        half_width_deg = float(width)
    except ValueError:
        raise TextureError(f"a fibre is written {FORM}; got {text!r}") from None
    if len(parts) not in (3, 4) or vector.shape != (3,) or not np.linalg.norm(vector):
        raise TextureError(f"a direction has three indices, or four in hexagonal crystals, not all 0; got {text!r}")
    if not 0 < half_width_deg <= WIDEST:
        raise TextureError(f"a fibre's half width is more than 0° and at most {WIDEST:g}°; got {width}")
    return Fibre(crystal, find_direction(parts, crystal), vector / np.linalg.norm(vector), half_width_deg)
