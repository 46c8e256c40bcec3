"""Walls too thin for voxels, against slow rays and plates of known thickness; and the pieces that a part falls into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.ndimage import label
from trimesh import creation

from microrun.kernels.voxelize import UNIT
from microrun.kernels.walls import OPPOSITE, find_walls
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes import tally
from microrun.runtime.volumes.chips import Tidying, describe_pieces
from microrun.runtime.volumes.parts import Part, load_part, voxelize_triangles

Float = NDArray[np.float64]


def corners(mesh: trimesh.Trimesh) -> Float:
    """Triangles as z, y, x."""
    return np.asarray(mesh.triangles, np.float64)[..., ::-1]


def voxelize(mesh: trimesh.Trimesh, size: int) -> Part:
    return voxelize_triangles(corners(mesh), size)


def tilt(angle: float) -> Float:
    turned: Float = trimesh.transformations.rotation_matrix(angle, (1, 2, 3))
    return turned


def slow_walls(mesh: trimesh.Trimesh, shape: tuple[int, int, int], least: float) -> list[tuple[float, float]]:
    """Thickness and chord of the thin walls that rays along x find in a convex body, in voxels, from its planes."""
    normals, levels = mesh.face_normals, (mesh.face_normals * mesh.triangles[:, 0]).sum(axis=1)
    inward, outward = np.flatnonzero(normals[:, 0] < -1e-9), np.flatnonzero(normals[:, 0] > 1e-9)
    found = []
    for row, col in np.ndindex(shape[:2]):
        places = (levels - normals[:, 1:] @ [col + 0.5, row + 0.5]) / np.where(normals[:, 0], normals[:, 0], np.nan)
        first, last = inward[np.argmax(places[inward])], outward[np.argmin(places[outward])]
        chord, one, other = places[last] - places[first], normals[first], normals[last]
        thickness = chord * (other[0] - one[0]) / 2
        wall = -one @ other >= OPPOSITE and -one[0] >= np.abs(one[1:]).max()
        if wall and chord > 1e-3 and thickness < least:
            found.append((float(thickness), float(chord)))
    return found


@given(st.floats(0.05, 3.1), st.floats(0.5, 4), st.floats(3, 9), st.sampled_from([0.71, 1.23]))
@settings(max_examples=40, deadline=None)
def test_walls_are_those_that_slow_rays_find(angle: float, thin: float, long: float, times: float) -> None:
    mesh = creation.box((thin, long, long + 0.3), tilt(angle))
    mesh.apply_translation(-mesh.bounds[0] + 0.317)
    shape, least = (16, 15, 14), thin * times + 0.0123  # never as thick as a side
    triangles = np.rint(corners(mesh) * UNIT).astype(np.int64)
    # As the kernel wants them: rows and columns z and y, rays along x.
    walls, slow = find_walls(triangles, (shape[0], shape[1], shape[2]), least), slow_walls(mesh, shape, least)
    assert abs(walls.rays - len(slow)) <= 2  # at edges, where places round differently
    if walls.rays == len(slow) > 0:
        assert_allclose(walls.thinnest, min(slow)[0], atol=1e-3)
        assert_allclose(walls.volume, sum(chord for _, chord in slow), rtol=1e-3)


@pytest.mark.parametrize("angle", [0.0, 0.4, 0.7, 1.3])
@pytest.mark.parametrize("thickness", [0.4, 0.9, 1.4])
def test_a_thin_plate_is_warned_of_with_how_much_and_where(angle: float, thickness: float) -> None:
    plate = creation.box((20, 18, thickness), tilt(angle))
    part = voxelize(plate, 40)
    walls, thick = part.thin_walls, thickness / part.voxel_edge
    if thick >= 2:
        assert walls.area_share == 0 and not any("walls" in said for said in part.remarks)
        return
    assert_allclose(walls.thinnest, thick, rtol=1e-3)
    assert_allclose(walls.area_share, 2 * 20 * 18 / plate.area, rtol=0.06)
    assert walls.volume_share > 0.9
    spread = np.array(walls.high) - walls.low + 1
    assert (spread >= np.array(part.filled.shape) - 3).all()
    (said,) = [said for said in part.remarks if said.startswith("walls thinner than two voxels make up")]
    assert "of the surface" in said and "within voxels z " in said and "take a larger --size, such as 80" in said


def test_only_the_thin_part_of_a_part_is_named() -> None:
    fin = trimesh.util.concatenate(
        [creation.box(bounds=b) for b in (((0, 0, 0), (20, 20, 10)), ((0, 8, 9), (20, 8.6, 20)))]
    )
    part = voxelize(fin, 20)
    assert_allclose(part.thin_walls.thinnest, 0.6, atol=1e-3)
    assert part.thin_walls.low[0] == 10 and part.thin_walls.high[0] == 19  # above the block that it stands on
    assert part.thin_walls.low[2] == 0 and part.thin_walls.high[2] == 19
    assert part.thin_walls.low[1] == part.thin_walls.high[1] == 8


@pytest.mark.parametrize("mesh", [creation.icosphere(4), creation.torus(3, 1), creation.box((3, 2, 1), tilt(0.7))])
def test_thick_parts_are_not_warned_of_for_their_edges(mesh: trimesh.Trimesh) -> None:
    for size in (12, 30, 61):
        assert not any("thinner" in said for said in voxelize(mesh, size).remarks)


def test_plates_back_to_back_are_one_wall() -> None:
    stack = [creation.box(bounds=((0, 0, low), (20, 20, low + 1.5))) for low in (0.0, 1.5)]
    assert voxelize(trimesh.util.concatenate(stack), 20).thin_walls.area_share == 0


@pytest.fixture
def crumbled(tmp_path: Path) -> Path:
    """A slanted wall that is thinner than a voxel."""
    path = tmp_path / "wall.stl"
    creation.annulus(9.6, 10, 40, transform=tilt(0.7)).export(path)
    return path


def test_pieces_are_left_out_below_a_size(crumbled: Path) -> None:
    whole = load_part(crumbled, 40)
    sizes = np.sort(np.bincount(label(whole.filled)[0].ravel())[1:])[::-1]
    assert whole.piece_voxels.tolist() == sizes.tolist() and whole.pieces > 10
    tidied = load_part(crumbled, 40, Tidying(drop_below=10))
    assert tidied.piece_voxels.tolist() == sizes[sizes >= 10].tolist()
    assert tidied.filled.sum() == sizes[sizes >= 10].sum()
    few = sizes[sizes < 10]
    assert f"{len(few):,} pieces of fewer than 10 voxels, {few.sum():,} in all, left out" in tidied.remarks
    with pytest.raises(VolumeError, match=r"wall\.stl: all of its pieces.*leave out smaller ones only"):
        load_part(crumbled, 40, Tidying(drop_below=100_000))
    with pytest.raises(VolumeError, match="below a size of 0"):
        Tidying(-1)


def test_pieces_that_touch_are_joined(crumbled: Path) -> None:
    whole, joined = load_part(crumbled, 40), load_part(crumbled, 40, Tidying(join=True))
    assert (joined.filled >= whole.filled).all()
    assert joined.pieces <= label(whole.filled, np.ones((3, 3, 3)))[1] < whole.pieces
    added = int(joined.filled.sum() - whole.filled.sum())
    said = f"{whole.pieces:,} pieces are joined to {joined.pieces:,} by {added:,} voxels, where they touch"
    assert said in joined.remarks
    both = load_part(crumbled, 40, Tidying(int(joined.piece_voxels[0]), True))
    assert both.pieces == 1


def test_remarks_are_on_the_pieces_that_are_left(crumbled: Path) -> None:
    for tidying in (Tidying(), Tidying(drop_below=10), Tidying(join=True), Tidying(100, True)):
        part = load_part(crumbled, 40, tidying)
        fallen = [said for said in part.remarks if "fall into" in said]
        share = f"{part.piece_voxels[0] / part.filled.sum():.0%}"
        assert len(fallen) == (part.pieces > 1)
        for said in fallen:
            assert said.startswith(f"the voxels fall into {part.pieces:,} pieces, the largest of {share} of them")
        off = [said for said in part.remarks if "volume is not the mesh's" in said]
        for said in off:
            assert f"({part.volume / part.mesh_volume - 1:+.0%})" in said
    assert part.pieces == 1


def test_pieces_of_too_many_voxels_to_number_are_not_joined(crumbled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_VOXELS", 1000)
    with pytest.raises(VolumeError, match=r"wall\.stl: pieces are numbered in at most 1,000 voxels"):
        load_part(crumbled, 40, Tidying(join=True))


def test_sizes_of_pieces_are_in_words() -> None:
    assert describe_pieces(np.array([1200])) == "1 of 1,200 voxels"
    assert describe_pieces(np.array([1200, 14, 2])) == "3 of 1,200, 14 and 2 voxels"
    assert describe_pieces(np.arange(9, 0, -1)) == "9, the largest of 9, 8, 7, 6, 5 voxels, the smallest of 1"
