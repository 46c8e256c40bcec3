"""Melt pools by three kinds of field, behind one function."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import Job, Progress
from microrun.training.simulate.melt_pool.box import Box, choose_box, hot_faces
from microrun.training.simulate.melt_pool.conduction import MovingHeat
from microrun.training.simulate.melt_pool.field import Balance, FieldKind, MovingField
from microrun.training.simulate.melt_pool.material import STEEL_316L, Material
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.workers import Workers

STEP_UM = 4.0
STRETCH_UM = 20.0  # of the way, after which fields are compared
STEADY_K = 1.0  # change over a stretch, below which a field is called steady
LONGEST_LENGTHS = 6  # lengths of the box after which it is taken as it is
GROWTHS = 4  # times that a box grows


def compute_field(
    process: Process,
    material: Material = STEEL_316L,
    kind: FieldKind = "conduction",
    step_um: float = STEP_UM,
    threads: int | None = None,
) -> Job[MovingField]:
    """Compute the quasi-steady temperature around a moving laser, with records of progress.

    A field is first brought to rest in cells of twice the edge, in a box that grows until what is hot lies within, and
    then in cells of the edge that was asked for.

    Parameters
    ----------
    process, material
        What is simulated.
    kind
        "conduction": heat conduction with latent heat.
    step_um
        Edge of a cell.
    threads
        None for as many as there are cores; the result does not depend on it.

    Returns
    -------
    MovingField

    Raises
    ------
    MicrorunError
        If the edge is no length, or the box would become too large.
    """
    if not 0 < step_um < math.inf:
        raise MicrorunError(f"the edge of a cell is above 0 µm; got {step_um:g}")
    if process.preheat_k >= material.solidus_k:
        raise MicrorunError(f"preheat {process.preheat_k:g} K is not below the solidus, {material.solidus_k:g} K")
    box = choose_box(process, material, step_um)
    with Workers(threads) as workers:
        coarse = yield from _settle_grown(box.coarser(), process, material, workers)
        box = Box(tuple(2 * side for side in coarse.box.shape), step_um, 2 * coarse.box.laser_cells)  # type: ignore[arg-type]
        box.check()
        heat = MovingHeat(box, process, material, workers)
        heat.take(coarse)
        balance = yield from _settle(heat)
        half = heat.temperature
    return MovingField(mirrored(half), step_um, box.laser_um, process, material, kind, balance)


def mirrored(half: NDArray[np.float32]) -> NDArray[np.float32]:
    """Both sides of the mirror plane.

    Parameters
    ----------
    half
        (Z, Y, X) float32, y rises away from the mirror plane.

    Returns
    -------
    (Z, 2Y, X) float32
    """
    return np.concatenate([half[:, ::-1], half], axis=1)


def _settle_grown(box: Box, process: Process, material: Material, workers: Workers) -> Job[MovingHeat]:
    """Find a box within which all lies that is hot, and the heat in it."""
    for _ in range(GROWTHS + 1):
        box.check()
        heat = MovingHeat(box, process, material, workers)
        yield from _settle(heat)
        faces = hot_faces(heat.temperature)
        if not any(faces):
            break
        box = box.grown(*faces)
    return heat


def _settle(heat: MovingHeat) -> Job[Balance]:
    """Let the laser travel until the field changes no more."""
    stretch = max(1, round(STRETCH_UM / heat.box.step_um))
    most = math.ceil(LONGEST_LENGTHS * heat.box.shape[2] / stretch)
    before, drift = heat.temperature, math.inf
    for number in range(1, most + 1):
        stored = heat.begin_ledger()
        for _ in range(stretch):
            heat.travel()
        now = heat.temperature
        drift = float(np.abs(now - before).max()) * STRETCH_UM / (stretch * heat.box.step_um)
        before = now
        yield Progress(number, most, f"cells of {heat.box.step_um:g} µm, {drift:.3g} K from steady")
        if drift <= STEADY_K:
            break
    return heat.balance(stored, drift, number * stretch * heat.box.step_um)
