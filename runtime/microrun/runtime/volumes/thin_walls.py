"""Walls of a part that are too thin for its voxels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.voxelize import UNIT
from microrun.kernels.walls import find_walls
from microrun.runtime.volumes.surface import Surface
from microrun.runtime.volumes.volume import Shape

Whole = NDArray[np.int64]
LEAST = 2.0  # voxels; thinner walls crumble, since a slanted one may miss the centres of voxels
SAID_SHARE = 0.001  # of the surface, below which nothing is said


class ThinWalls(NamedTuple):
    """Walls thinner than two voxels.

    Parameters
    ----------
    area_share, volume_share
        Their shares of the surface of a part, and of its volume.
    thinnest
        Least thickness in voxels; infinite without such walls.
    low, high
        First voxel and last one that they reach, (z, y, x); of a grid of the part.
    """

    area_share: float
    volume_share: float
    thinnest: float
    low: Shape
    high: Shape

    def describe(self, larger: str) -> list[str]:
        """A sentence about them, with what to do; none if there are hardly any."""
        if self.area_share < SAID_SHARE:
            return []
        place = ", ".join(
            f"{axis} {low:,} to {high:,}" for axis, low, high in zip("zyx", self.low, self.high, strict=True)
        )
        return [
            f"walls thinner than two voxels make up {self.area_share:.1%} of the surface and {self.volume_share:.1%} "
            f"of the volume, the thinnest {self.thinnest:.2g} voxels, within voxels {place}; {larger}"
        ]


def find_thin_walls(surface: Surface, shape: Shape) -> ThinWalls:
    """Find the walls thinner than two voxels, by rays along each axis.

    Parameters
    ----------
    surface
        Faces of a part.
    shape
        Of its grid, (z, y, x).

    Returns
    -------
    ThinWalls
        How much of it they are, and where.
    """
    depth, rows, cols = shape
    triangles = surface.triangles
    # As of the rays that fill voxels: that of y swaps two axes, so its faces are seen mirrored.
    along_y = np.ascontiguousarray(triangles[:, ::-1, (0, 2, 1)])
    along_z = np.ascontiguousarray(triangles[..., (1, 2, 0)])
    views = [
        (triangles, (depth, rows, cols), (0, 1, 2)),
        (along_y, (depth, cols, rows), (0, 2, 1)),
        (along_z, (rows, cols, depth), (2, 0, 1)),
    ]
    with ThreadPoolExecutor(len(views)) as pool:
        found = list(pool.map(lambda view: (find_walls(view[0], view[1], LEAST), view[2]), views))
    found = [(walls, order) for walls, order in found if walls.rays]
    if not found:
        return ThinWalls(0.0, 0.0, np.inf, (0, 0, 0), (0, 0, 0))
    area, volume = sum(walls.area for walls, _ in found), sum(walls.volume for walls, _ in found)
    low = np.min([walls.low[list(order)] for walls, order in found], axis=0)
    high = np.max([walls.high[list(order)] for walls, order in found], axis=0)
    last = np.array(shape) - 1
    return ThinWalls(
        min(1.0, area * UNIT**2 / surface.area), min(1.0, volume * UNIT**3 / abs(surface.volume)),
        min(walls.thinnest for walls, _ in found), _as_shape(np.clip(low, 0, last)), _as_shape(np.clip(high, 0, last)),
    )  # fmt: skip


def _as_shape(corner: Whole) -> Shape:
    z, y, x = corner.tolist()
    return z, y, x
