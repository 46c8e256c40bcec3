"""Potts volumes against SPPARKS' coarsening, and their speed, in one run.

    python tests/benchmarks/bench_potts.py

prints the mean grain volumes at five times beside those that SPPARKS' potts/neigh gives (26 neighbours, 100³ periodic,
T = 0, Q large); then medians: voxels tried per second against the slow twin in plain Python, and blocks per second.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "help"))
import potts_oracles as oracles
from timing import median_seconds

from microrun.kernels.colouring import label_grains
from microrun.training.diffusion.blocks import Blocks, BlockSettings
from microrun.training.simulate.potts import Build, Growth, Spins, build_potts, chances, grow_potts
from microrun.training.simulate.volumes import label_volume

REPEATS = 3
SPPARKS = {10: 65, 20: 121, 30: 173, 40: 233, 50: 287}
SPPARKS_VOLUME_WEIGHTED = 659  # at 50


def last(growth: Growth, threads: int) -> Spins:
    *_, spins = grow_potts(growth, 0, threads)
    return spins


def compare_coarsening() -> Spins:
    grain_ids = np.empty(Growth().shape, np.int32)
    print(f"{'time':>6}{'mean volume':>13}{'cut by faces':>14}{'SPPARKS':>9}{'volume-weighted':>17}{'area / time':>13}")
    for step, spins in enumerate(grow_potts(Growth(), seed=0), 1):
        if step in SPPARKS:
            joined = spins.size / label_grains(spins, True, grain_ids)
            cut = spins.size / label_grains(spins, False, grain_ids)
            weighted = (np.bincount(grain_ids.ravel()) ** 2.0).sum() / spins.size
            area = weighted ** (2 / 3) / step
            print(f"{step:>6}{joined:>13.1f}{cut:>14.1f}{SPPARKS[step]:>9}{weighted:>17.0f}{area:>13.3f}")
    print(f"cut by faces, SPPARKS' volume-weighted mean at 50 is {SPPARKS_VOLUME_WEIGHTED}")
    return spins


def slow_rate() -> float:
    spins = np.arange(12**3, dtype=np.int32).reshape(12, 12, 12)
    accept = [int(chance) for chance in chances(0)]
    started = time.perf_counter()
    oracles.grow_potts(spins, 1, 0, accept)
    return 26 * spins.size / (time.perf_counter() - started)


def main() -> None:
    spins = compare_coarsening()
    slow = slow_rate()
    print(f"\n{'simulation':<34}{'seconds':>9}{'Mvoxel tries/s':>16}{'× Python':>10}")
    for threads in (1, os.cpu_count() or 1):
        seconds = median_seconds(lambda threads=threads: last(Growth((64, 64, 64), 5), threads), REPEATS)
        rate = 130 * 64**3 / seconds
        print(f"{f'potts 64³, t = 5, {threads} thread(s)':<34}{seconds:>9.2f}{rate / 1e6:>16.0f}{rate / slow:>10.0f}")
    build = Build((24, 48, 48))
    seconds = median_seconds(lambda: sum(1 for _ in build_potts(build, 0)), REPEATS)
    print(f"{'am 24×48×48':<34}{seconds:>9.2f}")
    for n_colours in (16, 128):
        blocks = Blocks([label_volume(spins, Growth())], BlockSettings(n_colours=n_colours))
        seconds = median_seconds(lambda blocks=blocks: blocks.batch(range(20)), REPEATS)
        print(f"{f'blocks 32³ in {n_colours} colours':<34}{20 / seconds:>9.0f} per second")


if __name__ == "__main__":
    main()
