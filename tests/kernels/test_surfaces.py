"""Corners, faces and bodies against NumPy, trimesh and solid angles."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
import voxel_oracles as oracles
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from trimesh import creation

from microrun.kernels.surfaces import (
    join_faces,
    link_faces,
    measure_bodies,
    measure_faces,
    number_rows,
    winding_number,
)

Whole = NDArray[np.int64]
ROWS = st.integers(1, 40).flatmap(lambda n: arrays(np.int64, (n, 3), elements=st.integers(-2, 2)))


def whole(mesh: trimesh.Trimesh) -> Whole:
    """Corners as z, y, x in thousandths."""
    return np.rint(mesh.triangles[..., ::-1] * 1000).astype(np.int64)


def edges_of(mesh: trimesh.Trimesh) -> tuple[Whole, NDArray[np.bool_]]:
    """Number of each edge of each face, and which way it is passed."""
    ends = np.stack([mesh.faces, np.roll(mesh.faces, -1, axis=1)], axis=-1)
    _, edges = np.unique(np.sort(ends, axis=-1).reshape(-1, 2), axis=0, return_inverse=True)
    return edges.reshape(-1, 3).astype(np.int64), ends[..., 0] < ends[..., 1]


@given(ROWS, st.sampled_from([1, 1 << 29]))
def test_equal_rows_have_one_number(rows: Whole, scale: int) -> None:
    numbers = np.empty(len(rows), np.int64)
    count = number_rows(rows * scale, numbers)
    _, firsts, expected = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    assert count == len(firsts)
    assert_array_equal(numbers, np.argsort(np.argsort(firsts))[expected.ravel()])


@given(st.lists(st.booleans(), min_size=80, max_size=80))
def test_faces_of_a_body_are_turned_to_one_side_whichever_they_were(turned: list[bool]) -> None:
    mesh = creation.icosphere(1)
    mesh.faces = np.where(np.array(turned)[:, None], mesh.faces[:, ::-1], mesh.faces)
    edges, forward = edges_of(mesh)
    parents = np.arange(160)
    join_faces(edges, forward, np.bincount(edges.ravel()), parents)
    roots = [root_of(parents, 2 * face) for face in range(80)]
    assert {root // 2 for root in roots} == {0}
    assert_array_equal([root % 2 == 1 for root in roots], np.array(turned) != turned[0])


def root_of(parents: Whole, i: int) -> int:
    """The root of a tree, step by step."""
    while parents[i] != i:
        i = int(parents[i])
    return i


def test_bodies_that_share_an_edge_stay_apart() -> None:
    pair = creation.box(bounds=((0, 0, 0), (1, 1, 1))) + creation.box(bounds=((1, 1, 0), (2, 2, 1)))
    pair.merge_vertices()
    edges, forward = edges_of(pair)
    parents, linked = np.arange(48), np.arange(24)
    join_faces(edges, forward, np.bincount(edges.ravel()), parents)
    assert {root_of(parents, 2 * face) // 2 for face in range(24)} == {0, 12}
    link_faces(edges, int(edges.max()) + 1, linked)
    assert {root_of(linked, face) for face in range(24)} == {0}


def test_areas_volumes_and_boxes_are_those_of_trimesh() -> None:
    bodies = [creation.icosphere(2), creation.box((1, 2, 3)).apply_translation((4, 5, 6)), creation.torus(3, 1)]
    bodies[1].invert()
    triangles = np.concatenate([whole(mesh) for mesh in bodies])
    body = np.repeat([0, 1, 2], [len(mesh.faces) for mesh in bodies])
    areas, boxes, volumes = np.empty(len(body)), np.empty((3, 2, 3), np.int64), np.empty(3)
    measure_faces(triangles, areas)
    measure_bodies(triangles, body, boxes, volumes)
    assert_allclose(areas / 1e6, np.concatenate([mesh.area_faces for mesh in bodies]), rtol=0.05)
    assert_allclose(volumes / 1e9, [mesh.volume for mesh in bodies], rtol=1e-3)
    assert_allclose(boxes / 1e3, [mesh.bounds[:, ::-1] for mesh in bodies], atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
@given(arrays(np.int64, (3,), elements=st.integers(-4500, 4500)))
@settings(max_examples=60)
def test_winding_numbers_are_sums_of_solid_angles(axis: int, point: Whole) -> None:
    assume(abs(point).max() != 500)  # on the inner box's faces the angle is a half, or whatever rounding makes of it
    inner = creation.box((1, 1, 1))
    inner.invert()
    triangles = whole(creation.torus(3, 1) + creation.icosphere(2, radius=1.5) + inner)
    number = -oracles.winding_numbers(triangles.astype(float), point[None].astype(float))[0]  # z, y, x is left-handed
    if abs(number - round(number)) < 1e-3:
        assert winding_number(triangles, point, axis) == round(number)


def test_what_lies_on_a_face_belongs_to_the_side_of_higher_coordinates() -> None:
    box = whole(creation.box(bounds=((0, 0, 0), (1, 1, 1))))
    for axis in range(3):
        assert winding_number(box, np.array([0, 0, 0]), axis) == 1
        assert winding_number(box, np.array([1000, 1000, 1000]), axis) == 0
