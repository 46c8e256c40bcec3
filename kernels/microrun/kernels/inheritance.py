"""Which grain cells belong to that took an orientation over: that of the nearest cell which is known, along a path."""

from __future__ import annotations

from typing import Any

import numpy as np

from microrun.kernels.compiling import exact_kernel

NONE = -1


@exact_kernel
def inherit_grains(orientation: Any, next_id: int, grain_id: Any) -> int:
    """Spread grain ids to cells that have none, step by step through cells of the same orientation.

    Cells are reached in the order of their distance in steps through faces, those at the same distance from several
    grains in the order of the grains' cells in the array. What no grain reaches is numbered as new grains, each what
    hangs together by faces, in the order of their first cells.

    Parameters
    ----------
    orientation
        (z, y, x) int8; cells with a negative one stay without a grain.
    next_id
        Id of the first new grain.
    grain_id
        (z, y, x) int32 in C order, `NONE` where it is to be found; changed in place.

    Returns
    -------
    int
        The id after the last new grain.
    """
    queue = np.empty(orientation.size, np.int64)
    count = seed_front(orientation, grain_id, queue)
    spread(orientation, grain_id, queue, count)
    flat_orientation, flat_id = orientation.ravel(), grain_id.ravel()
    for cell in range(orientation.size):
        if flat_id[cell] == NONE and flat_orientation[cell] >= 0:
            flat_id[cell] = next_id
            queue[0] = cell
            spread(orientation, grain_id, queue, 1)
            next_id += 1
    return next_id


@exact_kernel
def seed_front(orientation: Any, grain_id: Any, queue: Any) -> int:
    """List the cells whose grain is known and beside which one is not.

    Parameters
    ----------
    orientation, grain_id
        As for `inherit_grains`.
    queue
        (cells,) int64, filled.

    Returns
    -------
    int
        Cells listed.
    """
    depth, width, length = orientation.shape
    flat_id = grain_id.ravel()
    count = 0
    for cell in range(orientation.size):
        if flat_id[cell] == NONE:
            continue
        x, y, z = cell % length, cell // length % width, cell // (length * width)
        open_beside = (
            (x > 0 and flat_id[cell - 1] == NONE) or (x < length - 1 and flat_id[cell + 1] == NONE)
            or (y > 0 and flat_id[cell - length] == NONE) or (y < width - 1 and flat_id[cell + length] == NONE)
            or (z > 0 and flat_id[cell - length * width] == NONE)
            or (z < depth - 1 and flat_id[cell + length * width] == NONE)
        )  # fmt: skip
        if open_beside:
            queue[count] = cell
            count += 1
    return count


@exact_kernel
def spread(orientation: Any, grain_id: Any, queue: Any, count: int) -> None:
    """Walk from cells to those beside them of the same orientation and without a grain, which join.

    Parameters
    ----------
    orientation, grain_id
        As for `inherit_grains`.
    queue
        (cells,) int64: the cells to begin with; overwritten.
    count
        How many they are.
    """
    depth, width, length = orientation.shape
    flat_orientation, flat_id = orientation.ravel(), grain_id.ravel()
    strides = (1, length, length * width)
    sides = (length, width, depth)
    at = 0
    while at < count:
        cell = queue[at]
        at += 1
        for axis in range(3):
            place = cell // strides[axis] % sides[axis]
            for step in (-1, 1):
                beside = cell + step * strides[axis]
                if not 0 <= place + step < sides[axis]:
                    continue
                if flat_id[beside] == NONE and flat_orientation[beside] == flat_orientation[cell]:
                    flat_id[beside] = flat_id[cell]
                    queue[count] = beside
                    count += 1
