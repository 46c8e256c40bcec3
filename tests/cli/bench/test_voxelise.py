"""Voxelisation of parts, and what it is compared with."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import trimesh
from numpy.testing import assert_array_equal

from microrun.cli.bench import voxelise
from microrun.cli.bench.voxelise import fill_with_trimesh, fill_with_vtk, make_sphere, measure_voxelisation
from microrun.runtime.progress import finish
from microrun.runtime.volumes.parts import voxelize_triangles


def test_the_sphere_is_closed_and_round() -> None:
    triangles = make_sphere(30)
    assert len(triangles) == 2 * 30 * 29
    assert len(np.unique(triangles.reshape(-1, 3), axis=0)) == 30 * 29 + 2
    mesh = trimesh.Trimesh(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3))
    mesh.merge_vertices()
    assert mesh.is_watertight
    assert abs(mesh.volume) == pytest.approx(4 / 3 * np.pi, rel=0.02)
    assert len(make_sphere(voxelise.SPHERE_BANDS)) == pytest.approx(50_000, rel=0.01)


def test_trimesh_fills_at_least_our_voxels() -> None:
    triangles = make_sphere(20)
    ours, theirs = voxelize_triangles(triangles, 24).filled, fill_with_trimesh(triangles, 24)()
    assert ours.sum() < theirs.sum() < 1.5 * ours.sum()  # it marks all voxels that the surface touches


@pytest.mark.skipif(importlib.util.find_spec("vtkmodules") is None, reason="needs VTK")
def test_vtk_fills_our_voxels() -> None:
    triangles = make_sphere(20) * (1, 2, 3)
    assert_array_equal(fill_with_vtk(triangles, 24)(), voxelize_triangles(triangles, 24).filled)


def test_voxelisation_is_measured_in_turns_with_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vtkmodules", None)
    (table,) = finish(measure_voxelisation("ball", make_sphere(12), 16, 2))
    assert table.title == "ball, 264 faces, 16³"
    assert len(table.rows["time"].samples) == len(table.rows["trimesh"].samples) == 2
    assert table["speed"] == pytest.approx(16**3 / table["time"] / 1e3)
    assert table["× trimesh"] == pytest.approx(table["trimesh"] / table["time"])
    assert table.rows["× trimesh"].remark == "(≥ 3)"
    assert "VTK" not in table.rows and "× VTK" not in table.rows
