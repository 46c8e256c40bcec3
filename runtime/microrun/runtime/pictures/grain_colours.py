"""Colours of grains by their crystal orientations, and the key that says what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

import microrun.kernels.compiling  # noqa: F401 (before what orix compiles)
from microrun.runtime.errors import VolumeError
from microrun.runtime.maps.orientations import SampleDirection, colour_orientations
from microrun.runtime.pictures.crystal_directions import draw_colour_key
from microrun.runtime.pictures.painting import NOISE, Image
from microrun.runtime.volumes.orientations import GrainOrientations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIRECTIONS: tuple[SampleDirection, ...] = get_args(SampleDirection)


class GrainColours(NamedTuple):
    """Colours of the inverse pole figure along a direction of the sample.

    Parameters
    ----------
    table
        (n, 3) float32 sRGB of grains 0 to n − 1, grey where a grain has no orientation.
    direction
        "x", "y" or "z": the volume's last, middle or first axis.
    symmetry
        Laue group of the crystals.
    phase
        Crystal structure such as "fcc"; empty where only the symmetry is known.
    """

    table: Image
    direction: SampleDirection
    symmetry: str
    phase: str = ""

    def colour(self, grains: NDArray[np.int32]) -> Image:
        """(…, 3) float32 colours of grains, grey where there is none or it has no orientation."""
        known = (grains >= 0) & (grains < len(self.table))
        return np.where(known[..., None], self.table[np.where(known, grains, 0)], np.float32(NOISE))

    def draw_key(self, figure: Figure, axis: Axes) -> None:
        """Put the key in the place of an empty panel."""
        crystals = f"{self.phase}, {self.symmetry}" if self.phase else self.symmetry
        draw_colour_key(figure, axis, self.symmetry, f"IPF-{self.direction.upper()} · {crystals}")


def colour_by_orientation(orientations: GrainOrientations, direction: str) -> GrainColours:
    """Colours of grains along a direction of the sample.

    Parameters
    ----------
    orientations
        From `read_orientations`.
    direction
        "x", "y" or "z", also as capitals.

    Raises
    ------
    VolumeError
        If the direction is another, or no grain has an orientation.
    """
    along = next((each for each in DIRECTIONS if each == direction.lower()), None)
    if along is None:
        raise VolumeError(f"--ipf is a direction of the sample, {', '.join(DIRECTIONS)}; got {direction!r}")
    from orix.quaternion import Rotation

    known: NDArray[np.bool_] = ~np.isnan(orientations.euler.sum(axis=1))
    if not known.any():
        raise VolumeError("no grain has an orientation; run microrun orient")
    rotations = np.zeros((len(known), 4))
    rotations[known] = Rotation.from_euler(orientations.euler[known]).data
    colours = colour_orientations(rotations, known, orientations.symmetry, along)
    table = np.where(known[:, None], colours, NOISE).astype(np.float32)
    return GrainColours(table, along, orientations.symmetry, orientations.phase)
