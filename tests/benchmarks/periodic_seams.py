"""Seams of periodic volumes: how often neighbouring voxels differ across the period, and across blocks within it.

    python tests/benchmarks/periodic_seams.py VOLUME.h5 …

Volumes as `microrun generate --periodic` writes them. Each ratio is to neighbours within one block; 1 is no seam.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.generation.tiling import Region, Tiling, tile_isotropic
from microrun.runtime.volumes.axes import wraps_of
from microrun.runtime.volumes.volume import open_volume

WITHIN, BORDER, PERIOD = range(3)


def owners(tiling: Tiling) -> NDArray[np.int64]:
    """The block that each voxel is of."""
    owner = np.empty(tiling.shape, np.int64)
    for block in range(len(tiling) - 1, -1, -1):
        for of_volume, _ in tiling.windows(block):
            owner[of_volume] = block
    return owner


def seam_ratios(labels: NDArray[Any], tiling: Tiling) -> tuple[float, float]:
    """Across the period, and across borders of blocks elsewhere."""
    owner, counts = owners(tiling), np.zeros((3, 2))
    for axis in range(3):
        beside = [np.roll(array, -1, axis) for array in (owner, labels)]
        place = np.where(owner != beside[0], BORDER, WITHIN)
        last = np.moveaxis(place, axis, 0)[-1]
        last[...] = PERIOD if tiling.wraps[axis] else -1
        for kind in range(3):
            counts[kind] += (labels != beside[1])[place == kind].sum(), (place == kind).sum()
    density = counts[:, 0] / np.maximum(counts[:, 1], 1)
    return float(density[PERIOD] / density[WITHIN]), float(density[BORDER] / density[WITHIN])


def main(paths: list[Path]) -> None:
    """Print a line for each volume."""
    for path in paths:
        with open_volume(path) as volume:
            labels, wraps = np.asarray(volume), wraps_of(volume.periodic)
        period, border = seam_ratios(labels, tile_isotropic(volume.shape, Region(wraps=wraps)))
        diameters = np.cbrt(np.bincount(labels[labels >= 0]) * (6 / np.pi))
        print(
            f"{path}: period {period:.3f}, borders of blocks {border:.3f}, {diameters.size} grains, "
            f"{diameters.mean():.2f} voxels across"
        )


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
