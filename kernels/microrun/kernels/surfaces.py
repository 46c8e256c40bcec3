"""Faces to bodies: corners that are the same, faces that share edges, and bodies that lie in others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import exact_kernel
from microrun.kernels.union_find import unite
from microrun.kernels.voxelize import HALF, cross_triangle, find_extent, find_slopes

SAMPLES = 9  # faces of a body by which it lies in another, three along each axis
BEHIND = 8  # units: more than what rounding does to the middle of a face
LARGEST = np.iinfo(np.int64).max
Numbers = NDArray[np.int64]


class Bodies(NamedTuple):
    """Bodies from large to small, as what their faces enclose.

    Parameters
    ----------
    triangles
        (n, 3, 3) int64: corners as z, y, x, the faces of each body together.
    starts
        (bodies + 1,) int64: where the faces of each begin, and their end.
    boxes
        (bodies, 2, 3) int64: lowest and highest corner of each.
    """

    triangles: Numbers
    starts: Numbers
    boxes: Numbers


@exact_kernel
def number_rows(rows: Numbers, out: Numbers) -> int:
    """Number rows in the order in which they first appear; equal rows have one number.

    Parameters
    ----------
    rows
        (n, 3) int64.
    out
        (n,) int64.

    Returns
    -------
    int
        How many differ.
    """
    slots = 16
    while slots < 2 * len(rows):
        slots *= 2
    table = np.full(slots, -1, np.int64)  # the first of equal rows
    count = 0
    for i in range(len(rows)):
        a, b, c = rows[i]
        mixed = ((a * 73856093) ^ (b * 19349663) ^ (c * 83492791)) * 0x9E3779B97F4A7C1
        slot = (mixed ^ (mixed >> 29)) & (slots - 1)
        while table[slot] >= 0 and not _same(rows[table[slot]], a, b, c):
            slot = (slot + 1) & (slots - 1)
        if table[slot] < 0:
            table[slot] = i
            out[i] = count
            count += 1
        else:
            out[i] = out[table[slot]]
    return count


@exact_kernel
def _same(row: Numbers, a: int, b: int, c: int) -> bool:
    return bool(row[0] == a and row[1] == b and row[2] == c)


@exact_kernel
def link_faces(edges: Numbers, count: int, parents: Numbers) -> None:
    """Unite faces that share an edge.

    Parameters
    ----------
    edges
        (n, 3) int64: number of each edge of each face.
    count
        Number of edges.
    parents
        (n,) int64, at first each its own; changed in place.
    """
    first = np.full(count, -1, np.int64)
    for face in range(len(edges)):
        for edge in edges[face]:
            if first[edge] < 0:
                first[edge] = face
            unite(parents, face, first[edge])


@exact_kernel
def join_faces(edges: Numbers, forward: NDArray[np.bool_], uses: Numbers, parents: Numbers) -> None:
    """Unite faces that share an edge, and tell which of them are turned to the same side.

    Face i stands twice among the parents: as it is at 2·i, and turned at 2·i + 1. Faces that pass their edge to
    opposite sides face alike. Where an edge has more than two faces, those that follow one another are a pair if they
    face alike: a file writes one body after the other.

    Parameters
    ----------
    edges
        (n, 3) int64: number of each edge of each face.
    forward
        (n, 3) bool: which way the face passes it.
    uses
        (edges,) int64: how many faces an edge has.
    parents
        (2·n,) int64, at first each its own; changed in place.
    """
    waiting = np.full(uses.size, -1, np.int64)
    for face in range(len(edges)):
        for side in range(3):
            edge, here = edges[face, side], 2 * face + int(forward[face, side])
            other, waiting[edge] = waiting[edge], -1
            if other < 0:
                waiting[edge] = here
            elif uses[edge] == 2 or (other ^ here) & 1:
                turned = 1 - ((other ^ here) & 1)
                unite(parents, 2 * face, (other & ~1) + turned)
                unite(parents, 2 * face + 1, (other & ~1) + 1 - turned)


@exact_kernel
def measure_faces(triangles: Numbers, out: NDArray[np.float64]) -> None:
    """Find the areas of faces.

    Parameters
    ----------
    triangles
        (n, 3, 3) int64.
    out
        (n,) float64.
    """
    for face in range(len(triangles)):
        one, two = _side(triangles[face], 1), _side(triangles[face], 2)
        z, y, x = _cross(one, two)
        out[face] = np.sqrt(z * z + y * y + x * x) / 2


@exact_kernel
def measure_bodies(triangles: Numbers, body: Numbers, boxes: Numbers, volumes: NDArray[np.float64]) -> None:
    """Find the boxes of bodies and what their faces enclose, as seen from the middle of the box.

    Parameters
    ----------
    triangles
        (n, 3, 3) int64: corners as z, y, x.
    body
        (n,) int64: to which each face belongs.
    boxes
        (bodies, 2, 3) int64, written: lowest and highest corner.
    volumes
        (bodies,) float64, written: above 0 if the faces point outward.
    """
    boxes[:, 0], boxes[:, 1], volumes[:] = LARGEST, -LARGEST, 0
    for face in range(len(triangles)):
        box = boxes[body[face]]
        for axis in range(3):
            low, high = find_extent(triangles[face], axis)
            box[0, axis], box[1, axis] = min(box[0, axis], low), max(box[1, axis], high)
    for face in range(len(triangles)):
        box, corner = boxes[body[face]], triangles[face, 0]
        z, y, x = _cross(_side(triangles[face], 1), _side(triangles[face], 2))
        z *= corner[0] - (box[0, 0] + box[1, 0]) / 2
        y *= corner[1] - (box[0, 1] + box[1, 1]) / 2
        x *= corner[2] - (box[0, 2] + box[1, 2]) / 2
        volumes[body[face]] -= (z + y + x) / 6  # corners as z, y, x are left-handed


@exact_kernel
def _side(triangle: Any, corner: int) -> tuple[float, float, float]:
    return (
        float(triangle[corner, 0] - triangle[0, 0]),
        float(triangle[corner, 1] - triangle[0, 1]),
        float(triangle[corner, 2] - triangle[0, 2]),
    )


@exact_kernel
def _cross(one: tuple[float, float, float], two: tuple[float, float, float]) -> tuple[float, float, float]:
    return (
        one[1] * two[2] - one[2] * two[1],
        one[2] * two[0] - one[0] * two[2],
        one[0] * two[1] - one[1] * two[0],
    )


@exact_kernel
def nest_bodies(bodies: Bodies, signs: NDArray[np.int64], around: NDArray[np.int64]) -> None:
    """Decide which bodies are solid and which are cavities.

    A body that faces inward is a cavity if there is something around it to be hollow. Else it is turned, and what lies
    in it turns with it.

    Parameters
    ----------
    bodies
        From large to small.
    signs
        (bodies,) int64: 1 for those whose faces point outward, −1 inward; changed in place to what they shall be.
    around
        (bodies,) int64: written, the sum of the signs of those around each.
    """
    turns = np.ones(len(signs), np.int64)
    for body in range(len(signs)):
        around[body] = 0
        for other in range(body):
            if _box_in(bodies.boxes[body], bodies.boxes[other]) and _lies_in(bodies, body, signs[body], other):
                around[body] += signs[other]
                turns[body] = turns[other]  # at last that of the smallest around it
        if signs[body] * turns[body] < 0 and around[body] <= 0:
            turns[body] = -turns[body]
        signs[body] *= turns[body]


@exact_kernel
def _box_in(inner: Numbers, outer: Numbers) -> bool:
    return bool((inner[0] >= outer[0]).all() and (inner[1] <= outer[1]).all())


@exact_kernel
def _lies_in(bodies: Bodies, body: int, sign: int, other: int) -> bool:
    """Whether most of a body's faces lie in another, as rays along the three axes in turn say."""
    faces = bodies.triangles[bodies.starts[body] : bodies.starts[body + 1]]
    around = bodies.triangles[bodies.starts[other] : bodies.starts[other + 1]]
    inside, point = 0, np.empty(3, np.int64)
    for sample in range(SAMPLES):
        _find_behind(faces[sample * len(faces) // SAMPLES], sign, point)
        inside += winding_number(around, point, sample % 3) != 0
        if inside > SAMPLES // 2 or sample - inside >= SAMPLES // 2:
            break
    return inside > SAMPLES // 2


@exact_kernel
def _find_behind(face: Numbers, sign: int, out: Numbers) -> None:
    """Find a point in a body just behind the middle of a face, since the face itself may lie on another body's."""
    normal = np.array(_cross(_side(face, 1), _side(face, 2)))  # points inward: z, y, x are left-handed
    axis = np.argmax(np.abs(normal))
    out[:] = (face[0] + face[1] + face[2]) // 3
    out[axis] += BEHIND if normal[axis] * sign > 0 else -BEHIND


@exact_kernel
def winding_number(triangles: Numbers, point: Numbers, axis: int) -> int:
    """Give how often a surface winds about a point, from the faces that a ray passes on its way there.

    Parameters
    ----------
    triangles
        (n, 3, 3) int64: corners as z, y, x.
    point
        (3,) int64; on a face it belongs to the side of higher coordinates.
    axis
        Along which the ray goes, upward.

    Returns
    -------
    int
        Above 0 in bodies that face outward.
    """
    row, col = (axis + 1) % 3, (axis + 2) % 3
    shifted, number = np.empty((3, 3), np.int64), 0
    for triangle in triangles:
        if not (_spans(triangle, row, point[row]) and _spans(triangle, col, point[col])):
            continue
        for corner in range(3):  # as if the point were the centre of the first voxel, which `cross_triangle` knows
            shifted[corner, 0] = triangle[corner, row] - point[row] + HALF
            shifted[corner, 1] = triangle[corner, col] - point[col] + HALF
            shifted[corner, 2] = triangle[corner, axis] - point[axis]
        first, end = cross_triangle(shifted, HALF)
        facing, per_row, per_col = find_slopes(shifted)
        depth = shifted[0, 2] + per_row * (HALF - shifted[0, 0]) + per_col * (HALF - shifted[0, 1])
        if first <= 0 < end and depth <= 0:
            number += 1 if facing > 0 else -1
    return number


@exact_kernel
def _spans(triangle: Any, axis: int, place: int) -> bool:
    low, high = find_extent(triangle, axis)
    return low <= place <= high
