"""A track through its melting events against the same track through the window: time a hot cell, and agreement.

    python tests/benchmarks/bench_history.py

prints, for one thread, CPU nanoseconds a hot cell and step of both, and the share of the melted cells that have the
same orientation in both, from a quarter of the track to three quarters (without nuclei).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from microrun.runtime.progress import finish
from microrun.runtime.workers import Workers
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.solve import compute_field
from microrun.training.simulate.solidify.exaca import read_exaca, write_exaca
from microrun.training.simulate.solidify.grains import Grains
from microrun.training.simulate.solidify.history import build_history
from microrun.training.simulate.solidify.laws import Laws
from microrun.training.simulate.solidify.plan import SIDE, Plan
from microrun.training.simulate.solidify.substrate import fill_voronoi
from microrun.training.simulate.solidify.track import Stepping, Track, melt_track
from microrun.training.simulate.solidify.window import cut_window

LAWS = Laws(wetting_deg=90.0)  # nothing nucleates
PLAN = Plan(layers=1, substrate_um=40.0)


def main() -> None:
    pool = finish(compute_field(Process(100.0, 0.9)))
    with tempfile.TemporaryDirectory() as folder:
        write_exaca(Path(folder) / "track.csv", pool, LAWS, PLAN.cell_um, 150.0)
        history, _ = read_exaca(Path(folder) / "track.csv", pool.process, pool.material)
    finish(build_history(history, PLAN, LAWS, threads=1))  # compiles
    begun = time.process_time()
    part = finish(build_history(history, PLAN, LAWS, threads=1))
    print(
        f"history: {1e9 * (time.process_time() - begun) / part.tally.hot:.0f} ns a hot cell, {part.tally.hot:,} of them"
    )

    window, shape = cut_window(pool, LAWS, PLAN.cell_um), part.grains.orientation.shape
    side = (window.shape[1] - shape[1]) // 2
    start = Grains.empty(shape)
    fill_voronoi(start, PLAN.cell_um, (PLAN.seed, 1, 0), 0)
    pad = ((0, 0), (max(side, 0),) * 2, (0, 0))
    wide = Grains(np.pad(start.orientation, pad, mode="edge"), np.pad(start.grain_id, pad, mode="edge"))
    track = Track(0, shape[0] - window.shape[0], max(-side, 0), backwards=False)
    begun = time.process_time()
    with Workers(1) as workers:
        *_, tally = melt_track(wide, window, Stepping(LAWS, PLAN.cell_um, PLAN.step_s, 0), track, 10**6, workers)
    print(f"window: {1e9 * (time.process_time() - begun) / tally.hot:.0f} ns a hot cell, {tally.hot:,} of them")
    found = wide.orientation[:, pad[1][0] : pad[1][0] + shape[1]]
    molten = np.zeros(shape, np.bool_)
    molten[tuple((history.place + np.array([PLAN.cells(PLAN.substrate_um), SIDE, SIDE])).T)] = True
    molten[..., : shape[2] // 4] = molten[..., -shape[2] // 4 :] = False
    same, before = ((one == found)[molten].mean() for one in (part.grains.orientation, start.orientation))
    print(f"{same:.1%} of {molten.sum():,} melted cells have the same orientation ({before:.1%} that of before)")


if __name__ == "__main__":
    main()
