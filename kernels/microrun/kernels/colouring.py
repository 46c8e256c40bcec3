"""Grains of a volume by number, and a random colouring in which no two that touch are alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from microrun.kernels.compiling import fast_kernel
from microrun.kernels.union_find import number_roots, unite

UNCOLOURED = 255


@fast_kernel
def label_grains(spins: Any, periodic: bool, out: Any) -> int:
    """Number the grains of a volume: voxels of one spin that hang together by their faces.

    Parameters
    ----------
    spins
        (Z, Y, X) of integers.
    periodic
        Whether opposite faces of the volume touch.
    out
        (Z, Y, X) int32, C order: grain ids 0, 1, … in the order of their first voxels.

    Returns
    -------
    int
        Number of grains.
    """
    planes, rows, cols = spins.shape
    parents = out.reshape(out.size)
    for voxel in range(out.size):
        parents[voxel] = voxel
    for z in range(planes):
        for y in range(rows):
            for x in range(cols):
                voxel, spin = (z * rows + y) * cols + x, spins[z, y, x]
                before_z, before_y, before_x = z - 1, y - 1, x - 1
                if periodic:
                    before_z, before_y, before_x = before_z % planes, before_y % rows, before_x % cols
                if before_z >= 0 and spins[before_z, y, x] == spin:
                    unite(parents, voxel, (before_z * rows + y) * cols + x)
                if before_y >= 0 and spins[z, before_y, x] == spin:
                    unite(parents, voxel, (z * rows + before_y) * cols + x)
                if before_x >= 0 and spins[z, y, before_x] == spin:
                    unite(parents, voxel, (z * rows + y) * cols + before_x)
    return number_roots(parents)


@fast_kernel
def colour_grains(grain_ids: Any, ranks: Any, choices: Any, n_colours: int, out: Any) -> bool:
    """Give every grain a random colour that none of its neighbours has.

    The grain with the fewest colours left comes first (Brélaz, 1979, doi:10.1145/359094.359101), of several the
    one of the lowest rank.

    Parameters
    ----------
    grain_ids
        (Z, Y, X) int32 from 0 to n − 1; grains are neighbours where any of a voxel's 26 neighbours is of the other.
        2n² bytes of memory are taken.
    ranks
        (n,) of integers, all different.
    choices
        (n,) float64 from 0 to below 1, which of the colours left a grain takes.
    n_colours
        At most 255.
    out
        (n,) uint8: 0 to n_colours − 1.

    Returns
    -------
    bool
        False if a grain had no colour left; it and others are then `UNCOLOURED`.
    """
    count = out.size
    touching = find_touching(grain_ids, count)
    free = np.ones((count, n_colours), np.bool_)
    left = np.full(count, n_colours, np.int64)
    out[:] = UNCOLOURED
    for _ in range(count):
        grain = most_constrained(left, ranks, out)
        if left[grain] == 0:
            return False
        colour = nth_true(free[grain], int(choices[grain] * left[grain]))
        out[grain] = colour
        for other in range(count):
            if touching[grain, other] and free[other, colour]:
                free[other, colour] = False
                left[other] -= 1
    return True


@fast_kernel
def find_touching(grain_ids: Any, count: int) -> Any:
    """Mark pairs of grains that are neighbours, (count, count) bool."""
    planes, rows, cols = grain_ids.shape
    touching = np.zeros((count, count), np.bool_)
    for z in range(planes):
        for y in range(rows):
            for row in range(5):
                # Of the 26 neighbours those in rows before, and the one before in the same row.
                nz, ny = (z - 1, y + row - 1) if row < 3 else (z, y + row - 4)
                if nz < 0 or ny < 0 or ny >= rows:
                    continue
                for step in range(-1, 2 if row < 4 else 0):
                    for x in range(max(0, -step), cols - max(0, step)):
                        # A grain touches itself, which harms nobody; to look first would take longer.
                        touching[grain_ids[z, y, x], grain_ids[nz, ny, x + step]] = True
    return touching | touching.T


@fast_kernel
def most_constrained(left: Any, ranks: Any, colours: Any) -> int:
    """Find the grain without a colour that has the fewest left, the lowest rank among equals."""
    best = -1
    for grain in range(left.size):
        if colours[grain] != UNCOLOURED:
            continue
        if best < 0 or left[grain] < left[best] or (left[grain] == left[best] and ranks[grain] < ranks[best]):
            best = grain
    return best


@fast_kernel
def nth_true(marks: Any, n: int) -> int:
    """Find the place of the n-th True, counted from 0."""
    for place in range(marks.size):
        if marks[place]:
            if n == 0:
                return place
            n -= 1
    return -1
