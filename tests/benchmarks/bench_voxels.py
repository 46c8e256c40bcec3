"""Voxelisation against trimesh and grain statistics against scikit-image, in one run.

    python tests/benchmarks/bench_voxels.py

prints medians: milliseconds, voxels per second, and how many times the peer's speed. Trimesh marks the voxels that the
surface touches and fills what lies between; scikit-image finds volumes, centroids and axes, but no neighbours and no
surface, and is timed at 128³ only: its time grows with the number of grains.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import trimesh
from scipy.spatial import cKDTree
from skimage.measure import regionprops_table
from timing import median_seconds

from microrun.runtime.grains import measure_grains
from microrun.runtime.parts import voxelize_triangles

REPEATS, PEER_REPEATS = 7, 3
GRAIN_VOXELS = 1700
PROPERTIES = ("label", "area", "centroid", "axis_major_length", "axis_minor_length")


def voronoi(size: int) -> np.ndarray:
    points = np.random.default_rng(0).uniform(0, size, (size**3 // GRAIN_VOXELS, 3))
    tree = cKDTree(points)
    y, x = np.indices((size, size)).reshape(2, -1)
    planes = [tree.query(np.stack([np.full(y.size, z), y, x], axis=1) + 0.5, workers=-1)[1] for z in range(size)]
    return np.array(planes, np.int32).reshape(size, size, size)


def fill_with_trimesh(mesh: trimesh.Trimesh, size: int) -> object:
    return mesh.voxelized(2 / size).fill()


def report(name: str, size: int, ours: Callable[[], object], theirs: Callable[[], object] | None) -> None:
    mine = median_seconds(ours, REPEATS)
    ratio = f"{median_seconds(theirs, PEER_REPEATS) / mine:.1f}" if theirs else ""
    print(f"{name:<34}{mine * 1e3:>9.1f}{size**3 / mine / 1e6:>12,.0f}{ratio:>10}", flush=True)


def main() -> None:
    sphere = trimesh.creation.uv_sphere(count=(112, 112))
    triangles = np.asarray(sphere.triangles)[..., ::-1]
    print(f"{'all cores':<34}{'ms':>9}{'Mvoxel/s':>12}{'× peer':>10}")
    for size in (128, 256):
        ours = partial(voxelize_triangles, triangles, size)
        report(f"voxelise {len(triangles):,} faces, {size}³", size, ours, partial(fill_with_trimesh, sphere, size))
    for size in (128, 256):
        labels = voronoi(size)
        peer = partial(regionprops_table, labels + 1, properties=PROPERTIES) if size == 128 else None
        report(f"{labels.max() + 1:,} grains, {size}³", size, partial(measure_grains, labels), peer)


if __name__ == "__main__":
    main()
