"""The moving Gaussian source in closed form, for constant properties and without latent heat.

Eagar and Tsai, Welding Journal 62 (1983), p. 346-s: a source that moves over half a space leaves behind the heat of
every moment, which spreads as a Gaussian along x, y and z; the temperature is an integral over the time gone by. Here
the heat comes in evenly down to the source's depth, as in the other fields, which spreads z by two error functions; for
a depth of 0 it is the published formula.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.training.simulate.melt_pool.box import Box
from microrun.training.simulate.melt_pool.material import Material
from microrun.training.simulate.melt_pool.process import Process

NODES = 256  # of Gauss-Legendre, in the root of time


def eagar_tsai(box: Box, process: Process, material: Material) -> NDArray[np.float32]:
    """Compute temperatures at the centres of a box's cells.

    Conductivity and heat capacity are those halfway from the plate's temperature to the liquidus.

    Parameters
    ----------
    box
        Where.
    process, material
        What is simulated; losses from the surface are left out.

    Returns
    -------
    (Z, Y, X) float32
        In K.
    """
    depth, rows, cols = box.shape
    edge = box.step_um * 1e-6
    z, y, x = (np.arange(side, dtype=np.float64) + 0.5 for side in (depth, rows, cols))
    return temperature_at((x - box.laser_cells) * edge, y * edge, z[::-1] * edge, process, material).astype(np.float32)


def temperature_at(x: Float64, y: Float64, z: Float64, process: Process, material: Material) -> Float64:
    """Compute temperatures on a rectangular grid.

    Parameters
    ----------
    x, y, z
        (X,), (Y,) and (Z,) float64 in m: along the laser's way from its axis, across, and below the surface.
    process, material
        As for `eagar_tsai`.

    Returns
    -------
    (Z, Y, X) float64
        In K.
    """
    from scipy.special import erf

    kelvin = (process.preheat_k + material.liquidus_k) / 2
    diffusivity, speed = material.diffusivity(kelvin), process.speed_m_s
    variance, deep = (process.beam_radius_um * 1e-6 / 2) ** 2, process.depth_um * 1e-6
    longest = 2 * max(-x.min(), 0) / speed + 40 * diffusivity / speed**2 + 8 * math.sqrt(variance) / speed
    nodes, weights = _nodes()
    root = (nodes + 1) / 2 * math.sqrt(longest)  # the integrand is smooth in the root of time
    time = root**2
    spread = 2 * diffusivity * time + variance
    reach = np.sqrt(4 * diffusivity * time)
    along = np.exp(-((x + speed * time[:, None]) ** 2) / (2 * spread[:, None]))
    across = np.exp(-(y**2) / (2 * spread[:, None]))
    down = (erf((deep + z) / reach[:, None]) + erf((deep - z) / reach[:, None])) / (2 * deep)
    heat = process.absorptivity * process.power_w / (material.density_kg_m3 * material.heat_capacity(kelvin))
    down *= (heat / (2 * math.pi * spread) * weights * root * math.sqrt(longest))[:, None]
    columns = (across[:, :, None] * along[:, None, :]).reshape(NODES, -1)
    rise: Float64 = (down.T @ columns).reshape(len(z), len(y), len(x))
    return process.preheat_k + rise


@cache
def _nodes() -> tuple[Float64, Float64]:
    """Places and weights of Gauss-Legendre, which take longer to find than a field."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes.astype(np.float64), weights.astype(np.float64)
