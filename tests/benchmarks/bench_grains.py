"""Grain statistics against scikit-image, in one run; `microrun bench segment` measures voxels of parts and grains.

    python tests/benchmarks/bench_grains.py

prints medians: milliseconds, voxels per second, and how many times the peer's speed. Scikit-image finds volumes,
centroids and axes, but no neighbours and no surface, and is timed at 128³ only: its time grows with the number of
grains.
"""

from __future__ import annotations

from functools import partial

from skimage.measure import regionprops_table
from timing import median_seconds

from microrun.cli.bench.segment import VOXELS_PER_GRAIN, voronoi_cells
from microrun.runtime.volumes.measure import measure_grains

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


if __name__ == "__main__":
    main()
