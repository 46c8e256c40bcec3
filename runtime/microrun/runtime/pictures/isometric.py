"""What is seen of a volume from its corner (z, y, x) → ∞, exactly: isometric pictures with z up, x to the lower left.

A line of sight is given by a = x − z and b = y − z. Over the lattice of whole a and b every face of a voxel is two
triangles, so that what each triangle shows is found plane by plane from the top, without any search along lines.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT3 = 3**0.5
NO_FACE, TOP, RIGHT, LEFT = 0, 1, 2, 3  # faces toward z, y and x
# What a line of sight with a's fraction below b's, and above, meets between two planes, and that voxel's a and b.
CROSSINGS = (((TOP, 1, 1), (LEFT, 1, 0), (RIGHT, 0, 0)), ((TOP, 1, 1), (RIGHT, 0, 1), (LEFT, 0, 0)))


class View(NamedTuple):
    """Triangles of a volume seen from its corner.

    Parameters
    ----------
    values
        (2, b, a), what the voxel holds that is seen.
    faces
        (2, b, a) uint8, the voxel's face.
    shape
        (z, y, x) voxels of the volume.
    """

    values: NDArray[Any]
    faces: NDArray[np.uint8]
    shape: tuple[int, int, int]


def look_at(volume: NDArray[Any], solid: NDArray[np.bool_]) -> View:
    """Find what is seen of the solid voxels.

    Parameters
    ----------
    volume
        (z, y, x) numbers.
    solid
        (z, y, x) bool, True for voxels that are no air.

    Returns
    -------
    View
    """
    planes, rows, cols = volume.shape
    size = (2, planes + rows, planes + cols)
    values, faces = np.zeros(size, volume.dtype), np.zeros(size, np.uint8)
    for z in range(planes - 1, -1, -1):
        for triangle, crossings in enumerate(CROSSINGS):
            for face, back_y, back_x in crossings:
                first_b, first_a = planes - z - back_y, planes - z - back_x
                window = (triangle, slice(first_b, first_b + rows), slice(first_a, first_a + cols))
                new = solid[z] & (faces[window] == NO_FACE)
                np.copyto(values[window], volume[z], where=new)
                faces[window][new] = face
    return View(values, faces, (planes, rows, cols))


def frame_of(shape: tuple[int, int, int]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the picture of a volume, in edges of voxels as they appear.

    Parameters
    ----------
    shape
        (z, y, x) voxels of the volume.
    """
    planes, rows, cols = shape
    return -cols * ROOT3 / 2, rows * ROOT3 / 2, -(rows + cols) / 2, float(planes)


def project(point: tuple[float, float, float]) -> tuple[float, float]:
    """Place in the picture where a point appears: to the right and up, in edges of voxels as they appear.

    Parameters
    ----------
    point
        (z, y, x) in edges of voxels.
    """
    z, y, x = point
    return (y - x) * ROOT3 / 2, z - (x + y) / 2


def sample_view(view: View, scale: float) -> View:
    """Pixels of a view, its top row first: values and faces of (rows, columns).

    Parameters
    ----------
    view
        From `look_at`.
    scale
        Pixels along the edge of a voxel.
    """
    left, right, bottom, top = frame_of(view.shape)
    across = left + (np.arange(int(np.ceil((right - left) * scale))) + 0.5) / scale
    up = top - (np.arange(int(np.ceil((top - bottom) * scale))) + 0.5) / scale
    a = -up[:, None] - across / ROOT3 + view.shape[0]
    b = -up[:, None] + across / ROOT3 + view.shape[0]
    column, row = np.floor(a).astype(np.int32), np.floor(b).astype(np.int32)
    triangle = (b - row < a - column).astype(np.int8)
    _, rows, columns = view.faces.shape
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    at = (triangle, np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1))
    return View(view.values[at], np.where(inside, view.faces[at], np.uint8(NO_FACE)), view.shape)
