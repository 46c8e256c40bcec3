"""A part from histories of points: only the cells that are hot hold order parameters.

Time passes from event to event; where nothing is hot between them it is skipped. Such moments part the history into
stretches, after each of which grains are named and the state is kept. A plane of cells is laid, as solid grains, when
something at its height or above melts for the first time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.solidification_history import Events
from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import Job, Progress
from microrun.runtime.workers import Workers
from microrun.training.simulate.solidify.build import POWDER, REPORT_STEPS, Part
from microrun.training.simulate.solidify.checkpoint import Site, read_checkpoint, write_checkpoint
from microrun.training.simulate.solidify.events import History
from microrun.training.simulate.solidify.grains import NONE, Grains, fill_unsolidified, name_grains
from microrun.training.simulate.solidify.hot_cells import HotCells
from microrun.training.simulate.solidify.laws import STEEL_LAWS, Laws
from microrun.training.simulate.solidify.plan import LARGEST, SIDE, Plan
from microrun.training.simulate.solidify.substrate import fill_voronoi
from microrun.training.simulate.solidify.track import Stepping, Tally

MOST_STEPS = 10**8
APART_STEPS = 2  # by which a stretch ends before the next begins


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Events between two moments at which nothing is hot.

    Parameters
    ----------
    first, stop
        The events, and the one after the last.
    begin, end
        Its time steps, counted from the first event of all.
    """

    first: int
    stop: int
    begin: int
    end: int


@dataclasses.dataclass(frozen=True, eq=False)
class Course:
    """What happens in a part, and when.

    Parameters
    ----------
    events
        In the order in which they begin, for cells of the part.
    melt_s
        (n,) float64: when they begin; times are counted from the first.
    top
        (n,) int64: planes that there must be when they do.
    stretches
        Of the events.
    """

    events: Events
    melt_s: Float64
    top: NDArray[np.int64]
    stretches: list[Stretch]

    @property
    def steps(self) -> int:
        """Time steps in all."""
        return sum(stretch.end - stretch.begin for stretch in self.stretches)


def build_history(
    history: History, plan: Plan, laws: Laws = STEEL_LAWS, threads: int | None = None, checkpoint: Path | None = None
) -> Job[Part]:
    """Build a part from a history, with a record of progress every few steps.

    Parameters
    ----------
    history
        What melts when.
    plan
        Its layers (the history is done so often, each time a layer higher), layer_um, substrate_um, step_s and seed
        count. Cells, length and tracks are those of the history.
    laws
        Of solidification.
    threads
        None for as many as there are cores; the part is the same for any number.
    checkpoint
        A file that holds the state whenever nothing is hot; a run that is found in it goes on. None for no file.

    Returns
    -------
    Part
        With `SIDE` solid cells left beside the events; its plan says what was taken.

    Raises
    ------
    MicrorunError
        If the part is too large, the time step is not stable, the history too long, or the checkpoint is that of
        another part.
    """
    plan = fit_plan(history, plan, laws)
    shape = _find_shape(history, plan)
    course = plot_course(history, plan, laws, shape)
    identity = _identify(history, plan, laws)
    site = Site(Grains.empty(shape))
    if checkpoint is not None and checkpoint.exists():
        site = read_checkpoint(checkpoint, identity)
    stepping = Stepping(laws, plan.cell_um, plan.step_s, plan.seed)
    with Workers(threads) as workers:
        cells = HotCells(site.grains.orientation, course.events, stepping, history.material.liquidus_k, workers)
        for number in range(site.tracks_done, len(course.stretches)):
            yield from pass_stretch(site, course, number, cells, plan)
            if checkpoint:
                write_checkpoint(checkpoint, site, identity)
    return Part(site.grains, plan, laws, history, history.shape, site.tally)


def fit_plan(history: History, plan: Plan, laws: Laws) -> Plan:
    """Take cells, length and width of a plan from a history, as if it were one track.

    Parameters
    ----------
    history
        What melts when.
    plan
        As the user has it.
    laws
        Of solidification.

    Raises
    ------
    MicrorunError
        If the time step is not stable in such cells, a layer is thinner than one, or the alloy has solidified before
        boundaries move.
    """
    liquidus_k = history.material.liquidus_k
    laws.check_liquidus(history.material.name, liquidus_k)
    cell_um = history.step_um
    plan = dataclasses.replace(
        plan, tracks=1, cell_um=cell_um, length_um=(history.shape[2] + 2 * SIDE) * cell_um,
        hatch_um=(history.shape[1] + 2 * SIDE) * cell_um,
    )  # fmt: skip
    plan.check_step(laws, history.process.speed_m_s)
    return plan


def _find_shape(history: History, plan: Plan) -> tuple[int, int, int]:
    """Cells of the part along z, y, x."""
    depth, width, length = history.shape
    lifted = (plan.layers - 1) * plan.cells(plan.layer_um)
    shape = depth + lifted + plan.cells(plan.substrate_um), width + 2 * SIDE, length + 2 * SIDE
    if math.prod(shape) > LARGEST:
        raise MicrorunError(
            f"the part has {math.prod(shape):,} cells; at most {LARGEST:,} can be held: take a smaller piece of the "
            "history, or fewer layers"
        )
    return shape


def plot_course(history: History, plan: Plan, laws: Laws, shape: tuple[int, int, int]) -> Course:
    """Tell what happens in a part, and when.

    Parameters
    ----------
    history
        Of one layer.
    plan
        From `fit_plan`.
    laws
        Which temperature is hot.
    shape
        Cells of the part.

    Raises
    ------
    MicrorunError
        If it takes too many steps.
    """
    step_s = plan.step_s
    lasts = math.ceil((history.cold_s(laws.hot_k).max() - history.melt_s[0]) / step_s)
    pause_s = (lasts + 2 * APART_STEPS) * step_s
    whole = history.stacked(plan.layers, plan.cells(plan.layer_um), pause_s)
    place = whole.place + np.array([plan.cells(plan.substrate_um), SIDE, SIDE])
    cell = np.ravel_multi_index(tuple(place.T), shape).astype(np.int64)
    begins = whole.melt_s[0]
    top = np.maximum.accumulate(place[:, 0]).astype(np.int64) + 1
    stretches = part_stretches(whole.melt_s - begins, whole.cold_s(laws.hot_k) - begins, step_s)
    course = Course(Events(cell, whole.liquid_s - begins, whole.rate), whole.melt_s - begins, top, stretches)
    if course.steps > MOST_STEPS:
        raise MicrorunError(
            f"the history keeps cells hot for {course.steps:,} time steps of {step_s:g} s; at most {MOST_STEPS:,} are "
            f"done. Its slowest cell cools by {history.rate.min():g} K/s: are the columns in s and K/s?"
        )
    return course


def part_stretches(melt_s: Float64, cold_s: Float64, step_s: float) -> list[Stretch]:
    """Part events where nothing is hot between them.

    Parameters
    ----------
    melt_s, cold_s
        (n,) float64: when they begin, rising, and when their cells are cold.
    step_s
        Time step.
    """
    until = np.maximum.accumulate(cold_s)
    breaks = np.flatnonzero(melt_s[1:] > until[:-1] + APART_STEPS * step_s) + 1
    bounds = [0, *breaks.tolist(), len(melt_s)]
    return [
        Stretch(first, stop, math.floor(melt_s[first] / step_s), math.ceil(until[stop - 1] / step_s) + 1)
        for first, stop in itertools.pairwise(bounds)
    ]


def pass_stretch(site: Site, course: Course, number: int, cells: HotCells, plan: Plan) -> Job[None]:
    """Let a stretch pass over a part, and name its grains.

    Parameters
    ----------
    site
        The part, changed.
    course
        What happens.
    number
        Of the stretch.
    cells
        Of the part, none of them hot.
    plan
        From `fit_plan`.
    """
    stretch = course.stretches[number]
    done_before = sum(one.end - one.begin for one in course.stretches[:number])
    begun, tally = time.perf_counter(), Tally(molten=stretch.stop - stretch.first)
    step, event, top = stretch.begin, stretch.first, _count_laid(site.grains)
    while event < stretch.stop or cells.count:
        time_s = step * plan.step_s
        stop = int(np.searchsorted(course.melt_s[: stretch.stop], time_s, side="right"))
        if stop > event:
            top = _lay(site, plan, top, max(top, int(course.top[stop - 1])))
            cells.open(event, stop)
            event = stop
        cells.advance(step, time_s, top, tally)
        step += 1
        if (step - stretch.begin) % REPORT_STEPS == 0:
            rate = tally.hot / (time.perf_counter() - begun) / 1e6
            phase = f"stretch {number + 1} of {len(course.stretches)}, {cells.count:,} hot cells, {rate:.0f} Mcell/s"
            yield Progress(done_before + step - stretch.begin, course.steps, phase)
    _settle(site, course.events.cell[stretch.first : stretch.stop], top, tally)
    site.tally += tally
    site.tracks_done += 1


def _count_laid(grains: Grains) -> int:
    """Planes that there are: every cell of them belongs to a grain."""
    return int(np.count_nonzero(grains.grain_id[:, 0, 0] != NONE))


def _lay(site: Site, plan: Plan, low: int, top: int) -> int:
    """Lay the planes from one on up to the top, as solid grains."""
    if top > low:
        planes = site.grains.view(slice(low, top))
        site.next_id = fill_voronoi(planes, plan.cell_um, (plan.seed, POWDER, low), site.next_id)
    return top


def _settle(site: Site, cells: NDArray[np.int64], top: int, tally: Tally) -> None:
    """Fill what of a stretch stayed liquid, and tell which grains its cells belong to."""
    place = np.stack(np.unravel_index(cells, site.grains.orientation.shape))
    low = np.maximum(place.min(axis=1) - 1, 0)
    high = place.max(axis=1) + 2
    high[0] = min(high[0], top)
    box = site.grains.view(*map(slice, low, high))
    lost = np.zeros(box.orientation.shape, np.bool_)
    lost[tuple(place - low[:, None])] = True
    tally.unsolidified = fill_unsolidified(box.orientation)
    site.next_id = name_grains(box, lost, site.next_id)


def _identify(history: History, plan: Plan, laws: Laws) -> str:
    """SHA-256 of all that a part follows from, in hexadecimal."""
    settings = [dataclasses.asdict(one) for one in (history.process, history.material, plan, laws)]
    digest = hashlib.sha256(json.dumps([settings, history.step_um], sort_keys=True).encode())
    for values in (history.place, history.melt_s, history.liquid_s, history.rate):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
