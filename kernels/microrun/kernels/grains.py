"""Moments, faces and neighbours of all grains in one pass.

All sums are of whole numbers, so they are exact and do not depend on how a volume is cut into slabs. The moments grow
run by run along x; where a run ends lies a face to the next voxel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microrun.kernels.compiling import exact_kernel

# Columns of the sums: voxels, sums of z, y, x, of zz, yy, xx, zy, zx, yx; faces shared with voxels of another label;
# runs at the volume's own faces and faces to voxels of no grain.
VOXELS, FIRST, SECOND, FACES, BOUNDARY, COLUMNS = 0, slice(1, 4), slice(4, 10), 10, 11, 12
EMPTY = -1
SPREAD = 0x1E3779B97F4A7C15  # an odd number near 2⁶³ / the golden ratio, which spreads keys evenly


@exact_kernel
def sum_slab(labels: Any, planes: Any, sums: Any) -> Any:
    """Add the voxels of some planes to the sums of their grains.

    Faces between the last of the planes and the one above belong to these planes.

    Parameters
    ----------
    labels
        (Z, Y, X) int32: grains 0, 1, …; voxels with negative labels belong to none.
    planes
        (first, end) of the planes.
    sums
        (grains, 12) int64, changed in place; moments about voxel (0, 0, 0).

    Returns
    -------
    (pairs,) int64
        Grains that touch, each pair once: lower · 2³² + higher.
    """
    depth, rows, cols = labels.shape
    table, used = np.full(1 << 10, EMPTY, np.int64), 0
    for z in range(planes[0], planes[1]):
        for y in range(rows):
            at_edge = z == 0 or z == depth - 1 or y == 0 or y == rows - 1
            row = labels[z, y]
            start = 0
            for x in range(1, cols + 1):
                if x < cols and row[x] == row[start]:
                    continue
                if row[start] >= 0:
                    add_run(sums[row[start]], z, y, start, x)
                    sums[row[start], BOUNDARY] += at_edge or start == 0 or x == cols
                if x < cols:
                    table, used = meet(row[start], row[x], sums, table, used)
                start = x
            if y + 1 < rows:
                table, used = meet_rows(row, labels[z, y + 1], sums, table, used)
            if z + 1 < depth:
                table, used = meet_rows(row, labels[z + 1, y], sums, table, used)
    return table[table != EMPTY]


@exact_kernel
def add_run(sums: Any, z: int, y: int, first: int, end: int) -> None:
    """Add voxels (z, y, first…end − 1) to the sums of their grain."""
    count = end - first
    along = (first + end - 1) * count // 2
    squares = (end * (end - 1) * (2 * end - 1) - first * (first - 1) * (2 * first - 1)) // 6
    sums[0] += count
    sums[1] += z * count
    sums[2] += y * count
    sums[3] += along
    sums[4] += z * z * count
    sums[5] += y * y * count
    sums[6] += squares
    sums[7] += z * y * count
    sums[8] += z * along
    sums[9] += y * along


@exact_kernel
def meet_rows(row: Any, other: Any, sums: Any, table: Any, used: int) -> tuple[Any, int]:
    """Note the faces between two rows; arguments and returns as of `meet`."""
    last_one, last_two, known = -1, -1, False
    for x in range(row.size):
        one, two = row[x], other[x]
        if one == two:
            continue
        if known and one == last_one and two == last_two:  # the pair is in the table
            count_face(one, two, sums)
        else:
            table, used = meet(one, two, sums, table, used)
            last_one, last_two, known = one, two, True
    return table, used


@exact_kernel
def meet(one: int, two: int, sums: Any, table: Any, used: int) -> tuple[Any, int]:
    """Note a face between two voxels of different labels.

    Parameters
    ----------
    one, two
        The labels.
    sums
        (grains, 12) int64, changed in place.
    table
        Pairs of grains, a hash table whose length is a power of two.
    used
        Number of pairs in it.

    Returns
    -------
    table, used
        The table, a longer one if it was half full, and the number of pairs.
    """
    count_face(one, two, sums)
    if one < 0 or two < 0:
        return table, used
    used += insert(np.int64(min(one, two)) << 32 | np.int64(max(one, two)), table)
    if 2 * used > table.size:
        longer = np.full(2 * table.size, EMPTY, np.int64)
        for pair in table:
            if pair != EMPTY:
                insert(pair, longer)
        table = longer
    return table, used


@exact_kernel
def count_face(one: int, two: int, sums: Any) -> None:
    """Count a face for the grains on both sides; one to no grain is a boundary."""
    if one >= 0:
        sums[one, FACES] += 1
        sums[one, BOUNDARY] += two < 0
    if two >= 0:
        sums[two, FACES] += 1
        sums[two, BOUNDARY] += one < 0


@exact_kernel
def insert(pair: Any, table: Any) -> int:
    """Put a pair into the table; gives 1 if it was not there before."""
    slot = ((pair * SPREAD) >> 31) & (table.size - 1)
    while table[slot] != EMPTY:
        if table[slot] == pair:
            return 0
        slot = (slot + 1) & (table.size - 1)
    table[slot] = pair
    return 1
