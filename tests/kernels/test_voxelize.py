"""Voxels of surfaces against solid angles, and every ray of a closed surface balanced."""

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
    BEHIND,
    HALF,
    INSIDE,
    NET,
    PASSED,
    SHARED,
    TOTAL,
    UNIT,
    cross_edge,
    decide_voxels,
    mark_crossings,
    next_centre,
    vote_across,
    vote_along,
)

Corners = NDArray[np.int64]
Mask = NDArray[np.bool_]
Met = dict[str, NDArray[np.int32]]
SHAPE = (7, 9, 8)
ORDERS = {"x": (0, 1, 2), "y": (0, 2, 1), "z": (1, 2, 0)}
AXES = st.sampled_from(sorted(ORDERS))


def mark(triangles: Corners, shape: tuple[int, ...], axis: str) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Steps along an axis, and what each ray met."""
    order = ORDERS[axis]
    steps = np.zeros(tuple(shape[at] for at in order), np.int16)
    rays = np.zeros((*steps.shape[:2], 3), np.int32)
    mark_crossings(seen_along(triangles, axis), 0, steps, rays)
    return steps, rays


def seen_along(triangles: Corners, axis: str) -> Corners:
    """Corners as row, column and depth, mirrored where two of them are swapped."""
    turn = -1 if axis == "y" else 1
    return np.ascontiguousarray(triangles[:, ::turn, ORDERS[axis]])


def fill(triangles: Corners, shape: tuple[int, ...]) -> tuple[Mask, dict[str, NDArray[np.uint8]], Met]:
    """Voxels inside, what each axis says of them, and what each ray met."""
    said, met = {}, {}
    for axis, order in ORDERS.items():
        steps, met[axis] = mark(triangles, shape, axis)
        votes = np.zeros(steps.shape, np.uint8)
        vote_along(steps, met[axis], votes)
        across = np.zeros((steps.shape[0], steps.shape[2], steps.shape[1]), np.uint8)
        vote_across(steps.transpose(0, 2, 1), met[axis], across)
        assert_array_equal(across.transpose(0, 2, 1), votes)
        said[axis] = votes.transpose(np.argsort(order))
    out = sum(said.values(), np.zeros(shape, np.uint8))
    decide_voxels(out)
    return out.astype(bool), said, met


def box(low: tuple[int, ...], high: tuple[int, ...]) -> Corners:
    """Twelve triangles from one corner to another, in units of 1/65536 voxel."""
    corners = trimesh.creation.box(bounds=(low, high)).triangles
    return np.rint(corners[:, ::-1]).astype(np.int64)  # z, y, x is left-handed


def faces_of(corners: Corners) -> Corners:
    """The four faces of a tetrahedron."""
    return corners[[[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]]


def outward(triangles: Corners) -> Corners:
    """The faces of a body, turned outward; z, y, x is left-handed."""
    a, b, c = (triangles[:, corner] / UNIT for corner in range(3))
    return triangles if np.einsum("ij,ij", a, np.cross(b, c)) <= 0 else triangles[:, ::-1]


@st.composite
def tetrahedra(draw: st.DrawFn) -> Corners:
    """Four corners, often on centres and faces of voxels, within `SHAPE` or somewhat outside of it."""
    step = draw(st.sampled_from([4096, HALF, UNIT]))
    sides = [st.integers(-UNIT // step, (side + 1) * UNIT // step).map(lambda n: n * step) for side in SHAPE]
    return np.array(draw(st.lists(st.tuples(*sides), min_size=4, max_size=4)), np.int64)


@given(tetrahedra(), AXES)
@settings(max_examples=200)
def test_every_ray_through_a_closed_surface_goes_in_as_often_as_out(corners: Corners, axis: str) -> None:
    steps, rays = mark(faces_of(corners), SHAPE, axis)
    assert not rays[..., NET].any()
    assert not (rays[..., PASSED] % 2).any()
    assert_array_equal(rays[..., TOTAL], steps.cumsum(axis=2).sum(axis=2))


@given(tetrahedra())
@settings(max_examples=200)
def test_voxels_are_those_inside_and_all_axes_agree(corners: Corners) -> None:
    out, said, _ = fill(outward(faces_of(corners)), SHAPE)
    centres = np.indices(SHAPE).reshape(3, -1).T * UNIT + HALF
    sides = oracles.sides_of_tetrahedron(corners, centres).reshape(SHAPE)
    assert out[sides > 0].all()
    assert not out[sides < 0].any()
    assert all((votes[sides != 0] == out[sides != 0]).all() for votes in said.values())


@given(st.lists(tetrahedra(), min_size=1, max_size=4))
@settings(max_examples=100)
def test_bodies_together_are_their_union_and_cavities_are_taken_out(bodies: list[Corners]) -> None:
    # Each body turned to either side: the sum of solid angles about a voxel's centre tells.
    triangles = np.concatenate([faces_of(corners) for corners in bodies])
    out, said, _ = fill(triangles, SHAPE)
    centres = np.indices(SHAPE).reshape(3, -1).T * UNIT + HALF
    clear = np.all([oracles.sides_of_tetrahedron(corners, centres) != 0 for corners in bodies], axis=0)
    # z, y, x is left-handed
    numbers = -oracles.winding_numbers(triangles.astype(float), centres[clear].astype(float)).round().astype(int)
    clear = clear.reshape(SHAPE)
    assert_array_equal(out[clear], numbers > 0)
    expected = INSIDE * (numbers > 0) + SHARED * (numbers > 1) + BEHIND * (numbers < 0)
    for votes in said.values():
        assert_array_equal(votes[clear], expected)


@given(st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)), min_size=3, max_size=3))
def test_faces_on_centres_belong_to_the_side_of_higher_coordinates(sides: list[tuple[int, int]]) -> None:
    low, high = (np.array([extreme(side) for side in sides]) * HALF for extreme in (min, max))
    shape = (8, 8, 8)
    if (low == high).any():
        return
    out, said, _ = fill(box(tuple(low), tuple(high)), shape)
    centres = (np.indices(shape) + 0.5) * UNIT
    expected = ((centres >= low[:, None, None, None]) & (centres < high[:, None, None, None])).all(axis=0)
    assert_array_equal(out, expected)
    for votes in said.values():
        assert_array_equal(votes, expected)


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
    out, said, met = fill(triangles[~above], (6, 6, 6))
    odd = {axis: int((rays[..., PASSED] % 2).sum()) for axis, rays in met.items()}
    assert odd == {"x": 0, "y": 0, "z": 16}
    assert (met["z"][..., PASSED] > 0).sum() == 16
    assert (said["z"][5, 1:5, 1:5] == INSIDE).all()  # the ray goes on, and is outvoted
    assert_array_equal(np.argwhere(out).min(axis=0), (1, 1, 1))
    assert out.sum() == 64


def test_a_ray_that_meets_a_turned_face_goes_by_parity() -> None:
    triangles = box((UNIT, UNIT, UNIT), (5 * UNIT, 5 * UNIT, 5 * UNIT))
    lower = (triangles[..., 0] == UNIT).all(axis=1)
    triangles[lower] = triangles[lower][:, ::-1]
    out, said, met = fill(triangles, (6, 6, 6))
    assert (met["z"][1:5, 1:5, NET] == -2).all()
    assert_array_equal(said["z"], out)
    assert out.sum() == 64 and out[1:5, 1:5, 1:5].all()


def test_two_of_three_rays_decide_what_is_inside_shared_and_behind() -> None:
    counts = np.array([[[0, 1, 2, 3]]])
    votes = (INSIDE * counts + SHARED * counts + BEHIND * counts[..., ::-1]).astype(np.uint8)
    assert decide_voxels(votes) == (2, 2)
    assert_array_equal(votes, [[[0, 0, 1, 1]]])


@pytest.mark.parametrize("axis", ORDERS)
@pytest.mark.parametrize("cut", [1, 3, 6])
def test_slabs_give_what_the_whole_gives(cut: int, axis: str) -> None:
    mesh = trimesh.creation.icosphere(2, radius=3)
    triangles = np.rint((mesh.triangles + 3.5) * UNIT).astype(np.int64)
    whole, met = mark(triangles, (7, 7, 7), axis)
    steps, rays = np.zeros_like(whole), np.zeros_like(met)
    for rows in (slice(0, cut), slice(cut, 7)):
        mark_crossings(seen_along(triangles, axis), rows.start, steps[rows], rays[rows])
    assert_array_equal(steps, whole)
    assert_array_equal(rays, met)
