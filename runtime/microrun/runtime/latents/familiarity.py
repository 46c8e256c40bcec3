"""How well a model knows the patterns of a scan, as a latents file states it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Familiarity:
    """What a model gives back of the bands of a scan.

    Parameters
    ----------
    median
        Of the correlation between the bands of reconstructions and of the smoothed input, in [−1, 1].
    expected
        What it lies above where the model knows such patterns, with the noise that they have.
    turned
        The median of the patterns turned about, dark to bright; None where it was not asked for, since they are known.
    """

    median: float
    expected: float
    turned: float | None = None

    @property
    def known(self) -> bool:
        """Whether the model knows such patterns; where it does not, its latents say little of them."""
        return self.median >= self.expected

    @property
    def inverted(self) -> bool:
        """Whether the model knows them turned about: their bands are dark."""
        return self.turned is not None and self.turned >= self.expected

    def numbers(self) -> tuple[float, float, float]:
        """All three, NaN for None, as a file holds them."""
        return self.median, self.expected, math.nan if self.turned is None else self.turned

    def __str__(self) -> str:
        return f"median {self.median:.2f}, expected above {self.expected:.2f}"
