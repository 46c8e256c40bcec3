"""What the laser does."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from microrun.runtime.errors import MicrorunError

SLOWEST_M_S, FASTEST_M_S = 0.01, 100.0  # below, heat spreads much faster than the laser moves: no moving frame
COLDEST_K, WARMEST_K = 250.0, 1000.0  # of the plate: linear laws of 316L hold; and it is no casting


@dataclass(frozen=True)
class Process:
    """A laser that moves over a plane surface along +x.

    Parameters
    ----------
    power_w, speed_m_s
        Of the laser.
    beam_radius_um
        Distance from the axis at which the intensity is 1/e² of the peak.
    absorptivity
        Part of the power that is absorbed.
    depth_um
        Depth below the surface to which the absorbed power is spread, evenly: q = 2 η P/(π r_b² d) exp(−2 r²/r_b²),
        Eq. 4 of Xie et al. (2026).
    preheat_k
        Temperature of the plate, and of what is around it.
    convection_w_m2k
        Coefficient of the heat that the surface gives off by convection.
    emissivity
        Of the surface.

    Raises
    ------
    MicrorunError
        If a value is not possible.
    """

    power_w: float
    speed_m_s: float
    beam_radius_um: float = 40.0
    absorptivity: float = 0.4
    depth_um: float = 12.0
    preheat_k: float = 300.0
    convection_w_m2k: float = 0.0
    emissivity: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise MicrorunError(f"{_words(field.name)} is a number; got {value}")
        for name, unit in (("power_w", "W"), ("speed_m_s", "m/s"), ("beam_radius_um", "µm"), ("depth_um", "µm")):
            if getattr(self, name) <= 0:
                raise MicrorunError(f"{_words(name)} is above 0; got {getattr(self, name):g} {unit}")
        if not SLOWEST_M_S <= self.speed_m_s <= FASTEST_M_S:
            raise MicrorunError(
                f"speed lies between {SLOWEST_M_S:g} and {FASTEST_M_S:g} m/s; got {self.speed_m_s:g} m/s"
            )
        if not 0 < self.absorptivity <= 1:
            raise MicrorunError(f"absorptivity is above 0 and at most 1; got {self.absorptivity:g}")
        if not 0 <= self.emissivity <= 1:
            raise MicrorunError(f"emissivity lies between 0 and 1; got {self.emissivity:g}")
        if self.convection_w_m2k < 0:
            raise MicrorunError(f"convection is 0 or above; got {self.convection_w_m2k:g} W/(m² K)")
        if not COLDEST_K <= self.preheat_k <= WARMEST_K:
            raise MicrorunError(f"preheat lies between {COLDEST_K:g} and {WARMEST_K:g} K; got {self.preheat_k:g}")


def _words(name: str) -> str:
    return name.rsplit("_", 1)[0].removesuffix("_m").replace("_", " ")
