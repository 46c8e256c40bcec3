"""Heat conduction in a box of cubic cells: explicit finite volumes in the enthalpy.

The state is the enthalpy of each cell, so that heat is neither made nor lost and melting takes exactly the latent heat;
the temperature follows from it. Conductivity and heat capacity are linear in the temperature up to the liquidus and
constant above. The flux through a face is the difference of the potentials ∫k dT of its two cells, which is the mean of
their conductivities times the difference of their temperatures. All faces of the box are insulated.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from microrun.kernels.compiling import fast_kernel


class HeatLaw(NamedTuple):
    """How heat is kept and conducted; all float32.

    Parameters
    ----------
    start_k, solidus_k, liquidus_k
        Temperatures in K; the enthalpy is 0 at the first.
    conductivity, conductivity_slope
        W/(m K) at 0 K, and W/(m K²).
    capacity_start, capacity_mush, capacity_liquid
        J/(kg K) at the start, at the solidus (with the latent heat's share), and above the liquidus.
    capacity_slope
        J/(kg K²).
    solidus_j_kg, liquidus_j_kg
        Enthalpies in J/kg.
    """

    start_k: Any
    solidus_k: Any
    liquidus_k: Any
    conductivity: Any
    conductivity_slope: Any
    capacity_start: Any
    capacity_mush: Any
    capacity_liquid: Any
    capacity_slope: Any
    solidus_j_kg: Any
    liquidus_j_kg: Any


@fast_kernel
def potential_of(law: HeatLaw, temperature: Any) -> Any:
    """∫k dT from the start, in W/m, at a temperature in K."""
    below = min(temperature, law.liquidus_k)
    mean = law.conductivity + np.float32(0.5) * law.conductivity_slope * (below + law.start_k)
    top = law.conductivity + law.conductivity_slope * law.liquidus_k
    return mean * (below - law.start_k) + top * (temperature - below)


@fast_kernel
def temperature_of(law: HeatLaw, enthalpy: Any) -> Any:
    """Temperature in K at an enthalpy in J/kg: c ΔT + s ΔT²/2 = Δh is solved from the start of its piece."""
    melting, liquid = enthalpy > law.solidus_j_kg, enthalpy > law.liquidus_j_kg
    base = law.liquidus_k if liquid else (law.solidus_k if melting else law.start_k)
    more = enthalpy - (law.liquidus_j_kg if liquid else (law.solidus_j_kg if melting else np.float32(0)))
    capacity = law.capacity_liquid if liquid else (law.capacity_mush if melting else law.capacity_start)
    slope = np.float32(0) if liquid else law.capacity_slope
    two = np.float32(2)
    # A plain division is checked for zero, and loops with checks are not vectorised: six times the time.
    return base + np.true_divide(two * more, capacity + math.sqrt(capacity * capacity + two * slope * more))


@fast_kernel
def find_temperatures(window: Any, law: HeatLaw, enthalpy: Any, out: Any) -> None:
    """Temperatures in the planes of a window.

    Parameters
    ----------
    window, law, enthalpy
        As in `conduct`.
    out
        (Z, Y, X) float32: in K.
    """
    for z in range(window[0, 0], window[0, 1]):
        for y in range(enthalpy.shape[1]):
            for x in range(enthalpy.shape[2]):
                out[z, y, x] = temperature_of(law, enthalpy[z, y, x])


@fast_kernel
def find_potentials(window: Any, law: HeatLaw, enthalpy: Any, out: Any) -> None:
    """Potentials in the planes of a window.

    Parameters
    ----------
    window, law, enthalpy
        As in `conduct`.
    out
        (Z, Y, X) float32: in W/m.
    """
    for z in range(window[0, 0], window[0, 1]):
        for y in range(enthalpy.shape[1]):
            for x in range(enthalpy.shape[2]):
                out[z, y, x] = potential_of(law, temperature_of(law, enthalpy[z, y, x]))


@fast_kernel
def conduct(
    window: Any, law: HeatLaw, number: Any, heating: Any, shares: Any, potential: Any, enthalpy: Any, out: Any
) -> None:
    """Advance the planes of a window by one step of time.

    Parameters
    ----------
    window
        (3, 3) int64: first, end and step along z, y and x, of which only the planes are looked at: all cells of a
        plane are advanced.
    law
        Of the material.
    number
        float32: step of time by density and by the square of a cell's edge, m kg⁻¹ s.
    heating
        (Y, X) float32: heat that comes in from above in this step, J/kg if it went into a single plane.
    shares
        (Z,) float32: the part of it that a plane takes.
    potential
        (Z, Y, X) float32: in W/m, before the step.
    enthalpy
        (Z, Y, X) float32: in J/kg, changed in place.
    out
        (Z, Y, X) float32: potentials after the step.
    """
    depth, rows, cols = potential.shape
    six = np.float32(6)
    for z in range(window[0, 0], window[0, 1]):
        share = shares[z]
        for y in range(rows):
            own, below, above = potential[z, y], potential[max(z - 1, 0), y], potential[min(z + 1, depth - 1), y]
            left, right = potential[z, max(y - 1, 0)], potential[z, min(y + 1, rows - 1)]
            beam, kept, new = heating[y], enthalpy[z, y], out[z, y]
            for x in range(1, cols - 1):
                around = below[x] + above[x] + left[x] + right[x] + own[x - 1] + own[x + 1]
                kept[x] += beam[x] * share + number * (around - six * own[x])
            for x in (0, cols - 1):
                around = below[x] + above[x] + left[x] + right[x] + own[max(x - 1, 0)] + own[min(x + 1, cols - 1)]
                kept[x] += beam[x] * share + number * (around - six * own[x])
            for x in range(cols):
                new[x] = potential_of(law, temperature_of(law, kept[x]))
