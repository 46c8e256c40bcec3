"""Voxels inside a surface: rays along each axis add up the faces that they pass, and two of three decide.

A ray's winding number rises by one at a face that it passes inward and falls by one at a face that it passes outward;
a voxel is inside where it is above 0. So bodies that overlap are one, and a body that faces inward is a cavity. A ray
whose numbers do not add up to 0 has met a hole or a face that is turned, and goes by their parity instead.

Coordinates are whole numbers of 1/65536 voxel and all crossings of edges are found in whole numbers, so that two
triangles agree exactly on the edge that they share: a ray passes one of them, never both or none. What lies exactly
on a voxel's centre belongs to the side of higher coordinates (half-open intervals along every axis).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microrun.kernels.compiling import exact_kernel

UNIT = 1 << 16  # per voxel
HALF = UNIT >> 1
LONGEST = 1 << 13  # voxels along an axis: products of two lengths stay below 2⁶¹
PASSED, NET, TOTAL = 0, 1, 2  # of a ray: number of faces, sum of their signs, sum of its voxels' winding numbers
INSIDE, SHARED, BEHIND = 1, 4, 16  # a ray's votes on a voxel: number above 0, above 1, below 0


@exact_kernel
def next_centre(place: int) -> int:
    """Give the first voxel whose centre lies at a place or beyond."""
    return (place + HALF - 1) // UNIT


@exact_kernel
def cross_edge(start: tuple[int, int], end: tuple[int, int], place: int) -> int:
    """Give the first column whose centre lies at or beyond an edge, along the row at a place.

    Parameters
    ----------
    start, end
        Row and column; the row's place lies from one of them up to the other.
    place
        Centre of the row.
    """
    if start[0] > end[0]:
        start, end = end, start
    rise = end[0] - start[0]
    return next_centre(start[1] - (-(place - start[0]) * (end[1] - start[1])) // rise)


@exact_kernel
def cross_triangle(triangle: Any, place: int) -> tuple[int, int]:
    """Give the first column and the end of the columns whose centres a triangle covers, along a row."""
    first, end, found = 0, 0, 0
    for corner in range(3):
        after = (corner + 1) % 3
        if (triangle[corner, 0] <= place) != (triangle[after, 0] <= place):
            here, there = (triangle[corner, 0], triangle[corner, 1]), (triangle[after, 0], triangle[after, 1])
            column = cross_edge(here, there, place)
            first = column if found == 0 else min(first, column)
            end = column if found == 0 else max(end, column)
            found += 1
    return first, end


@exact_kernel
def find_extent(triangle: Any, axis: int) -> tuple[int, int]:
    """Give the lowest and highest coordinate of a triangle."""
    one, two, three = triangle[0, axis], triangle[1, axis], triangle[2, axis]
    return min(min(one, two), three), max(max(one, two), three)


@exact_kernel
def find_slopes(triangle: Any) -> tuple[int, float, float]:
    """Give how a triangle faces the rays, and how its depth changes with the row and with the column.

    The first is above 0 if a ray passes it inward, below 0 if outward, and 0, as all, if it is seen from the side.
    """
    row, row_2 = triangle[1, 0] - triangle[0, 0], triangle[2, 0] - triangle[0, 0]
    col, col_2 = triangle[1, 1] - triangle[0, 1], triangle[2, 1] - triangle[0, 1]
    depth, depth_2 = triangle[1, 2] - triangle[0, 2], triangle[2, 2] - triangle[0, 2]
    facing = row * col_2 - col * row_2
    if facing == 0:
        return 0, 0.0, 0.0
    return facing, (depth * col_2 - col * depth_2) / facing, (row * depth_2 - depth * row_2) / facing


@exact_kernel
def mark_crossings(triangles: Any, first_row: int, steps: Any, rays: Any) -> None:
    """Add the sign of every face that a ray passes to the first voxel behind it.

    Parameters
    ----------
    triangles
        (n, 3, 3) int64: corners as row, column and depth in units of 1/65536 voxel, in an order such that whoever
        looks along the rays sees those of a face that is passed inward turn from rows to columns.
    first_row
        Number of the first row of ``steps``.
    steps
        (rows, columns, depth) int16, added to: how the winding number changes at each voxel.
    rays
        (rows, columns, 3) int32, added to: `PASSED`, `NET` and `TOTAL`.
    """
    rows, cols, depth = steps.shape
    for triangle in triangles:
        low, high = find_extent(triangle, 0)
        first, last = max(next_centre(low) - first_row, 0), min(next_centre(high) - first_row, rows)
        low, high = find_extent(triangle, 1)
        if first >= last or next_centre(low) == next_centre(high):  # between the centres, as most of a fine mesh
            continue
        facing, per_row, per_col = find_slopes(triangle)
        sign = 1 if facing > 0 else -1
        low, high = find_extent(triangle, 2)
        for i in range(first, last):
            place = (first_row + i) * UNIT + HALF
            at_row = triangle[0, 2] + per_row * (place - triangle[0, 0])
            start, end = cross_triangle(triangle, place)
            for j in range(max(start, 0), min(end, cols)):
                face = at_row + per_col * (j * UNIT + HALF - triangle[0, 1])
                k = int(np.ceil((min(max(face, low), high) - HALF) / UNIT))
                rays[i, j, PASSED] += 1
                rays[i, j, NET] += sign
                if k < depth:
                    steps[i, j, max(k, 0)] += sign
                    rays[i, j, TOTAL] += sign * (depth - max(k, 0))


@exact_kernel
def vote_along(steps: Any, rays: Any, votes: Any) -> None:
    """Follow rays whose voxels lie one after another in memory, and add their votes.

    Parameters
    ----------
    steps, rays
        From `mark_crossings`.
    votes
        (rows, columns, depth) uint8, added to.
    """
    rows, cols, depth = steps.shape
    numbers = np.empty(depth, np.int16)
    balanced = np.empty(depth, np.int16)
    for i in range(rows):
        for j in range(cols):
            if rays[i, j, PASSED] == 0:
                continue
            number = 0
            for k in range(depth):
                number += steps[i, j, k]
                numbers[k] = number
            balanced[:] = rays[i, j, NET] == 0
            _vote(numbers, balanced, votes[i, j])


@exact_kernel
def vote_across(steps: Any, rays: Any, votes: Any) -> None:
    """Follow rays that lie side by side in memory, and add their votes.

    Parameters
    ----------
    steps
        (rows, depth, columns) int16, a view of what `mark_crossings` made.
    rays
        From `mark_crossings`.
    votes
        (rows, depth, columns) uint8, added to.
    """
    rows, depth, cols = steps.shape
    numbers, balanced = np.empty(cols, np.int16), np.empty(cols, np.int16)
    for i in range(rows):
        numbers[:] = 0
        balanced[:] = rays[i, :, NET] == 0
        for k in range(depth):
            numbers += steps[i, k]
            _vote(numbers, balanced, votes[i, k])


@exact_kernel
def _vote(numbers: Any, balanced: Any, votes: Any) -> None:
    """Add what rays say of one voxel each; of those that are not balanced the parity counts."""
    for j in range(numbers.size):
        number = numbers[j]
        if balanced[j]:
            said = INSIDE * (number > 0) + SHARED * (number > 1) + BEHIND * (number < 0)
        else:
            said = INSIDE * (number & 1)
        votes[j] += np.uint8(said)


@exact_kernel
def decide_voxels(votes: Any) -> tuple[int, int]:
    """Turn votes into 1 for voxels that at least two of three rays find inside, and 0 for the others.

    Parameters
    ----------
    votes
        uint8 of any three dimensions, changed in place.

    Returns
    -------
    shared, behind
        Voxels whose winding number is above 1, and below 0, likewise by two rays of three.
    """
    planes, rows, cols = votes.shape
    shared = behind = 0
    for z in range(planes):
        for y in range(rows):
            for x in range(cols):
                value = votes[z, y, x]
                shared += (value // SHARED) % 4 >= 2
                behind += value // BEHIND >= 2
                votes[z, y, x] = value % SHARED >= 2
    return shared, behind
