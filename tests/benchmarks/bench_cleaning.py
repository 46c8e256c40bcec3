"""Absorption of tiny grains against its slow twin in plain Python, in one run.

    python tests/benchmarks/bench_cleaning.py

prints medians: milliseconds, voxels per second, and how many times the twin's speed. Grains are strewn with voxels of
other grains, so that one voxel in twelve or so is a grain of its own. The twin counts all faces anew for every grain,
so that its time grows with the square of the volume: it is timed on the smallest only.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "help"))
import segmentation_oracles as oracles
from timing import median_seconds

from microrun.cli.bench.segment import VOXELS_PER_GRAIN, voronoi_cells
from microrun.runtime.volumes.cleaning import absorb_grains
from microrun.runtime.volumes.segment import SegmentOptions, segment
from microrun.runtime.volumes.volume import Volume

REPEATS = 5
STREWN = 0.1
MIN_VOXELS = 8
TWIN_SIZE, SIZES = 16, (16, 64, 128, 256)


def strew(size: int) -> NDArray[np.int32]:
    """Labels of a cube of grains strewn with tiny ones."""
    rng = np.random.default_rng(0)
    cells = voronoi_cells(size, max(2, size**3 // VOXELS_PER_GRAIN))
    strewn = rng.random(cells.shape) < STREWN
    cells[strewn] = rng.integers(0, cells.max() + 1, int(strewn.sum()))
    labels = np.empty(cells.shape, np.int32)
    segment(Volume(cells, "benchmark"), SegmentOptions(components=6), labels)
    return labels


def absorb_copy(labels: NDArray[np.int32], grains: int) -> None:
    absorb_grains(labels.copy(), grains, MIN_VOXELS)


def main() -> None:
    print(f"{'absorb_grains':<28}{'ms':>9}{'Mvoxel/s':>12}{'× Python':>10}")
    for size in SIZES:
        labels = strew(size)
        grains = int(labels.max()) + 1
        ours = median_seconds(partial(absorb_copy, labels, grains), REPEATS)
        ratio = ""
        if size == TWIN_SIZE:
            ratio = f"{median_seconds(partial(oracles.absorb, labels, MIN_VOXELS), 1) / ours:,.0f}"
        name = f"{grains:,} grains, {size}³"
        print(f"{name:<28}{ours * 1e3:>9.1f}{size**3 / ours / 1e6:>12.1f}{ratio:>10}", flush=True)


if __name__ == "__main__":
    main()
