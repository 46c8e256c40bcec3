"""What an encoder knows: patterns like those that it learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from microrun.runtime.errors import SpecError

Span = tuple[float, float]


@dataclass(frozen=True)
class Domain:
    """Which patterns an encoder knows.

    Parameters
    ----------
    phases
        Names of the phases, such as "nickel".
    energy_kev
        Lowest and highest energy of the beam in keV.
    pattern_centre
        Lowest and highest x*, y* and z* in EDAX's convention, of a square detector.
    noise
        Lowest and highest standard deviation of a binned pixel's noise over that of the bands, in the mean over the
        mask.

    Raises
    ------
    SpecError
        If a number is not finite, a span falls, or an energy, a z* or a noise cannot be.
    """

    phases: tuple[str, ...]
    energy_kev: Span
    pattern_centre: tuple[Span, Span, Span]
    noise: Span

    def __post_init__(self) -> None:
        if len(self.pattern_centre) != 3:
            raise SpecError(f"pattern_centre must have spans of x, y and z; got {self.pattern_centre}")
        spans = {"energy_kev": self.energy_kev, "noise": self.noise}
        spans |= {f"pattern_centre {axis}": span for axis, span in zip("xyz", self.pattern_centre, strict=True)}
        for name, (low, high) in spans.items():
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise SpecError(f"{name} must rise from low to high; got {low} to {high}")
        if not (self.energy_kev[0] > 0 and self.pattern_centre[2][0] > 0 and self.noise[0] >= 0):
            raise SpecError("energies and z of the pattern centre must be positive, noise must not be negative")

    def __str__(self) -> str:
        spans = (self.energy_kev, *self.pattern_centre, self.noise)
        energy, x, y, z, noise = (f"{low:g} to {high:g}" if low < high else f"{low:g}" for low, high in spans)
        return f"{', '.join(self.phases)}; {energy} keV; pattern centre {x}, {y}, {z}; noise {noise} of the bands"

    @property
    def centre(self) -> tuple[float, float, float]:
        """Middle of the pattern centres, (x*, y*, z*)."""
        x, y, z = (round((low + high) / 2, 6) for low, high in self.pattern_centre)
        return x, y, z

    def knows_centre(self, centre: tuple[float, float, float]) -> bool:
        """Whether a pattern centre of a square detector lies among them."""
        return all(low <= value <= high for value, (low, high) in zip(centre, self.pattern_centre, strict=True))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Domain:
        """Read what `dataclasses.asdict` made; SpecError, TypeError, KeyError or ValueError if it is something else."""
        return cls(**{name: _to_tuple(value) for name, value in values.items()})


def _to_tuple(value: Any) -> Any:
    """Lists, which JSON made of tuples, as tuples again."""
    return tuple(map(_to_tuple, value)) if isinstance(value, list) else value
