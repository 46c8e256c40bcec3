"""What all textures have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.textures.crystal import Crystal


class Texture(Protocol):
    """Where orientations come from."""

    @property
    def crystal(self) -> Crystal:
        """The crystals' symmetry."""

    @property
    def notes(self) -> Sequence[str]:
        """Remarks about the source, for people."""

    def draw(self, count: int, generator: np.random.Generator) -> Float64:
        """Draw orientations at random.

        Parameters
        ----------
        count
            How many.
        generator
            Of random numbers.

        Returns
        -------
        (count, 3) float64
            Bunge angles phi1, Phi, phi2 in radians.
        """
