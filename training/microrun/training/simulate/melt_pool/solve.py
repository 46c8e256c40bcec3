"""Melt pools by three kinds of field, behind one function."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import Job, Progress
from microrun.runtime.workers import Workers
from microrun.training.simulate.melt_pool.box import Box, choose_box, hot_faces
from microrun.training.simulate.melt_pool.conduction import MovingHeat
from microrun.training.simulate.melt_pool.eagar_tsai import eagar_tsai
from microrun.training.simulate.melt_pool.field import Balance, FieldKind, MovingField
from microrun.training.simulate.melt_pool.flow import MovingFlow
from microrun.training.simulate.melt_pool.material import STEEL_316L, Material
from microrun.training.simulate.melt_pool.process import Process

STEP_UM = 4.0
STRETCH_UM = 20.0  # of the way, after which fields are compared
GROWTHS = 6  # times that a box grows


class _Settling(NamedTuple):
    """When a field is called steady, and after how many lengths of its box it is taken as it is."""

    change_k: float
    lengths: float


CONDUCTION = _Settling(1.0, 6.0)
FLOW = _Settling(10.0, 1.0)  # a front that passes over cells keeps the flow at its edge from coming to rest


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
        "eagar-tsai": closed form with constant properties, without latent heat. "conduction": heat conduction with
        latent heat. "flow": with the flow of the liquid, too.
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
        If the edge is no length, the plate is as hot as the solidus, the closed form is to have losses, or the box
        would become too large.
    """
    _check(process, material, kind, step_um)
    box = choose_box(process, material, step_um)
    box.check()
    if kind == "eagar-tsai":
        half, box = _closed_form(box, process, material)
        return MovingField(mirrored(half), step_um, box.laser_um, process, material, kind)
    with Workers(threads) as workers:
        heat = yield from _settle_grown(MovingHeat(box.coarser(), process, material, workers), CONDUCTION)
        if kind == "flow":
            heat = yield from _settle_grown(_continue(MovingFlow, heat.box, heat), FLOW)
        heat = _continue(type(heat), heat.box.finer(), heat)
        balance = yield from _settle(heat, FLOW if kind == "flow" else CONDUCTION)
        return MovingField(mirrored(heat.temperature), step_um, heat.box.laser_um, process, material, kind, balance)


def _check(process: Process, material: Material, kind: FieldKind, step_um: float) -> None:
    if not 0 < step_um < math.inf:
        raise MicrorunError(f"the edge of a cell is above 0 µm; got {step_um:g}")
    if process.preheat_k >= material.solidus_k:
        raise MicrorunError(f"preheat {process.preheat_k:g} K is not below the solidus, {material.solidus_k:g} K")
    if kind == "eagar-tsai" and (process.convection_w_m2k or process.emissivity):
        raise MicrorunError(
            f"the eagar-tsai field loses no heat from the surface; got convection {process.convection_w_m2k:g} "
            f"W/(m² K) and emissivity {process.emissivity:g}: leave them out, or take the field conduction or flow"
        )


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


def _closed_form(box: Box, process: Process, material: Material) -> tuple[NDArray[np.float32], Box]:
    half = eagar_tsai(box, process, material)
    for _ in range(GROWTHS):
        faces = hot_faces(half)
        if not any(faces):
            break
        box = box.grown(*faces)
        box.check()
        half = eagar_tsai(box, process, material)
    return half, box


def _settle_grown(heat: MovingHeat, settling: _Settling) -> Job[MovingHeat]:
    """Settle in a box that grows until all that is hot lies within."""
    for _ in range(GROWTHS):
        yield from _settle(heat, settling)
        faces = hot_faces(heat.temperature)
        if not any(faces):
            break
        box = heat.box.grown(*faces)
        box.finer().check()
        heat = _continue(type(heat), box, heat)
    return heat


def _continue(kind: type[MovingHeat], box: Box, heat: MovingHeat) -> MovingHeat:
    """The same heat in another box."""
    other = kind(box, heat.process, heat.material, heat.workers)
    other.take(heat)
    return other


def _settle(heat: MovingHeat, settling: _Settling) -> Job[Balance]:
    """Let the laser travel until the field changes no more."""
    step_um = heat.box.step_um
    stretch = max(1, round(STRETCH_UM / step_um))
    most = math.ceil(settling.lengths * heat.box.shape[2] / stretch)
    before, drift = heat.temperature, math.inf
    for number in range(1, most + 1):
        stored = heat.begin_ledger()
        for _ in range(stretch):
            heat.travel()
        now = heat.temperature
        drift = float(np.abs(now - before).max()) * STRETCH_UM / (stretch * step_um)
        before = now
        yield Progress(number, most, f"cells of {step_um:g} µm, {drift:.3g} K from steady")
        if drift <= settling.change_k:
            break
    return heat.balance(stored, drift, number * stretch * step_um)
