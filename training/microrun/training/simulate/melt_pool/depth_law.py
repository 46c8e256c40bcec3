"""How deep the source reaches, by a published law for 316L."""

from __future__ import annotations

import math

from microrun.runtime.errors import MicrorunError
from microrun.training.simulate.melt_pool.process import Process

# Fitted together: the law's own absorptivity and properties stay in it whatever the process's are.
ABSORPTIVITY, DENSITY_KG_M3, HEAT_CAPACITY_J_KGK, DIFFUSIVITY_M2_S, LIQUIDUS_K = 0.6, 8084.0, 758.6, 7.22e-6, 1723.0
SLOPE_UM, FACTOR, OFFSET = 65.784, 0.453, 1.4


def published_depth(process: Process) -> float:
    """Depth of the source in µm: d = 65.784 (0.453 K − 1.4), with K the normalised enthalpy.

    K = η P/(π ρ c (T_l − T₀) √(α r_b³ v)), η = 0.6; the constants are those of the code of Xie et al. (2026). The law
    gives the depths of single tracks in 316L with a beam of 54 µm: 111 µm at 150 W and 0.5 m/s, measured 120.

    Parameters
    ----------
    process
        Power, speed, beam and preheat.

    Raises
    ------
    MicrorunError
        If the law gives no depth.
    """
    root = math.sqrt(DIFFUSIVITY_M2_S * (process.beam_radius_um * 1e-6) ** 3 * process.speed_m_s)
    volume = math.pi * DENSITY_KG_M3 * HEAT_CAPACITY_J_KGK * root
    enthalpy = ABSORPTIVITY * process.power_w / (volume * (LIQUIDUS_K - process.preheat_k))
    depth = SLOPE_UM * (FACTOR * enthalpy - OFFSET)
    if depth < 1:
        raise MicrorunError(
            f"the depth law gives {max(depth, 0):.2g} µm at {process.power_w:g} W and {process.speed_m_s:g} m/s: it is "
            f"made for a normalised enthalpy above {OFFSET / FACTOR:.3g}, and this one is {enthalpy:.3g}; give the "
            "depth in µm"
        )
    return depth
