"""Voxels of surfaces against solid angles, and every ray of a closed surface even."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
import voxel_oracles as oracles
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.voxelize import (
    ALONG_X,
    ALONG_Y,
    ALONG_Z,
    HALF,
    HIT,
    ODD,
    UNIT,
    cross_edge,
    decide_voxels,
    fill_planes,
    mark_crossings,
    next_centre,
)

Corners = NDArray[np.int64]
Mask = NDArray[np.bool_]
SHAPE = (7, 9, 8)
ORDERS = {ALONG_X: (0, 1, 2), ALONG_Y: (0, 2, 1), ALONG_Z: (1, 2, 0)}
AXES = st.sampled_from(sorted(ORDERS))


def mark(triangles: Corners, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], dict[int, NDArray[np.uint8]]]:
    """Marks of all rays, and what each ray met."""
    marks, met = np.zeros(shape, np.uint8), {}
    for bit, order in ORDERS.items():
        view = marks.transpose(order)
        met[bit] = np.zeros(view.shape[:2], np.uint8)
        mark_crossings(np.ascontiguousarray(triangles[..., order]), 0, bit, view, met[bit])
    return marks, met


def fill(triangles: Corners, shape: tuple[int, ...]) -> tuple[Mask, NDArray[np.uint8], dict[int, NDArray[np.uint8]]]:
    """Voxels inside, what each axis says of them, and what each ray met."""
    marks, met = mark(triangles, shape)
    fill_planes(marks)
    out = np.empty(shape, bool)
    decide_voxels(marks, out)
    return out, marks, met


def box(low: tuple[int, ...], high: tuple[int, ...]) -> Corners:
    """Twelve triangles from one corner to another, in units of 1/65536 voxel."""
    corners = trimesh.creation.box(bounds=(low, high)).triangles
    return np.rint(corners).astype(np.int64)


def faces_of(corners: Corners) -> Corners:
    """The four faces of a tetrahedron."""
    return corners[[[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]]


@st.composite
def tetrahedra(draw: st.DrawFn) -> Corners:
    """Four corners, often on centres and faces of voxels, within `SHAPE` or somewhat outside of it."""
    step = draw(st.sampled_from([4096, HALF, UNIT]))
    sides = [st.integers(-UNIT // step, (side + 1) * UNIT // step).map(lambda n: n * step) for side in SHAPE]
    return np.array(draw(st.lists(st.tuples(*sides), min_size=4, max_size=4)), np.int64)


@given(tetrahedra(), AXES)
@settings(max_examples=200)
def test_every_ray_through_a_closed_surface_is_even(corners: Corners, axis: int) -> None:
    _, met = mark(faces_of(corners), SHAPE)
    assert not (met[axis] & ODD).any()


@given(tetrahedra())
@settings(max_examples=200)
def test_voxels_are_those_inside_and_all_axes_agree(corners: Corners) -> None:
    out, marks, _ = fill(faces_of(corners), SHAPE)
    centres = np.indices(SHAPE).reshape(3, -1).T * UNIT + HALF
    sides = oracles.sides_of_tetrahedron(corners, centres).reshape(SHAPE)
    assert out[sides > 0].all()
    assert not out[sides < 0].any()
    assert set(np.unique(marks[sides != 0])) <= {0, ALONG_X | ALONG_Y | ALONG_Z}


@given(st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)), min_size=3, max_size=3))
def test_faces_on_centres_belong_to_the_side_of_higher_coordinates(sides: list[tuple[int, int]]) -> None:
    low, high = (np.array([extreme(side) for side in sides]) * HALF for extreme in (min, max))
    shape = (8, 8, 8)
    if (low == high).any():
        return
    out, marks, _ = fill(box(tuple(low), tuple(high)), shape)
    centres = (np.indices(shape) + 0.5) * UNIT
    expected = ((centres >= low[:, None, None, None]) & (centres < high[:, None, None, None])).all(axis=0)
    assert_array_equal(out, expected)
    assert_array_equal(marks, np.where(expected, ALONG_X | ALONG_Y | ALONG_Z, 0))


@given(st.integers(-3 * UNIT, 3 * UNIT))
def test_the_next_centre_is_the_first_not_before(place: int) -> None:
    column = next_centre(place)
    assert column * UNIT + HALF >= place > (column - 1) * UNIT + HALF


@given(st.tuples(*[st.integers(0, 4 * UNIT)] * 4), st.integers(0, 4 * UNIT))
def test_an_edge_is_crossed_at_one_column_from_both_ends(ends: tuple[int, ...], place: int) -> None:
    start, end = (ends[0], ends[1]), (ends[2], ends[3])
    if (start[0] <= place) == (end[0] <= place):
        return
    column = cross_edge(start, end, place)
    assert column == cross_edge(end, start, place)
    # In whole numbers: the centre is not left of the edge, the one before is.
    rise, shift = int(end[0] - start[0]), (place - int(start[0])) * int(end[1] - start[1])
    lefts = [
        (int(start[1]) - at * UNIT - HALF) * abs(rise) + shift * (1 if rise > 0 else -1) for at in (column, column - 1)
    ]
    assert lefts[0] <= 0 < lefts[1]


def test_a_ray_that_leaves_through_a_hole_is_odd() -> None:
    triangles = box((UNIT, UNIT, UNIT), (5 * UNIT, 5 * UNIT, 5 * UNIT))
    above = (triangles[..., 0] == 5 * UNIT).all(axis=1)
    out, marks, met = fill(triangles[~above], (6, 6, 6))
    odd = {bit: int((rays & ODD).astype(bool).sum()) for bit, rays in met.items()}
    assert odd == {ALONG_X: 0, ALONG_Y: 0, ALONG_Z: 16}
    assert (met[ALONG_Z] & HIT).astype(bool).sum() == 16
    assert (marks[5, 1:5, 1:5] == ALONG_Z).all()  # the ray goes on, and is outvoted
    assert_array_equal(np.argwhere(out).min(axis=0), (1, 1, 1))
    assert out.sum() == 64


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_slabs_give_what_the_whole_gives(cut: int) -> None:
    mesh = trimesh.creation.icosphere(2, radius=3)
    triangles = np.rint((mesh.triangles + 3.5) * UNIT).astype(np.int64)
    whole, _ = mark(triangles, (7, 7, 7))
    marks = np.zeros((7, 7, 7), np.uint8)
    for bit, order in ORDERS.items():
        view = marks.transpose(order)
        for rows in (slice(0, cut), slice(cut, 7)):
            rays = np.zeros((rows.stop - rows.start, 7), np.uint8)
            mark_crossings(np.ascontiguousarray(triangles[..., order]), rows.start, bit, view[rows], rays)
    assert_array_equal(marks, whole)
