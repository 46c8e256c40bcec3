"""Several bodies in a part: what is solid, what is a cavity, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
import voxel_oracles as oracles
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from trimesh import creation

from microrun.runtime.volumes.parts import Part, voxelize_triangles

TURN = trimesh.transformations.rotation_matrix(0.7, (1, 2, 3))


def cube(low: float, high: float, inward: bool = False) -> trimesh.Trimesh:
    """A cube from one corner to another."""
    made = creation.box(bounds=((low,) * 3, (high,) * 3))
    if inward:
        made.invert()
    return made


def corners(mesh: trimesh.Trimesh) -> NDArray[np.float64]:
    """Triangles as z, y, x."""
    return np.asarray(mesh.triangles, np.float64)[..., ::-1]


def voxelize(*bodies: trimesh.Trimesh, size: int) -> Part:
    return voxelize_triangles(np.concatenate([corners(body) for body in bodies]), size)


def check(part: Part, voxels: int, *said: str) -> None:
    """Volumes of voxels and mesh, and the beginning of what is said."""
    assert part.filled.sum() == voxels
    assert_allclose(part.mesh_volume, voxels * part.voxel_edge**3, rtol=1e-9)
    assert len(part.remarks) == len(said), part.remarks
    assert all(wanted in remark for wanted, remark in zip(said, part.remarks, strict=True)), part.remarks
    assert part.odd_rays == 0


ONE_TURNED = "the faces of 1 of 2 bodies pointed to the wrong side and are turned"
SHARED = "1,000 voxels lie in more than one body: they are filled once"


def test_two_cubes_that_overlap_are_one() -> None:
    check(voxelize(cube(0, 20), cube(10, 30), size=30), 15_000, SHARED)


def test_a_cube_turned_inside_out_is_a_cube_also_beside_another_and_across_it() -> None:
    check(voxelize(cube(0, 20, inward=True), size=20), 8000, "the faces of 1 of 1 bodies")
    check(voxelize(cube(0, 20), cube(10, 30, inward=True), size=30), 15_000, ONE_TURNED, SHARED)
    check(voxelize(cube(0, 10), cube(20, 30, inward=True), size=30), 2000, ONE_TURNED)


def test_a_body_inside_another_is_a_cavity_if_it_faces_inward() -> None:
    part = voxelize(cube(0, 20), cube(6, 14, inward=True), size=20)
    check(part, 8000 - 512)
    assert not part.filled[6:14, 6:14, 6:14].any()
    assert (part.bodies.total, part.bodies.cavities) == (2, 1)


def test_a_body_inside_another_is_filled_if_it_faces_outward_and_this_is_said() -> None:
    part = voxelize(cube(0, 20), cube(6, 14), size=20)
    check(part, 8000, "1 of 2 bodies lie in another with faces that point outward", "512 voxels")


def test_a_hollow_part_turned_inside_out_stays_hollow() -> None:
    part = voxelize(cube(0, 20, inward=True), cube(6, 14), size=20)
    check(part, 8000 - 512, "the faces of 2 of 2 bodies")


@pytest.mark.parametrize("inward", [False, True])
def test_a_body_inside_a_cavity_is_solid(inward: bool) -> None:
    part = voxelize(cube(0, 20), cube(4, 16, inward=True), cube(8, 12, inward), size=20)
    check(part, 8000 - 12**3 + 4**3, *(["the faces of 1 of 3 bodies"] if inward else []))


def test_a_cavity_in_two_bodies_is_filled_by_one_and_this_is_said() -> None:
    part = voxelize(cube(0, 20), cube(4, 16), cube(8, 12, inward=True), size=20)
    check(part, 8000, "1 of 3 bodies lie in another", "1 of 3 bodies are cavities in more than one", "1,664 voxels")


def test_cavities_that_overlap_are_one() -> None:
    part = voxelize(cube(0, 20), cube(4, 10, inward=True), cube(8, 14, inward=True), size=20)
    check(part, 8000 - 2 * 6**3 + 2**3, "8 voxels lie in no body, only in cavities")


@pytest.mark.parametrize("low", [0, 10])
def test_pockets_and_bores_are_taken_out(low: int) -> None:
    pocket = creation.box(bounds=((4, 4, low), (16, 16, 20)))
    pocket.invert()
    check(voxelize(cube(0, 20), pocket, size=20), 8000 - 12 * 12 * (20 - low))


@pytest.mark.parametrize("touching", [(20, 0, 0), (20, 5, 0), (20, 20, 0), (20, 20, 20)])
def test_bodies_that_touch_are_both_there(touching: tuple[int, int, int]) -> None:
    part = voxelize(cube(0, 20), cube(0, 20).apply_translation(touching), size=40)
    assert part.filled.sum() == 16_000
    assert part.odd_rays == 0
    assert_allclose(part.mesh_volume, 16_000)


def test_faces_back_to_back_where_bodies_touch_are_left_out_and_counted() -> None:
    other = cube(0, 20).apply_transform(np.diag([-1, 1, 1, 1]))  # the same triangles, mirrored
    check(voxelize(cube(0, 20), other, size=40), 16_000, "4 faces lie back to back, where bodies touch")


def test_every_face_twice_is_the_part_itself() -> None:
    check(voxelize(cube(0, 20), cube(0, 20), size=20), 8000, "12 faces repeat others")
    check(voxelize(cube(0, 20), cube(0, 20, inward=True), size=20), 8000, "12 faces repeat others")
    check(voxelize(cube(0, 20, inward=True), cube(0, 20), size=20), 8000, "12 faces repeat others")


@given(st.sets(st.integers(0, 79)), st.booleans())
@settings(max_examples=25)
def test_any_faces_written_for_both_sides_change_nothing(chosen: set[int], same_side: bool) -> None:
    ball = creation.icosphere(1, radius=10)
    again = corners(ball)[sorted(chosen)]
    part = voxelize_triangles(np.concatenate([corners(ball), again if same_side else again[:, ::-1]]), 20)
    assert_array_equal(part.filled, voxelize(ball, size=20).filled)
    assert len(part.remarks) == bool(chosen)


@given(st.sets(st.integers(0, 79), max_size=79))
@settings(max_examples=25)
def test_faces_turned_to_any_side_change_nothing(turned: set[int]) -> None:
    ball = creation.icosphere(1, radius=10)
    expected = voxelize(ball, cube(5, 12), size=20).filled
    triangles = corners(ball).copy()
    triangles[sorted(turned)] = triangles[sorted(turned), ::-1]
    part = voxelize_triangles(np.concatenate([triangles, corners(cube(5, 12))]), 20)
    assert_array_equal(part.filled, expected)
    assert part.odd_rays == 0


def test_faces_that_no_order_makes_consistent_go_by_parity() -> None:
    loose = corners(creation.icosphere(3, radius=10))
    apart = loose + np.random.default_rng(5).uniform(-1e-3, 1e-3, (len(loose), 1, 3))  # faces share no corner
    apart[::3] = apart[::3, ::-1]
    part = voxelize_triangles(apart, 30)
    assert (part.filled != voxelize(creation.icosphere(3, radius=10), size=30).filled).mean() < 0.05
    assert any("do not turn in and out" in remark for remark in part.remarks)


def test_faces_without_area_change_nothing() -> None:
    ball = creation.icosphere(2, radius=10)
    expected = voxelize(ball, size=20)
    points = corners(ball)[:20, :1].repeat(3, axis=1)
    lines = corners(ball)[:20, (0, 1, 0)]
    part = voxelize_triangles(np.concatenate([corners(ball), points, lines]), 20)
    assert_array_equal(part.filled, expected.filled)
    assert part.remarks == expected.remarks == ()


@st.composite
def bodies(draw: st.DrawFn) -> trimesh.Trimesh:
    """A convex body somewhere, turned to either side."""
    made = draw(st.sampled_from([creation.box((6, 4, 3)), creation.icosphere(1, 3), creation.cylinder(2, 5, 8)])).copy()
    made.apply_transform(TURN).apply_translation(draw(st.tuples(*[st.floats(0, 6)] * 3)))
    if draw(st.booleans()):
        made.invert()
    return made


@given(st.lists(bodies(), min_size=1, max_size=3))
@settings(max_examples=15)
def test_bodies_that_do_not_enclose_one_another_are_their_union_whichever_way_they_face(
    made: list[trimesh.Trimesh],
) -> None:
    part = voxelize(*made, size=12)
    centres = oracles.voxel_centres(
        np.concatenate([corners(body) for body in made]), part.filled.shape, part.voxel_edge
    )
    either_side = [centres + np.array([1e-3, 2e-3, 3e-3]) * side for side in (-1, 1)]  # some lie on faces
    inside = np.array(
        [[np.abs(oracles.winding_numbers(corners(body), points)) > 0.5 for body in made] for points in either_side]
    )
    clear = (inside[0] == inside[1]).all(axis=0)
    if part.bodies.cavities == 0:
        assert_array_equal(part.filled.ravel()[clear], inside[0].any(axis=0)[clear])


def test_a_thin_wall_that_crumbles_is_said_with_the_size_to_take() -> None:
    tube = creation.annulus(9.6, 10, 40).apply_transform(TURN)
    part = voxelize(tube, size=40)
    assert part.pieces > 100
    (said,) = [remark for remark in part.remarks if "pieces" in remark]
    assert f"fall into {part.pieces:,} pieces" in said and "take a larger --size, such as 80" in said
    assert voxelize(tube, size=400).remarks == ()


def test_two_parts_side_by_side_are_two_pieces_without_a_word() -> None:
    part = voxelize(cube(0, 10), cube(20, 30), size=30)
    check(part, 2000)
    assert part.pieces == 2


def test_walls_that_become_thicker_than_they_are_are_said() -> None:
    said, too_thin = voxelize(creation.box((40, 40, 1.5)), size=40).remarks
    assert "walls thinner than two voxels make up 93.0% of the surface" in too_thin
    assert "the voxels' volume is not the mesh's (+33%)" in said and "larger --size" in said
