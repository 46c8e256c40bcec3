"""Whether what indexing finds is right: a wrong orientation counts as indexed, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.maps.indexing import Orientations
from microrun.runtime.maps.orientations import misorientation_angles, point_group

RIGHT_DEG = 5.0  # an orientation is right if it lies no farther off


@dataclass(frozen=True)
class Right:
    """How many orientations are right.

    Parameters
    ----------
    share
        Share of `of` that is indexed, no farther off than 5°.
    of
        Patterns whose right orientation is known: all that have a truth, or else those whose original is indexed.
    against
        What they are compared with: "truth", or "original" for the orientation found in the original.
    chance
        Share that would be right if orientations were random.
    """

    share: float
    of: int
    against: Literal["truth", "original"]
    chance: float

    def __str__(self) -> str:
        near = "the truth" if self.against == "truth" else "what indexing finds in the original"
        share = f"share of {self.of:,} patterns that are indexed within {RIGHT_DEG:g}° of {near}"
        return f"{share}; by chance {self.chance:.2%}"


def judge_right(found: Orientations, original: Orientations, truth: Float64 | None) -> Right:
    """Compare orientations with the truth, or else with those of the originals.

    Parameters
    ----------
    found
        Of reconstructions, or of the originals themselves.
    original
        Of the originals, pattern by pattern; one of them at least is indexed.
    truth
        (n, 4) float64 true rotations, unit quaternions, or None.
    """
    wanted = original.rotations if truth is None else truth
    known = original.indexed if truth is None else np.ones(len(truth), bool)
    near = misorientation_angles(found.rotations, wanted, found.phase) <= RIGHT_DEG
    share = float((found.indexed & near)[known].mean())
    return Right(share, int(known.sum()), "original" if truth is None else "truth", chance_of_right(found.phase))


def chance_of_right(phase: str) -> float:
    """Share of random orientations that lie within 5° of a given one.

    Parameters
    ----------
    phase
        Its symmetry, as `point_group` takes it.

    Returns
    -------
    float
        N (θ − sin θ) / π for the N rotations of the symmetry, whose neighbourhoods of so small a θ do not overlap.
    """
    group, angle = point_group(phase), np.deg2rad(RIGHT_DEG)
    return float((~group.improper).sum() * (angle - np.sin(angle)) / np.pi)
