"""`microrun voxelize`: what it prints and writes, and every bad input in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from command_line import Microrun, check_refused


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "box.stl"
    trimesh.creation.box((4, 2, 1)).export(path)
    return path


def test_a_part_becomes_a_mask(microrun: Microrun, box: Path, tmp_path: Path) -> None:
    out = tmp_path / "mask.npy"
    ran = microrun("voxelize", box, "--size", 20, "--out", out)
    assert (ran.code, ran.err) == (0, "")
    for said in (
        "5 × 10 × 20 (z, y, x)",
        "each 0.2 wide",
        "1,000, 100.0% of the box",
        "8, the mesh's 8, in the file's units cubed: +0.00%",
        "1 of 1,000 voxels",
        "1, of them 0 cavities, in 1 pieces",
        "0 of 350",
        f"wrote {out}",
    ):
        assert said in ran.said
    mask = np.load(out)
    assert (mask.dtype, mask.shape) == (np.bool_, (5, 10, 20))
    assert mask.all()
    check_refused(microrun("voxelize", box, "--size", 10, "--out", out), out, "--overwrite")
    assert np.load(out).shape == (5, 10, 20)
    assert microrun("voxelize", box, "--size", 10, "--out", out, "--overwrite").code == 0
    assert np.load(out).shape[2] == 10


def test_an_open_part_is_warned_of(microrun: Microrun, tmp_path: Path) -> None:
    mesh = trimesh.creation.icosphere(3)
    mesh.update_faces(np.arange(len(mesh.faces)) % 97 > 0)
    path = tmp_path / "leaky.stl"
    mesh.export(path)
    ran = microrun("voxelize", path, "--size", 30, "--out", tmp_path / "mask.npy")
    assert ran.code == 0
    assert "warning:" in ran.err
    assert "the mesh is open" in " ".join(ran.err.split())
    assert "two of three" in " ".join(ran.err.split())
    assert "odd rays 0 of" not in ran.said


def test_bodies_that_overlap_and_walls_that_crumble_are_said(microrun: Microrun, tmp_path: Path) -> None:
    path, out = tmp_path / "part.stl", tmp_path / "mask.npy"
    one = trimesh.creation.box(bounds=((0, 0, 0), (20, 20, 20)))
    (one + one.copy().apply_translation((10, 10, 10))).export(path)
    ran = microrun("voxelize", path, "--size", 30, "--out", out)
    assert ran.code == 0
    assert "warning:" in ran.err and "1,000 voxels lie in more than one body" in ran.err
    assert "15,000, 55.6% of the box" in ran.said and "2, of them 0 cavities, in 1 pieces" in ran.said
    turn = trimesh.transformations.rotation_matrix(0.7, (1, 2, 3))
    trimesh.creation.annulus(9.6, 10, 40).apply_transform(turn).export(path)
    ran = microrun("voxelize", path, "--size", 40, "--out", out, "--overwrite")
    assert "pieces" in ran.err and "take a larger --size, such as 80" in ran.err


def test_chips_are_dropped_or_joined(microrun: Microrun, tmp_path: Path) -> None:
    path, out = tmp_path / "wall.stl", tmp_path / "mask.npy"
    turn = trimesh.transformations.rotation_matrix(0.7, (1, 2, 3))
    trimesh.creation.annulus(9.6, 10, 40).apply_transform(turn).export(path)
    ran = microrun("voxelize", path, "--size", 40, "--out", out)
    assert "walls thinner than two voxels make up" in ran.err and "--drop-pieces" in ran.err
    assert "voxels, the smallest of 1" in ran.said
    before = np.load(out).sum()
    ran = microrun("voxelize", path, "--size", 40, "--out", out, "--overwrite", "--drop-pieces", 10)
    assert "pieces of fewer than 10 voxels" in ran.err and np.load(out).sum() < before
    ran = microrun("voxelize", path, "--size", 40, "--out", out, "--overwrite", "--join-pieces")
    assert "pieces are joined to" in ran.err and np.load(out).sum() > before
    bad = microrun("voxelize", path, "--size", 40, "--out", out, "--overwrite", "--drop-pieces", 10_000)
    check_refused(bad, path, "leave out smaller ones only")


def test_a_plate_has_the_layers_that_its_thickness_has(microrun: Microrun, tmp_path: Path) -> None:
    trimesh.creation.box((20, 20, 1.02)).export(tmp_path / "plate.stl")
    ran = microrun("voxelize", tmp_path / "plate.stl", "--size", 100, "--out", tmp_path / "mask.npy")
    assert (ran.code, ran.err) == (0, "")
    assert "5 × 100 × 100" in ran.said and "400, the mesh's 408" in ran.said


def test_parts_that_cannot_be_used(microrun: Microrun, box: Path, tmp_path: Path) -> None:
    out, volume = tmp_path / "mask.npy", tmp_path / "labels.npy"
    np.save(volume, np.zeros((12, 12, 12), np.int32))
    check_refused(microrun("voxelize", box, "--size", 1, "--out", out), box, "got 1")
    check_refused(microrun("voxelize", box, "--size", 3, "--out", out), box, "thinner than a voxel")
    check_refused(microrun("voxelize", box, "--size", 8192, "--out", out), box, "at most 8,589,934,592 voxels")
    check_refused(microrun("voxelize", volume, "--size", 20, "--out", out), volume, "expected an STL file")
    check_refused(microrun("voxelize", tmp_path / "no.stl", "--size", 20, "--out", out), "no.stl", code=1)
    check_refused(microrun("voxelize", box, "--size", 20, "--out", tmp_path / "mask.h5"), "mask.h5", ".npy")
    check_refused(microrun("voxelize", box, "--size", 20, "--out", tmp_path / "no" / "mask.npy"), "mask.npy")
    assert not out.exists()
