"""Grains of a part: in each cell its orientation, and which of the grains of that orientation it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.inheritance import inherit_grains

NONE = -1


@dataclass(frozen=True, eq=False)
class Grains:
    """Cells of a part, or views of some of them.

    One boundary in twenty joins grains of the same orientation, so that orientations alone do not tell grains.

    Parameters
    ----------
    orientation
        (z, y, x) int8, from 0 on; `NONE` where there is no material yet.
    grain_id
        (z, y, x) int32, likewise.
    """

    orientation: NDArray[np.int8]
    grain_id: NDArray[np.int32]

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> Grains:
        """Make cells without material."""
        return cls(np.full(shape, NONE, np.int8), np.full(shape, NONE, np.int32))

    def view(self, *slices: slice) -> Grains:
        """Show some cells."""
        return Grains(self.orientation[slices], self.grain_id[slices])


def fill_unsolidified(orientation: NDArray[np.int8]) -> int:
    """Give cells that never solidified the orientation of the nearest solid one, in place.

    Parameters
    ----------
    orientation
        (z, y, x) int8, `NONE` where to fill.

    Returns
    -------
    int
        Cells filled.
    """
    from scipy.ndimage import distance_transform_edt

    empty = orientation == NONE
    count = int(empty.sum())
    if count:
        nearest = distance_transform_edt(empty, return_distances=False, return_indices=True)
        orientation[empty] = orientation[tuple(axis[empty] for axis in nearest)]
    return count


def name_grains(grains: Grains, lost: NDArray[np.bool_], next_id: int) -> int:
    """Tell which grain each cell belongs to now that has melted or changed its orientation, in place.

    A grain grows into the melt from what of it stayed solid: a cell belongs to the nearest such grain of its
    orientation, along paths of that orientation. What hangs together with none is a new grain: it has nucleated, or
    others have cut it off.

    Parameters
    ----------
    grains
        With new orientations, and the ids of before.
    lost
        (z, y, x) bool: cells whose id is no longer theirs.
    next_id
        Of the first new grain.

    Returns
    -------
    int
        The id after the last one.
    """
    ids = np.where(lost, np.int32(NONE), grains.grain_id)
    next_id = int(inherit_grains(np.ascontiguousarray(grains.orientation), next_id, ids))
    grains.grain_id[...] = ids
    return next_id
