"""Sections of printed metal to train a denoiser on.

Growth knows no orientation by its number: so every drawn section has its orientations exchanged at random. Tracks are
laid in either order, left to right or right to left: so sections across them are mirrored as often as not, and what
is learned is a mixture of both orders. Sections along the tracks are never mirrored, as the laser travels to the
right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.conditions import Condition
from microrun.runtime.errors import MicrorunError
from microrun.runtime.sections.grains import fill_nearest
from microrun.runtime.sections.section_set import SectionSet


class SectionDraws:
    """Any number of sections, each a function of the seed and its number.

    Every case is equally likely, and within it every section.

    Parameters
    ----------
    sections
        To draw from, of as many orientations as there are codes; cells without one take that of the nearest cell.
    conditions
        Windows of power and speed, to which values are scaled.
    codes
        (orientations, channels) float32, what a network sees of each.
    seed
        The same seed gives the same draws.
    """

    def __init__(
        self, sections: SectionSet, conditions: tuple[Condition, Condition], codes: Float32, seed: int
    ) -> None:
        self._ids = np.stack([fill_nearest(one) for one in sections.orientation]).astype(np.uint8)
        power, speed = conditions
        scaled = [(power.scale(w), speed.scale(v)) for w, v in zip(sections.power_w, sections.speed_m_s, strict=True)]
        self._conditions = np.array(scaled, np.float32)
        self._cases = [np.flatnonzero(sections.case == case) for case in np.unique(sections.case)]
        self._mirrored = sections.plane == "across"
        self._codes, self._seed = codes, seed

    @property
    def seed(self) -> int:
        """Of the draws."""
        return self._seed

    @property
    def codes(self) -> Float32:
        """What a network sees of each orientation, (orientations, channels)."""
        return self._codes

    def draw(self, indices: Sequence[int]) -> tuple[NDArray[np.uint8], Float32]:
        """Draw the sections of these numbers.

        Returns
        -------
        orientations
            (n, rows, cols) uint8.
        conditions
            (n, 2) float32, power and speed within their windows as −1 to 1.
        """
        drawn = np.empty((len(indices), *self._ids.shape[1:]), np.uint8)
        rows = np.empty(len(indices), np.int64)
        for place, index in enumerate(indices):
            rng = np.random.default_rng((self._seed, index))
            case = self._cases[rng.integers(len(self._cases))]
            rows[place] = case[rng.integers(len(case))]
            exchanged = rng.permutation(len(self._codes)).astype(np.uint8)[self._ids[rows[place]]]
            drawn[place] = exchanged[:, ::-1] if self._mirrored and rng.integers(2) else exchanged
        return drawn, self._conditions[rows]


def split_cases(sections: SectionSet, held_out: int, seed: int) -> tuple[SectionSet, SectionSet]:
    """Hold whole cases out, chosen at random.

    Parameters
    ----------
    sections
        Of several cases.
    held_out
        Cases to hold out.
    seed
        Of the choice.

    Returns
    -------
    trained, held : SectionSet

    Raises
    ------
    MicrorunError
        If no case is left to train on.
    """
    cases = np.unique(sections.case)
    if len(cases) <= held_out:
        raise MicrorunError(
            f"{len(cases)} cases are too few: {held_out} are held out as a whole, and more are needed to train on; "
            f"add sections of other cases"
        )
    held = np.random.default_rng((seed, len(cases))).permutation(cases)[:held_out]
    is_held = np.isin(sections.case, held)
    return sections.take(~is_held), sections.take(is_held)


def identify_sections(sections: SectionSet) -> str:
    """Hash of what is trained on."""
    digest = hashlib.sha256(f"{sections.plane} {sections.step_um!r} {sections.orientation.shape}".encode())
    for array in (sections.orientation, sections.power_w, sections.speed_m_s, sections.case):
        digest.update(array.tobytes())
    return digest.hexdigest()
