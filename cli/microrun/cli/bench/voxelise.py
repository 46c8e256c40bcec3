"""Voxelisation of parts, measured against other libraries."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from microrun.cli.bench.peers import has
from microrun.cli.bench.segment import OURS, Say
from microrun.cli.bench.timing import seconds_of
from microrun.cli.bench.voxelisers import Triangles, fill_with_trimesh, fill_with_vtk
from microrun.runtime.volumes.parts import read_triangles, voxelize_triangles

SPHERE_BANDS = 158  # 49,612 faces


@dataclass(frozen=True)
class Voxelised:
    """Voxelisation of one part.

    Parameters
    ----------
    part, faces
        Its name, and its triangles.
    size, voxels
        Along the longest side, and of the whole box.
    seconds
        Median time.
    of_peers
        How often faster we are than other libraries, by their names; only of those that are installed.
    """

    part: str
    faces: int
    size: int
    voxels: int
    seconds: float
    of_peers: dict[str, float]


def load_part(stl: Path | None) -> tuple[str, Triangles]:
    """Read a part, or make a sphere; returns its name and triangles. VolumeError if the file holds none."""
    return ("sphere", make_sphere(SPHERE_BANDS)) if stl is None else (stl.name, read_triangles(stl))


def make_sphere(bands: int) -> Triangles:
    """Triangles of a sphere in as many bands of latitude as of longitude, (2·bands·(bands − 1), 3, 3)."""
    latitude, longitude = np.linspace(0, np.pi, bands + 1), np.linspace(0, 2 * np.pi, bands + 1)
    theta, phi = np.meshgrid(latitude, longitude, indexing="ij")
    corners = np.stack([np.cos(theta), np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi)], axis=-1)
    corners = corners.round(12)  # where bands close and at the poles they are the same to the last bit
    north_west, north_east = corners[:-1, :-1], corners[:-1, 1:]
    south_west, south_east = corners[1:, :-1], corners[1:, 1:]
    upper = np.stack([north_west, south_west, south_east], axis=2)[:-1]  # at the poles one of the two is a line
    lower = np.stack([north_west, south_east, north_east], axis=2)[1:]
    return np.concatenate([upper.reshape(-1, 3, 3), lower.reshape(-1, 3, 3)])


def measure_voxelisation(part: str, triangles: Triangles, size: int, repeats: int, say: Say) -> Voxelised:
    """Measure our voxelisation and that of the libraries which are installed, in turns.

    Parameters
    ----------
    part
        Its name.
    triangles
        (n, 3, 3): corners as z, y, x.
    size
        Voxels along the longest side.
    repeats
        Of every measurement.
    say
        Called with what is being done.
    """
    say(f"voxelisation, {size}³")
    works: dict[str, Callable[[], object]] = {OURS: partial(voxelize_triangles, triangles, size)}
    if has("trimesh"):
        works["trimesh"] = fill_with_trimesh(triangles, size)
    if has("vtkmodules"):
        works["VTK"] = fill_with_vtk(triangles, size)
    taken: dict[str, list[float]] = {name: [] for name in works}
    voxels = voxelize_triangles(triangles, size).filled.size  # the kernels are compiled now
    for _ in range(repeats):
        for name, work in works.items():
            taken[name].append(seconds_of(work))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    own = medians.pop(OURS)
    of_peers = {name: seconds / own for name, seconds in medians.items()}
    return Voxelised(part, len(triangles), size, voxels, own, of_peers)
