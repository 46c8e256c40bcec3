"""Grain statistics against scikit-image, in one run; `microrun bench segment` measures voxels of parts and grains.

    python tests/benchmarks/bench_grains.py

prints medians: milliseconds, voxels per second, and how many times the peer's speed. Scikit-image finds volumes,
centroids and axes, but no neighbours and no surface, and is timed at 128³ only: its time grows with the number of
grains. The lines below each are parts of what `microrun grains` does: crossings for surfaces and unstable voxels, one
thread, pieces and all counts of voxels, and what chance makes of as many grains.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from skimage.measure import regionprops_table
from timing import median_seconds

from microrun.cli.bench.segment import VOXELS_PER_GRAIN, voronoi_cells
from microrun.kernels.unlike import DISTANCES, count_crossings, count_unstable
from microrun.runtime.volumes.compare import collect_measures, compare_measures
from microrun.runtime.volumes.measure import measure_grains
from microrun.runtime.volumes.tally import split_pieces, tally_voxels

REPEATS, PEER_REPEATS = 7, 3
PEER_SIZE = 128
PROPERTIES = ("label", "area", "centroid", "axis_major_length", "axis_minor_length")


def main() -> None:
    print(f"{'all cores':<24}{'ms':>9}{'Mvoxel/s':>12}{'× peer':>10}")
    for size in (128, 256):
        labels = voronoi_cells(size, size**3 // VOXELS_PER_GRAIN)
        ours = median_seconds(partial(measure_grains, labels), REPEATS)
        ratio = ""
        if size == PEER_SIZE:
            peer = partial(regionprops_table, labels + 1, properties=PROPERTIES)
            ratio = f"{median_seconds(peer, PEER_REPEATS) / ours:.1f}"
        name = f"{labels.max() + 1:,} grains, {size}³"
        print(f"{name:<24}{ours * 1e3:>9.1f}{size**3 / ours / 1e6:>12,.0f}{ratio:>10}", flush=True)
        pieces, measures = split_pieces(labels), collect_measures([measure_grains(labels)])
        crossings = np.zeros((labels.max() + 1, DISTANCES), np.int64)
        for part, work in {
            "crossings": partial(count_crossings, labels, (0, size), crossings),
            "unstable": partial(count_unstable, labels, (0, size)),
            "pieces": partial(split_pieces, labels),
            "counts of voxels": partial(tally_voxels, labels, pieces),
            "chance": partial(compare_measures, measures, measures),
        }.items():
            seconds = median_seconds(work, PEER_REPEATS)
            print(f"  {part:<22}{seconds * 1e3:>9.1f}{size**3 / seconds / 1e6:>12,.0f}", flush=True)


if __name__ == "__main__":
    main()
