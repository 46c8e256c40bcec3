"""What samples are conditioned on: numbers with a name and the window that they were trained in."""

from __future__ import annotations

import math
from dataclasses import dataclass

from microrun.runtime.errors import SpecError

GRAIN_VOXELS = "grain_voxels"  # name of the condition that is the mean diameter of a volume's grains, in voxels


@dataclass(frozen=True)
class Condition:
    """A number that samples are conditioned on, and the window that it was trained in.

    Parameters
    ----------
    name
        With its unit, such as "power_w".
    low, high
        Least and largest value in training; a network sees −1 and 1 for them.
    """

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise SpecError(f"the window of {self.name} must rise from low to high; got {self.low} to {self.high}")

    def scale(self, value: float) -> float:
        """What a network sees of a value: −1 at the window's low end, 1 at its high end; 0 if both are one."""
        return (2 * value - self.low - self.high) / (self.high - self.low) if self.high > self.low else 0.0
