"""Parts: closed surfaces from STL files, as voxels."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.voxelize import (
    ALONG_X,
    ALONG_Y,
    ALONG_Z,
    HIT,
    LONGEST,
    ODD,
    UNIT,
    decide_voxels,
    fill_planes,
    mark_crossings,
)
from microrun.runtime.array_types import Float64
from microrun.runtime.cores import count_cores
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.volume import LARGEST, Shape

USABLE_ODD_SHARE = 0.2  # of the rays; a surface with more is no surface
SMALLEST = 2


@dataclass(frozen=True, eq=False)
class Part:
    """A part as voxels.

    Parameters
    ----------
    filled
        (Z, Y, X) bool, True for voxels whose centre lies inside.
    voxel_edge
        Edge of a voxel, in the units of the file.
    rays, odd_rays
        Number of rays, along all three axes, that pass the surface, and that pass an odd number of faces: none in a
        closed surface.
    """

    filled: NDArray[np.bool_]
    voxel_edge: float
    rays: int
    odd_rays: int


def load_part(path: Path, size: int) -> Part:
    """Turn an STL file into voxels.

    Parameters
    ----------
    path
        The STL file, binary or text, in any units, anywhere in space, its faces turned to either side.
    size
        Voxels along the longest side, 2 to 8,192.

    Returns
    -------
    Part
        Its voxels are cubes, the grid as small as the part.

    Raises
    ------
    VolumeError
        If it is no STL file, empty, flat, too open, or thinner than a voxel; or if so many voxels are too many.
    OSError
        If the file is missing or cannot be read.
    """
    if not SMALLEST <= size <= LONGEST:
        raise VolumeError(f"{path}: voxels along the longest side must be {SMALLEST} to {LONGEST:,}; got {size}")
    triangles = read_triangles(path)
    _check_thickness(path, triangles, size)
    _check_voxels(path, triangles, size)
    try:
        part = voxelize_triangles(triangles, size)
    except MemoryError:
        raise VolumeError(f"{path}: at size {size} it takes more memory than there is; take a smaller size") from None
    if part.odd_rays > USABLE_ODD_SHARE * part.rays:
        raise VolumeError(
            f"{path}: expected a closed surface, but {part.odd_rays / part.rays:.0%} of the rays pass an odd number of "
            f"faces (at most {USABLE_ODD_SHARE:.0%} can be used); close its holes in a mesh editor"
        )
    if not part.filled.any():
        raise VolumeError(f"{path}: at size {size} all of the part is thinner than a voxel; take a larger size")
    return part


def read_triangles(path: Path) -> Float64:
    """Read an STL file.

    Parameters
    ----------
    path
        Binary or text.

    Returns
    -------
    (n, 3, 3) float64
        Corners as z, y, x.

    Raises
    ------
    VolumeError
        If it is no STL file, cut short, or holds no triangles.
    OSError
        If the file is missing or cannot be read.
    """
    import trimesh

    with path.open("rb") as file:
        try:
            mesh = trimesh.load_mesh(file, file_type="stl", process=False)
            triangles = np.asarray(mesh.triangles, np.float64)[..., ::-1]
        except Exception:  # what is no STL fails anywhere in the parser
            triangles = np.empty((0, 3, 3))
    if not len(triangles) or not np.isfinite(triangles).all():
        raise VolumeError(f"{path}: expected an STL file, found no triangles in it: empty, cut short or another format")
    return triangles


def voxelize_triangles(triangles: Float64, size: int, threads: int | None = None) -> Part:
    """Find the voxels inside a surface.

    The voxels are cubes, their grid centred on the part. Each is what at least two of its three rays along x, y and
    z say, so that a hole in the surface does little harm. Rays count faces, whichever side these turn to them.

    Parameters
    ----------
    triangles
        (n, 3, 3) float64: corners as z, y, x; their largest extent is not 0.
    size
        Voxels along the longest side, at most 8,192.
    threads
        Number of threads, by default one a core; the result is the same for any.

    Returns
    -------
    Part
        Voxels, and how many rays found the surface open.
    """
    corners, shape, edge = _to_units(triangles, size)
    depth, rows, cols = shape
    marks = np.zeros(shape, np.uint8)
    filled = np.empty(shape, bool)
    along_z, along_y, along_x = (np.zeros(face, np.uint8) for face in ((rows, cols), (depth, cols), (depth, rows)))
    # Corners as row, column and depth of the rays along each axis.
    from_x, from_y, from_z = (np.ascontiguousarray(corners[..., order]) for order in ((0, 1, 2), (0, 2, 1), (1, 2, 0)))

    def pass_planes(planes: slice) -> None:
        slab = marks[planes]
        mark_crossings(from_x, planes.start, ALONG_X, slab, along_x[planes])
        mark_crossings(from_y, planes.start, ALONG_Y, slab.transpose(0, 2, 1), along_y[planes])
        fill_planes(slab)

    def pass_columns(lines: slice) -> None:
        slab = marks[:, lines]
        mark_crossings(from_z, lines.start, ALONG_Z, slab.transpose(1, 2, 0), along_z[lines])
        decide_voxels(slab, filled[:, lines])

    threads = threads or count_cores()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(pass_planes, _slabs(depth, threads)))
        list(pool.map(pass_columns, _slabs(rows, threads)))
    hit, odd = (sum(int(np.count_nonzero(rays & bit)) for rays in (along_x, along_y, along_z)) for bit in (HIT, ODD))
    return Part(filled, edge, hit, odd)


def _to_units(triangles: Float64, size: int) -> tuple[NDArray[np.int64], Shape, float]:
    """Corners in the kernel's whole numbers, the shape of the grid, and the edge of a voxel."""
    shape, edge = _lay_grid(triangles, size)
    low = triangles.min(axis=(0, 1))
    margin = (shape - np.ptp(triangles, axis=(0, 1)) / edge) / 2
    units = np.rint(((triangles - low) / edge + margin) * UNIT).astype(np.int64)
    return units, shape, edge


def _lay_grid(triangles: Float64, size: int) -> tuple[Shape, float]:
    """The shape of the grid, and the edge of a voxel."""
    extent = np.ptp(triangles, axis=(0, 1))
    edge = float(extent.max()) / size
    depth, rows, cols = (max(1, int(np.ceil(side / edge - 1e-6))) for side in extent)
    return (depth, rows, cols), edge


def _check_thickness(path: Path, triangles: Float64, size: int) -> None:
    extent = np.ptp(triangles, axis=(0, 1))
    sides = " × ".join(f"{side:.4g}" for side in extent[::-1])
    if not extent.min() > 1e-9 * extent.max():
        raise VolumeError(f"{path}: expected a body, got a flat one, {sides} (x, y, z): it encloses no volume")
    if extent.min() * size < extent.max() * (1 - 1e-6):
        least = int(np.ceil(extent.max() / extent.min()))
        raise VolumeError(
            f"{path}: at size {size} the part, {sides} (x, y, z), is thinner than a voxel; take a size of at least "
            f"{least:,}"
        )


def _check_voxels(path: Path, triangles: Float64, size: int) -> None:
    shape, _ = _lay_grid(triangles, size)
    if math.prod(shape) > LARGEST:
        raise VolumeError(
            f"{path}: a volume must have at most {LARGEST:,} voxels; at size {size} the part has {shape}: take a "
            "smaller size"
        )


def _slabs(rows: int, count: int) -> list[slice]:
    ends = np.linspace(0, rows, min(count, rows) + 1).astype(int).tolist()
    return [slice(first, end) for first, end in itertools.pairwise(ends)]
