"""How well a model knows the patterns of a scan, as a latents file states it."""

from __future__ import annotations

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
    """

    median: float
    expected: float

    @property
    def known(self) -> bool:
        """Whether the model knows such patterns; where it does not, its latents say little of them."""
        return self.median >= self.expected

    def __str__(self) -> str:
        return f"median {self.median:.2f}, expected above {self.expected:.2f}"
