"""Surfaces of parts: faces that count, bodies that they enclose, and which of these are solid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.surfaces import (
    Bodies,
    join_faces,
    link_faces,
    measure_bodies,
    measure_faces,
    nest_bodies,
    number_rows,
)
from microrun.kernels.union_find import number_roots
from microrun.runtime.array_types import Float64, Mask
from microrun.runtime.errors import VolumeError

Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Surface:
    """The surface of a part, its faces turned such that bodies face outward and cavities inward.

    Parameters
    ----------
    triangles
        (n, 3, 3) int64: corners as z, y, x.
    copies
        Number of faces left out that were there twice.
    touching
        Number of faces left out that lay back to back with another, where two bodies touch.
    turned_faces
        Number of faces that faced the other way than their body.
    bodies
        What was found of them.
    """

    triangles: Whole
    copies: int
    touching: int
    turned_faces: int
    bodies: Nesting

    @property
    def volume(self) -> float:
        """What it encloses, in cubic units; where bodies overlap, each counts."""
        return float(_measure(self.triangles, np.zeros(len(self.triangles), np.int64))[1][0])

    @property
    def area(self) -> float:
        """Area of all faces, in square units."""
        return float(_areas(self.triangles).sum())


class Nesting(NamedTuple):
    """How many bodies there are, and which of them lie in others.

    All faces that close nothing count as one body.
    """

    total: int
    cavities: int
    turned: int  # those that faced inward with nothing around them to be hollow
    nested: int  # those that lie in another and face outward all the same
    filled: int  # cavities that lie in two bodies, and hollow but one


class _Net(NamedTuple):
    """Edges of faces: their numbers and which way each face passes them, both (n, 3), and how many faces each has."""

    edges: Whole
    forward: Mask
    uses: Whole


def find_surface(triangles: Whole) -> Surface:
    """Find the bodies of a surface, and turn their faces.

    A face counts once, however often it is there; those without area count for nothing. The faces of a body are
    turned to the side of most of them. Bodies face outward, but for those that face inward where another is around
    them: these are cavities.

    Parameters
    ----------
    triangles
        (n, 3, 3) int64: corners as z, y, x.

    Returns
    -------
    Surface
        No two of its faces have the same corners.

    Raises
    ------
    VolumeError
        If none has an area.
    """
    corners = np.empty(3 * len(triangles), np.int64)
    number_rows(triangles.reshape(-1, 3), corners)
    faces = corners.reshape(-1, 3)
    real = np.flatnonzero((faces != np.roll(faces, 1, axis=1)).all(axis=1))
    if not len(real):
        raise VolumeError("in voxels, all of its faces are points or lines: does a corner lie far from the others?")
    kept, two_sided, touching = _drop_copies(faces[real])
    triangles, net = triangles[real[kept]], _weave(faces[real[kept]])
    part, turned = _join(net, _areas(triangles))
    turned_faces = int(np.count_nonzero(turned & ~two_sided))
    triangles = _turn(triangles, turned)
    body = _gather_open(net, part, turned)
    if two_sided.any():
        triangles = _turn(triangles, two_sided & (_measure(triangles, body)[1] < 0)[body])
    turned_bodies, bodies = _nest(triangles, body)
    copies = len(real) - len(kept) - touching
    return Surface(_turn(triangles, turned_bodies[body]), copies, touching, turned_faces, bodies)


def _drop_copies(faces: Whole) -> tuple[Whole, Mask, int]:
    """Which faces to keep, which of them were there to both sides, and how many lay back to back for nothing.

    Of copies that turn to one side more often than to the other, one stays. Where as many turn to both, one stays if
    it closes something, which happens if all faces are written for both sides; else bodies touch there.
    """
    groups = np.empty(len(faces), np.int64)
    count = number_rows(np.sort(faces, axis=1), groups)
    if count == len(faces):
        return np.arange(count), np.zeros(count, bool), 0
    first, second, third = faces.T
    side = 2 * ((first < second).astype(int) + (second < third) + (third < first)) - 3
    net = np.bincount(groups, side)[groups]
    wanted = np.flatnonzero(net * side >= 0)
    kept = wanted[np.sort(np.unique(groups[wanted], return_index=True)[1])]
    two_sided = net[kept] == 0
    needed = _close_something(faces[kept], two_sided)
    dropped = np.bincount(groups)[groups[kept[~needed]]]
    return kept[needed], two_sided[needed], int(dropped.sum())


def _close_something(faces: Whole, two_sided: Mask) -> Mask:
    """Which faces to keep: all of one side, and patches of both that leave fewer edges open than they do if absent."""
    edges, _, uses = _weave(faces)
    own = edges[two_sided]
    patch = np.arange(len(own))
    link_faces(own, uses.size, patch)
    count = number_roots(patch)
    others = np.bincount(edges[~two_sided].ravel(), minlength=uses.size)
    touched, at = np.unique(own, return_index=True)
    patch_of = patch[at // 3]
    open_with, open_without, beside = (
        np.bincount(patch_of, weights, count) for weights in (uses[touched] % 2, others[touched] % 2, others[touched])
    )
    keep = ~two_sided
    keep[two_sided] = ((open_with < open_without) | (open_with + beside == 0))[patch]
    return keep


def _weave(faces: Whole) -> _Net:
    ends = np.stack([faces, np.roll(faces, -1, axis=1), np.zeros_like(faces)], axis=-1).reshape(-1, 3)
    forward = ends[:, 0] < ends[:, 1]
    ends[:, :2].sort(axis=1)
    edges = np.empty(len(ends), np.int64)
    number_rows(ends, edges)
    return _Net(edges.reshape(-1, 3), forward.reshape(-1, 3), np.bincount(edges))


def _join(net: _Net, areas: Float64) -> tuple[Whole, Mask]:
    """Number of the connected part of each face, and whether it must be turned to face as most of its part."""
    parents = np.arange(2 * len(net.edges))
    join_faces(*net, parents)
    roots = np.empty(number_roots(parents), np.int64)
    as_is, turned = parents.reshape(-1, 2).T
    against = as_is > turned
    part = np.minimum(as_is, turned)
    most = np.bincount(part, np.where(against, areas, -areas), roots.size) > 0
    return np.unique(part, return_inverse=True)[1], against ^ (most[part] & (as_is != turned))


def _gather_open(net: _Net, part: Whole, turned: Mask) -> Whole:
    """Number of the body of each face: that of its part if it is closed, else the last."""
    count = int(part.max()) + 1
    signs = np.where(net.forward ^ turned[:, None], 1, -1)
    doubtful = (net.uses != 2) | (np.bincount(net.edges.ravel(), signs.ravel()) != 0)
    face, side = np.nonzero(doubtful[net.edges])
    keys, places = np.unique(net.edges[face, side] * count + part[face], return_inverse=True)
    opened = keys[np.bincount(places, signs[face, side]) != 0] % count if len(keys) else keys
    closed = np.ones(count, bool)
    closed[opened] = False
    numbers = np.where(closed, np.cumsum(closed) - 1, closed.sum())
    return numbers[part]


def _nest(triangles: Whole, body: Whole) -> tuple[Mask, Nesting]:
    """Which bodies must be turned, and how they lie in one another."""
    boxes, volumes = _measure(triangles, body)
    order = np.argsort(-np.abs(volumes), kind="stable")
    if len(order) > 1:
        triangles = triangles[np.argsort(np.argsort(order)[body], kind="stable")]
    starts = np.append(0, np.cumsum(np.bincount(body)[order]))
    before = np.where(volumes[order] < 0, -1, 1)
    signs, around = before.copy(), np.empty(len(order), np.int64)
    nest_bodies(Bodies(triangles, starts, boxes[order]), signs, around)
    turned = np.empty(len(order), bool)
    turned[order] = signs != before
    cases = (signs < 0, turned, (signs > 0) & (around > 0), (signs < 0) & (around > 1))
    return turned, Nesting(len(order), *(int(np.count_nonzero(case)) for case in cases))


def _turn(triangles: Whole, which: Mask) -> Whole:
    return np.where(which[:, None, None], triangles[:, ::-1], triangles) if which.any() else triangles


def _areas(triangles: Whole) -> Float64:
    areas = np.empty(len(triangles))
    measure_faces(triangles, areas)
    return areas


def _measure(triangles: Whole, body: Whole) -> tuple[Whole, Float64]:
    """Boxes of bodies and their signed volumes."""
    count = int(body.max()) + 1
    boxes, volumes = np.empty((count, 2, 3), np.int64), np.empty(count)
    measure_bodies(triangles, body, boxes, volumes)
    return boxes, volumes
