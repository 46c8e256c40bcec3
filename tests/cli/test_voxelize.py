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
    for said in ("5 × 10 × 20 (z, y, x)", "each 0.2 wide", "1,000, 100.0% of the box", "0 of 350", f"wrote {out}"):
        assert said in ran.said
    mask = np.load(out)
    assert (mask.dtype, mask.shape) == (np.bool_, (5, 10, 20))
    assert mask.all()
    check_refused(microrun("voxelize", box, "--size", 10, "--out", out), out, "--overwrite", code=1)
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


def test_parts_that_cannot_be_used(microrun: Microrun, box: Path, tmp_path: Path) -> None:
    out, volume = tmp_path / "mask.npy", tmp_path / "labels.npy"
    np.save(volume, np.zeros((12, 12, 12), np.int32))
    check_refused(microrun("voxelize", box, "--size", 1, "--out", out), box, "got 1")
    check_refused(microrun("voxelize", box, "--size", 3, "--out", out), box, "thinner than a voxel")
    check_refused(microrun("voxelize", box, "--size", 8192, "--out", out), box, "at most 8,589,934,592 voxels")
    check_refused(microrun("voxelize", volume, "--size", 20, "--out", out), volume, "expected an STL file")
    check_refused(microrun("voxelize", tmp_path / "no.stl", "--size", 20, "--out", out), "no.stl", code=1)
    check_refused(microrun("voxelize", box, "--size", 20, "--out", tmp_path / "mask.h5"), "mask.h5", ".npy", code=1)
    check_refused(microrun("voxelize", box, "--size", 20, "--out", tmp_path / "no" / "mask.npy"), "mask.npy", code=1)
    assert not out.exists()
