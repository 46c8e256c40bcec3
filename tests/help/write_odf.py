"""Tables of orientation densities as MTEX's export_generic writes them, and small grains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HEAD = (
    '% MTEX ODF\n% crystal symmetry: "{crystal}"\n% specimen symmetry: "{specimen}"\n% phi1    Phi     phi2    value\n'
)
Density = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def write_odf(path: Path, density: Density, step: float = 10.0, crystal: str = "m-3m", specimen: str = "1") -> Path:
    """Write densities on a regular grid: phi1 to 360° (or to 90°), Phi and phi2 to 90°."""
    last = 90 + step if specimen == "mmm" else 360
    axes = np.arange(0, last, step), np.arange(0, 90 + step, step), np.arange(0, 90, step)
    angles = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    rows = np.column_stack([angles, density(angles)])
    with path.open("w", encoding="ascii") as file:
        file.write(HEAD.format(crystal=crystal, specimen=specimen))
        np.savetxt(file, rows, "%3.5f")
    return path


def voronoi(shape: tuple[int, int, int], count: int, seed: int = 0) -> NDArray[np.int32]:
    """Grains around random points."""
    from scipy.spatial import cKDTree

    points = np.random.default_rng(seed).random((count, 3)) * shape
    voxels = np.indices(shape).reshape(3, -1).T
    return cKDTree(points).query(voxels)[1].reshape(shape).astype(np.int32)
