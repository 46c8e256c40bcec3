"""A part built layer upon layer, from a melt pool and a plan; where it was interrupted it goes on exactly."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microrun.runtime.progress import Job, Progress
from microrun.runtime.workers import Workers
from microrun.training.simulate.melt_pool.field import MovingField
from microrun.training.simulate.solidify.checkpoint import Site, identify, read_checkpoint, write_checkpoint
from microrun.training.simulate.solidify.events import History
from microrun.training.simulate.solidify.grains import Grains
from microrun.training.simulate.solidify.laws import STEEL_LAWS, Laws
from microrun.training.simulate.solidify.plan import Plan
from microrun.training.simulate.solidify.substrate import fill_voronoi
from microrun.training.simulate.solidify.track import Stepping, Tally, Track, count_steps, melt_track
from microrun.training.simulate.solidify.window import MovingWindow, cut_window

POWDER = 1  # beside the seed, in what the grains of layers are drawn from
REPORT_STEPS = 20


@dataclass(frozen=True, eq=False)
class Part:
    """Grains that have been built, and how.

    Parameters
    ----------
    grains
        (z, y, x); z rises, tracks run along x.
    plan, laws, field
        What made them.
    window
        Cells along z, y, x of the moving window, or of all that melts.
    tally
        What happened.
    """

    grains: Grains
    plan: Plan
    laws: Laws
    field: MovingField | History
    window: tuple[int, int, int]
    tally: Tally

    def track_middle(self, track: int) -> int:
        """The row of cells behind the middle of a track of a layer."""
        return self.plan.track_side(track) + self.window[1] // 2

    def count_grains(self) -> int:
        """How many different grains there are."""
        return len(np.unique(self.grains.grain_id))


def build_part(
    pool: MovingField, plan: Plan, laws: Laws = STEEL_LAWS, threads: int | None = None, checkpoint: Path | None = None
) -> Job[Part]:
    """Build a part, with a record of progress every few steps.

    Parameters
    ----------
    pool
        The moving temperature field.
    plan
        What to build.
    laws
        Of solidification.
    threads
        None for as many as there are cores; the part is the same for any number.
    checkpoint
        A file that holds the state after each track; a run that is found in it goes on. None for no file.

    Returns
    -------
    Part
        When it is done; the checkpoint is removed by who stores the part.

    Raises
    ------
    MicrorunError
        If nothing melts, the time step is not stable, or the checkpoint is that of another part.
    """
    plan.check_step(laws, pool.process.speed_m_s)
    window = cut_window(pool, laws, plan.cell_um)
    identity = identify(pool, plan, laws)
    site = Site(Grains.empty(plan.shape(window.shape)))
    if checkpoint and checkpoint.exists():
        site = read_checkpoint(checkpoint, identity)
    stepping = Stepping(laws, plan.cell_um, plan.step_s, plan.seed)
    with Workers(threads) as workers:
        for layer, tracks in enumerate(plan.lay_out(window.shape)):
            for track in tracks:
                if track.number < site.tracks_done:
                    continue
                if track is tracks[0]:
                    _lay_powder(site, plan, window.shape[0], layer)
                melting = melt_track(site.grains, window, stepping, track, site.next_id, workers)
                yield from _build_track(site, plan, window, track, melting)
                if checkpoint:
                    write_checkpoint(checkpoint, site, identity)
    return Part(site.grains, plan, laws, pool, window.shape, site.tally)


def _lay_powder(site: Site, plan: Plan, depth: int, layer: int) -> None:
    """Lay the powder of a layer, as solid grains, and below the first one the substrate."""
    base, height = plan.base(depth), plan.cells(plan.layer_um)
    low = base + layer * height if layer else 0
    cells = site.grains.view(slice(low, base + (layer + 1) * height))
    site.next_id = fill_voronoi(cells, plan.cell_um, (plan.seed, POWDER, layer), site.next_id)


def _build_track(
    site: Site, plan: Plan, window: MovingWindow, track: Track, melting: Generator[Tally, None, int]
) -> Job[None]:
    """Melt a track, with records of progress among all tracks."""
    steps = count_steps(window, site.grains.orientation.shape[2], plan.cell_um, plan.step_s)
    tracks = plan.layers * plan.tracks
    layer, place = divmod(track.number, plan.tracks)
    phase = f"layer {layer + 1} of {plan.layers}, track {place + 1} of {plan.tracks}"
    begun, step, tally = time.perf_counter(), 0, Tally()
    while True:
        try:
            tally = next(melting)
        except StopIteration as end:
            site.next_id = end.value
            break
        step += 1
        if step % REPORT_STEPS == 0:
            rate = tally.hot / (time.perf_counter() - begun) / 1e6
            yield Progress(track.number * steps + step, tracks * steps, f"{phase}, {rate:.0f} Mcell/s")
    site.tally += tally
    site.tracks_done += 1
