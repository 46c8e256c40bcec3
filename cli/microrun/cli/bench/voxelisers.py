"""Libraries that turn surfaces into voxels, as peers of ours."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Triangles = NDArray[np.float64]


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
