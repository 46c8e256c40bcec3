"""Absorptivity and depth of the source, found from a measured pool.

The closed form stands in for the field: what it gives is stretched by the factors by which the field differed from it
the last time. So a few fields are enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import Job, Progress
from microrun.training.simulate.melt_pool.box import choose_box
from microrun.training.simulate.melt_pool.eagar_tsai import temperature_at
from microrun.training.simulate.melt_pool.field import FieldKind, MovingField
from microrun.training.simulate.melt_pool.material import Material
from microrun.training.simulate.melt_pool.measure import length_above, measure_pool
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.solve import compute_field

ABSORPTIVITIES = (0.02, 1.0)
DEEPEST_UM = 600.0
CLOSE = 0.01  # of the sizes that were asked for
TRIES = 10  # fields


@dataclass(frozen=True)
class Target:
    """A measured pool; one size is enough, and then the depth of the source stays as it is.

    Parameters
    ----------
    width_um, depth_um
        None where it is not known.

    Raises
    ------
    MicrorunError
        If there is no size, or it is no length.
    """

    width_um: float | None = None
    depth_um: float | None = None

    def __post_init__(self) -> None:
        if not self.sizes:
            raise MicrorunError("a fit needs the width of a pool, its depth, or both")
        if not all(0 < size < math.inf for size in self.sizes.values()):
            raise MicrorunError(f"the sizes of a pool are above 0 µm; got {self}")

    @property
    def sizes(self) -> dict[str, float]:
        """What is known, by name."""
        both = {"width": self.width_um, "depth": self.depth_um}
        return {name: size for name, size in both.items() if size is not None}

    def __str__(self) -> str:
        return " and ".join(f"{name} {size:.4g} µm" for name, size in self.sizes.items())


def calibrate(
    process: Process, material: Material, target: Target, kind: FieldKind, step_um: float, threads: int | None = None
) -> Job[MovingField]:
    """Find the absorptivity, and where two sizes are given the source's depth, at which a field has a measured pool.

    Parameters
    ----------
    process
        Where the search starts; its power, speed and beam stay.
    material
        Of the plate.
    target
        What was measured.
    kind, step_um, threads
        As for `compute_field`.

    Returns
    -------
    MovingField
        Of a process with what was found.

    Raises
    ------
    MicrorunError
        If no absorptivity and depth give such a pool.
    """
    goal = np.array(list(target.sizes.values()))
    factors, tried = np.ones(len(goal)), process
    for number in range(1, TRIES + 1):
        now = _fit_closed_form(tried, material, target, goal * factors, step_um)
        job = compute_field(now, material, kind, step_um, threads)
        field = yield from _told(job, f"fit {number}: absorptivity {now.absorptivity:.3g}, depth {now.depth_um:.3g} µm")
        pool = measure_pool(field)
        found = np.array([getattr(pool, f"{name}_um") for name in target.sizes])
        if np.abs(found / goal - 1).max() <= CLOSE:
            return field
        if _alike(now, tried) or not found.all():
            break
        tried, factors = now, _closed_form(now, material, target, step_um) / found
    sizes = f"is {pool.width_um:.4g} µm wide and {pool.depth_um:.4g} µm deep"
    raise MicrorunError(
        f"no pool of {target} can be reached by the {kind} field at {process.power_w:g} W and {process.speed_m_s:g} "
        f"m/s with a beam of {process.beam_radius_um:g} µm: the nearest, of absorptivity {now.absorptivity:.3g} and a "
        f"source {now.depth_um:.3g} µm deep, {sizes}"
    )


def _alike(one: Process, other: Process) -> bool:
    near = math.isclose(one.absorptivity, other.absorptivity, rel_tol=CLOSE / 4)
    return near and math.isclose(one.depth_um, other.depth_um, rel_tol=CLOSE / 4)


def _told(job: Job[MovingField], phase: str) -> Job[MovingField]:
    """A job whose records say more."""
    try:
        while True:
            now = next(job)
            yield Progress(now.done, now.total, phase)
    except StopIteration as end:
        field: MovingField = end.value
        return field


def _fit_closed_form(process: Process, material: Material, target: Target, goal: Float64, step_um: float) -> Process:
    """The process at which the closed form has certain sizes, or comes closest."""
    from scipy.optimize import least_squares

    low, high = np.log([ABSORPTIVITIES, (step_um, max(DEEPEST_UM, 2 * step_um))]).T
    count = len(goal)

    def made(logarithms: NDArray[np.float64]) -> Process:
        absorptivity, depth = math.exp(logarithms[0]), math.exp(logarithms[1]) if count == 2 else process.depth_um
        return replace(process, absorptivity=min(absorptivity, 1.0), depth_um=depth)

    def misses(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
        sizes = _closed_form(made(logarithms), material, target, step_um)
        return np.log(np.maximum(sizes, 0.01 * step_um) / goal)

    start = np.log([process.absorptivity, process.depth_um])
    molten = [value for value in (start[0], -0.5, -1e-3) if misses(np.array([value, start[1]])[:count]).min() > -5]
    start[0] = molten[0] if molten else -1e-3  # where nothing melts no slope leads to a pool
    start = np.clip(start, low + 1e-6, high - 1e-6)[:count]
    fit = least_squares(misses, start, bounds=(low[:count], high[:count]), diff_step=0.01, xtol=1e-4)
    return made(fit.x)


def _closed_form(process: Process, material: Material, target: Target, step_um: float) -> Float64:
    """Sizes of the closed form's pool, as `measure_pool` finds them."""
    box = choose_box(process, material, step_um)
    edge, level = step_um * 1e-6, material.liquidus_k
    z, y, x = ((np.arange(side, dtype=np.float64) + 0.5) * edge for side in box.shape)
    x = x - box.laser_cells * edge
    sizes = []
    for name in target.sizes:
        if name == "width":
            columns = temperature_at(x, y, z[:1], process, material)[0].T
        else:
            columns = temperature_at(x, y[:1], z, process, material)[:, 0].T
        longest = max(length_above(column, level) for column in columns)
        sizes.append(longest * step_um * (2 if name == "width" else 1))
    return np.array(sizes)
