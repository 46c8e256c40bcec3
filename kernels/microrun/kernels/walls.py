"""Walls of a part: how thick it is along rays, between a face that is passed inward and the opposite one.

Rays and coordinates are those of `microrun.kernels.voxelize`. A ray counts for a wall if of all axes its own is nearest
to the wall's normal, so that each piece of a wall is seen along one axis.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import exact_kernel
from microrun.kernels.voxelize import HALF, UNIT, cross_triangle, find_extent, find_slopes, next_centre

NOTHING = 1e-3  # voxels between faces that lie back to back
OPPOSITE = 0.9  # least cosine between the normals of a wall's faces, up to 26°: what is no wall is an edge
DEPTH, PER_ROW, PER_COL, SIGN = 0, 1, 2, 3  # of a crossing, in units, units a unit, and 1 inward or −1 outward


class Walls(NamedTuple):
    """Walls thinner than some thickness, in voxels.

    Parameters
    ----------
    rays
        Number of rays that found one.
    area, volume
        Area of both sides of the walls, and their volume.
    thinnest
        Least thickness; infinite without walls.
    low, high
        (3,) int64: first voxel and last one that walls reach, as row, column and depth of the rays.
    """

    rays: int
    area: float
    volume: float
    thinnest: float
    low: NDArray[np.int64]
    high: NDArray[np.int64]


@exact_kernel
def find_walls(triangles: Any, shape: Any, least: float) -> Walls:
    """Find the walls thinner than a thickness.

    Parameters
    ----------
    triangles
        (n, 3, 3) int64, as for `mark_crossings`.
    shape
        Rows, columns and depth of the grid.
    least
        The thickness in voxels.

    Returns
    -------
    Walls
        What the rays along the depth found.
    """
    firsts = np.zeros(shape[0] * shape[1] + 1, np.int64)
    _pass_faces(triangles, shape, firsts, np.empty((0, 4)))
    firsts[1:] = np.cumsum(firsts[1:])
    crossings = np.empty((firsts[-1], 4))
    _pass_faces(triangles, shape, firsts[:-1].copy(), crossings)
    return _measure(firsts, crossings, shape, least)


@exact_kernel
def _pass_faces(triangles: Any, shape: Any, places: Any, crossings: Any) -> None:
    """Count the crossings of each ray behind its place, or note them from its place on, which moves."""
    counting = crossings.shape[0] == 0
    for triangle in triangles:
        low, high = find_extent(triangle, 0)
        first, last = max(next_centre(low), 0), min(next_centre(high), shape[0])
        low, high = find_extent(triangle, 1)
        if first >= last or next_centre(low) == next_centre(high):
            continue
        facing, per_row, per_col = find_slopes(triangle)
        low, high = find_extent(triangle, 2)
        for i in range(first, last):
            place = i * UNIT + HALF
            start, end = cross_triangle(triangle, place)
            at_row = triangle[0, 2] + per_row * (place - triangle[0, 0])
            for j in range(max(start, 0), min(end, shape[1])):
                ray = i * shape[1] + j
                if counting:
                    places[ray + 1] += 1
                    continue
                face = at_row + per_col * (j * UNIT + HALF - triangle[0, 1])
                crossings[places[ray], DEPTH] = min(max(face, low), high)
                crossings[places[ray], PER_ROW] = per_row
                crossings[places[ray], PER_COL] = per_col
                crossings[places[ray], SIGN] = 1.0 if facing > 0 else -1.0
                places[ray] += 1


@exact_kernel
def _measure(firsts: Any, crossings: Any, shape: Any, least: float) -> Walls:
    rays, area, volume, thinnest = 0, 0.0, 0.0, np.inf
    low, high = np.full(3, 1 << 62), np.full(3, -1)
    for ray in range(firsts.size - 1):
        mine = crossings[firsts[ray] : firsts[ray + 1]]
        sort_by_depth(mine)
        number, start = 0, 0
        for k in range(len(mine)):
            start = k if number == 0 else start
            number += int(mine[k, SIGN])
            if number != 0 or mine[k, SIGN] > 0:
                continue
            chord = (mine[k, DEPTH] - mine[start, DEPTH]) / UNIT
            lean = lean_of(mine[start], mine[k])
            if lean == 0.0 or chord < NOTHING or chord * lean >= least:
                continue
            rays, area, volume = rays + 1, area + 2 / lean, volume + chord
            thinnest = min(thinnest, chord * lean)
            where = (ray // shape[1], ray % shape[1], int(mine[start, DEPTH] // UNIT))
            for axis in range(3):
                low[axis], high[axis] = min(low[axis], where[axis]), max(high[axis], where[axis])
            high[2] = max(high[2], int(mine[k, DEPTH] // UNIT))
    return Walls(rays, area, volume, thinnest, low, high)


@exact_kernel
def sort_by_depth(crossings: Any) -> None:
    """Sort the few crossings of a ray by insertion; of those back to back the inward ones come first."""
    for k in range(1, len(crossings)):
        place = k
        while place > 0 and comes_first(crossings[place], crossings[place - 1]):
            for column in range(4):
                kept = crossings[place, column]
                crossings[place, column] = crossings[place - 1, column]
                crossings[place - 1, column] = kept
            place -= 1


@exact_kernel
def comes_first(one: Any, other: Any) -> bool:
    """Whether a ray passes one face before another."""
    if abs(one[DEPTH] - other[DEPTH]) < NOTHING * UNIT:
        return bool(one[SIGN] > other[SIGN])
    return bool(one[DEPTH] < other[DEPTH])


@exact_kernel
def lean_of(one: Any, other: Any) -> float:
    """Give the cosine between a ray and the normal of a wall; 0 if the faces are none, or another axis is nearer."""
    if max(abs(one[PER_ROW]), abs(one[PER_COL])) > 1:
        return 0.0
    first = np.sqrt(1 + one[PER_ROW] ** 2 + one[PER_COL] ** 2)
    second = np.sqrt(1 + other[PER_ROW] ** 2 + other[PER_COL] ** 2)
    opposite = (1 + one[PER_ROW] * other[PER_ROW] + one[PER_COL] * other[PER_COL]) / (first * second)
    return (1 / first + 1 / second) / 2 if opposite >= OPPOSITE else 0.0
