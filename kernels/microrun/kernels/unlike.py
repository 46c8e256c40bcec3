"""Voxels beside unlike ones: what surfaces of grains are counted from, and what a Potts flip would improve.

A voxel has 26 neighbours, at squared distances of 1, 2 and 3; outside the volume all are unlike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microrun.kernels.compiling import exact_kernel
from microrun.kernels.potts import BOUNDED, NEIGHBOURS, gather

DISTANCES = 3  # squared, of neighbours: 6 at 1, 12 at 2, 8 at 3


@exact_kernel
def count_crossings(labels: Any, planes: Any, crossings: Any) -> None:
    """Count the neighbours of another label around the voxels of each grain, in some planes.

    Parameters
    ----------
    labels
        (Z, Y, X) int32: grains 0, 1, …; voxels with negative labels belong to none.
    planes
        (first, end) of the planes.
    crossings
        (grains, 3) int64, added to: how often lines of voxels at a squared distance of 1, 2 and 3 leave or enter a
        grain; the volume's own faces are crossed, too.
    """
    _, rows, cols = labels.shape
    unlike = np.empty((DISTANCES, cols), np.uint8)
    for z in range(planes[0], planes[1]):
        for y in range(rows):
            mark_unlike(labels, z, y, unlike)
            row = labels[z, y]
            start = 0
            for x in range(1, cols + 1):
                if x < cols and row[x] == row[start]:
                    continue
                if row[start] >= 0:
                    for distance in range(DISTANCES):
                        crossings[row[start], distance] += sum_up(unlike[distance], start, x)
                start = x


@exact_kernel
def sum_up(counts: Any, first: int, end: int) -> int:
    """Sum of some counts, those of places first…end − 1."""
    total = 0
    for x in range(first, end):
        total += counts[x]
    return total


@exact_kernel
def mark_unlike(labels: Any, z: int, y: int, out: Any) -> None:
    """Count the unlike neighbours of the voxels of a row, those outside the volume among them.

    Parameters
    ----------
    labels
        (Z, Y, X) int32.
    z, y
        The row.
    out
        (3, X) uint8, written: how many at a squared distance of 1, 2 and 3.
    """
    depth, rows, cols = labels.shape
    row = labels[z, y]
    out[:] = 0
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            squared = dz * dz + dy * dy
            outside = z + dz < 0 or z + dz >= depth or y + dy < 0 or y + dy >= rows
            if outside:
                raise_by(1, out[squared - 1])
                if squared < DISTANCES:
                    raise_by(2, out[squared])
                continue
            other = labels[z + dz, y + dy]
            if squared > 0:
                compare_rows(row, other, out[squared - 1])
            if squared < DISTANCES:
                compare_rows(row[1:], other[: cols - 1], out[squared, 1:])
                compare_rows(row[: cols - 1], other[1:], out[squared, : cols - 1])
                out[squared, 0] += 1
                out[squared, cols - 1] += 1


@exact_kernel
def raise_by(number: int, out: Any) -> None:
    """Add a number to all."""
    for x in range(out.size):
        out[x] += np.uint8(number)


@exact_kernel
def compare_rows(row: Any, other: Any, out: Any) -> None:
    """Add 1 where two rows differ."""
    for x in range(row.size):
        out[x] += np.uint8(row[x] != other[x])


@exact_kernel
def count_unstable(labels: Any, planes: Any) -> tuple[int, int]:
    """Count the voxels of some planes that a Potts flip at T = 0 would improve.

    A voxel's energy is its number of neighbours of another label. It is unstable if the label of a neighbour would
    lower it. Voxels count only if all of their 26 neighbours belong to grains: others lie where a structure was cut,
    at which it need not be at rest.

    Parameters
    ----------
    labels
        (Z, Y, X) int32; voxels with negative labels belong to no grain.
    planes
        (first, end) of the planes.

    Returns
    -------
    unstable, counted
        Numbers of voxels.
    """
    depth, rows, cols = labels.shape
    unlike = np.empty((DISTANCES, cols), np.uint8)
    others, counts = np.empty(NEIGHBOURS, np.int32), np.empty(NEIGHBOURS, np.int32)
    unstable = counted = 0
    has_empty = labels.min() < 0
    for z in range(max(planes[0], 1), min(planes[1], depth - 1)):
        for y in range(1, rows - 1):
            mark_unlike(labels, z, y, unlike)
            for x in range(1, cols - 1):
                if labels[z, y, x] < 0:
                    continue
                least, most, like = 0, 0, NEIGHBOURS
                differing = int(unlike[0, x]) + int(unlike[1, x]) + int(unlike[2, x])
                if 2 * differing > NEIGHBOURS or (has_empty and differing > 0):  # else its own label has the most
                    found, like = gather(labels, (z, y, x), BOUNDED, others, counts)
                    for k in range(found):
                        least, most = min(least, others[k]), max(most, counts[k])
                counted += least >= 0
                unstable += least >= 0 and most > like
    return unstable, counted
