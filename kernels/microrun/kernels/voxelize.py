"""Voxels inside a closed surface: rays along each axis count the faces that they pass, and two of three decide.

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
ALONG_X, ALONG_Y, ALONG_Z = 1, 2, 4
ODD, HIT = 1, 2


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
def find_slopes(triangle: Any) -> tuple[float, float]:
    """Give how the depth of a triangle changes with the row and with the column; 0 if it is seen from the side."""
    row, row_2 = triangle[1, 0] - triangle[0, 0], triangle[2, 0] - triangle[0, 0]
    col, col_2 = triangle[1, 1] - triangle[0, 1], triangle[2, 1] - triangle[0, 1]
    depth, depth_2 = triangle[1, 2] - triangle[0, 2], triangle[2, 2] - triangle[0, 2]
    facing = row * col_2 - col * row_2
    if facing == 0:
        return 0.0, 0.0
    return (depth * col_2 - col * depth_2) / facing, (row * depth_2 - depth * row_2) / facing


@exact_kernel
def mark_crossings(triangles: Any, first_row: int, bit: int, marks: Any, rays: Any) -> None:
    """Toggle a bit in the first voxel behind every face that a ray passes.

    Parameters
    ----------
    triangles
        (n, 3, 3) int64: corners as row, column and depth in units of 1/65536 voxel.
    first_row
        Number of the first row of ``marks``.
    bit
        `ALONG_X`, `ALONG_Y` or `ALONG_Z`.
    marks
        (rows, columns, depth) uint8.
    rays
        (rows, columns) uint8: `HIT` is set where a ray passes a face, `ODD` toggled at each.
    """
    rows, cols, depth = marks.shape
    for triangle in triangles:
        low, high = find_extent(triangle, 0)
        first, last = max(next_centre(low) - first_row, 0), min(next_centre(high) - first_row, rows)
        low, high = find_extent(triangle, 1)
        if first >= last or next_centre(low) == next_centre(high):  # between the centres, as most of a fine mesh
            continue
        along_col, along_row = find_slopes(triangle)
        low, high = find_extent(triangle, 2)
        for i in range(first, last):
            place = (first_row + i) * UNIT + HALF
            at_row = triangle[0, 2] + along_col * (place - triangle[0, 0])
            start, end = cross_triangle(triangle, place)
            for j in range(max(start, 0), min(end, cols)):
                face = at_row + along_row * (j * UNIT + HALF - triangle[0, 1])
                k = int(np.ceil((min(max(face, low), high) - HALF) / UNIT))
                rays[i, j] = (rays[i, j] ^ ODD) | HIT
                if k < depth:
                    marks[i, j, max(k, 0)] ^= bit


@exact_kernel
def fill_planes(marks: Any) -> None:
    """Carry the marks along x and y to the ends of their rays: a voxel's bit says whether it lies inside.

    Parameters
    ----------
    marks
        (planes, Y, X) uint8, changed in place.
    """
    planes, rows, cols = marks.shape
    for z in range(planes):
        for y in range(rows):
            inside = 0
            for x in range(cols):
                value = marks[z, y, x]
                if y > 0:
                    value ^= marks[z, y - 1, x] & ALONG_Y
                inside ^= value & ALONG_X
                marks[z, y, x] = (value & ~ALONG_X) | inside


@exact_kernel
def decide_voxels(marks: Any, out: Any) -> None:
    """Carry the marks along z to the ends of their rays, and take what at least two of the three rays say.

    Parameters
    ----------
    marks
        (Z, rows, X) uint8, after `fill_planes`; changed in place.
    out
        (Z, rows, X) bool.
    """
    planes, rows, cols = marks.shape
    for z in range(planes):
        for y in range(rows):
            for x in range(cols):
                value = marks[z, y, x]
                if z > 0:
                    value ^= marks[z - 1, y, x] & ALONG_Z
                    marks[z, y, x] = value
                out[z, y, x] = (value & (value - 1)) != 0
