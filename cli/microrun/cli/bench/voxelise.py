"""Voxelisation of parts, measured against trimesh and VTK."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.cli.bench.measurement import Measuring, Table
from microrun.cli.bench.timing import seconds_of
from microrun.runtime.progress import Progress
from microrun.runtime.volumes.parts import voxelize_triangles
from microrun.runtime.volumes.stl import read_stl

SPHERE_BANDS = 158  # 49,612 faces
AIM = "(≥ 3)"  # how often faster than the peers we aim to be
Mask = NDArray[np.bool_]
Triangles = NDArray[np.float64]


def load_part(stl: Path | None) -> tuple[str, Triangles]:
    """Read a part, or make a sphere; returns its name and triangles. VolumeError if the file holds none."""
    return ("sphere", make_sphere(SPHERE_BANDS)) if stl is None else (stl.name, read_stl(stl).triangles)


def make_sphere(bands: int) -> Triangles:
    """Triangles of a sphere in as many bands of latitude as of longitude, (2·bands·(bands − 1), 3, 3)."""
    latitude, longitude = np.linspace(0, np.pi, bands + 1), np.linspace(0, 2 * np.pi, bands + 1)
    theta, phi = np.meshgrid(latitude, longitude, indexing="ij")
    corners = np.stack([np.cos(theta), np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi)], axis=-1)
    corners = corners.round(12)  # where bands close and at the poles they are the same to the last bit
    north_west, north_east = corners[:-1, :-1], corners[:-1, 1:]
    south_west, south_east = corners[1:, :-1], corners[1:, 1:]
    upper = np.stack([north_west, south_west, south_east], axis=2)[:-1]  # at the poles one of the two is a line
    lower = np.stack([north_west, south_east, north_east], axis=2)[1:]
    return np.concatenate([upper.reshape(-1, 3, 3), lower.reshape(-1, 3, 3)])


def measure_voxelisation(part: str, triangles: Triangles, size: int, repeats: int) -> Measuring:
    """Measure our voxelisation and that of the libraries which are installed, in turns.

    Triangles are (n, 3, 3), corners as z, y, x; the size is that of the longest side, in voxels.
    """
    yield Progress(0, repeats, f"voxelisation, {size}³")
    table = Table(f"{part}, {len(triangles):,} faces, {size}³")
    works: dict[str, Callable[[], object]] = {"time": partial(voxelize_triangles, triangles, size)}
    makers = {"trimesh": ("trimesh", fill_with_trimesh), "vtkmodules": ("VTK", fill_with_vtk)}
    works |= {name: make(triangles, size) for module, (name, make) in makers.items() if find_spec(module)}
    voxels = voxelize_triangles(triangles, size).filled.size  # the kernels are compiled now
    for _ in range(repeats):
        for name, work in works.items():
            table.note(name, "ms", 1e3 * seconds_of(work))
    table.note("speed", "Mvoxel/s", voxels / table["time"] / 1e3)
    for peer in ("trimesh", "VTK"):
        table.ratio(f"× {peer}", peer, "time", remark=AIM)
    return [table]


def fill_with_trimesh(triangles: Triangles, size: int) -> Callable[[], Mask]:
    """Make what voxelises by trimesh: voxels that the surface touches, and those between them."""
    import trimesh

    corners = triangles[..., ::-1].reshape(-1, 3)
    mesh = trimesh.Trimesh(corners, np.arange(len(corners)).reshape(-1, 3))
    pitch = float(np.ptp(triangles, axis=(0, 1)).max()) / size

    def fill() -> Mask:
        filled: Mask = mesh.voxelized(pitch).fill().matrix
        return filled

    return fill


def fill_with_vtk(triangles: Triangles, size: int) -> Callable[[], Mask]:
    """Make what voxelises by VTK: its stencil of a surface, as an image."""
    vtk, support = _import_vtk()
    low = triangles.min(axis=(0, 1))
    extent = np.ptp(triangles, axis=(0, 1))
    pitch = float(extent.max()) / size
    shape = np.ceil(extent / pitch - 1e-6).astype(int)
    surface = _vtk_surface(triangles)

    def fill() -> Mask:
        stencil, image = vtk.vtkPolyDataToImageStencil(), vtk.vtkImageStencilToImage()
        stencil.SetInputData(surface)
        stencil.SetOutputOrigin(*(low + pitch / 2)[::-1])
        stencil.SetOutputSpacing(pitch, pitch, pitch)
        stencil.SetOutputWholeExtent(0, shape[2] - 1, 0, shape[1] - 1, 0, shape[0] - 1)
        image.SetInputConnection(stencil.GetOutputPort())
        image.SetInsideValue(1)
        image.SetOutsideValue(0)
        image.SetOutputScalarTypeToUnsignedChar()
        image.Update()
        filled: Mask = support.vtk_to_numpy(image.GetOutput().GetPointData().GetScalars()).reshape(shape) > 0
        return filled

    return fill


def _vtk_surface(triangles: Triangles) -> Any:
    """VTK's form of a surface, its corners joined: VTK follows edges from face to face."""
    vtk, support = _import_vtk()
    corners, faces = np.unique(triangles[..., ::-1].reshape(-1, 3), axis=0, return_inverse=True)
    points, cells, surface = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
    points.SetData(support.numpy_to_vtk(corners, deep=True))
    sized = np.insert(faces.reshape(-1, 3), 0, 3, axis=1).astype(np.int64)
    cells.ImportLegacyFormat(support.numpy_to_vtkIdTypeArray(sized.ravel(), deep=True))
    surface.SetPoints(points)
    surface.SetPolys(cells)
    return surface


def _import_vtk() -> tuple[Any, Any]:
    return importlib.import_module("vtk"), importlib.import_module("vtkmodules.util.numpy_support")
