"""Parts: closed surfaces from STL files, as voxels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.voxelize import (
    LONGEST,
    NET,
    PASSED,
    TOTAL,
    UNIT,
    decide_voxels,
    mark_crossings,
    vote_across,
    vote_along,
)
from microrun.runtime.array_types import Float64, Mask
from microrun.runtime.cores import count_cores
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.chips import Tidying, tidy_pieces
from microrun.runtime.volumes.remarks import Findings, remark
from microrun.runtime.volumes.stl import read_stl
from microrun.runtime.volumes.surface import Nesting, Whole, find_surface
from microrun.runtime.volumes.thin_walls import ThinWalls, find_thin_walls
from microrun.runtime.volumes.volume import LARGEST, Shape

USABLE_ODD_SHARE = 0.2  # of the rays; a surface with more is no surface
SMALLEST = 2
KEEP_ALL = Tidying()
CHUNK_VOXELS = 1 << 23  # of a thread at a time


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
    mesh_volume
        What the surface encloses, in cubic units of the file. Where bodies overlap, it counts once, as far as the
        voxels tell.
    bodies
        Bodies of the surface, and how they lie in one another.
    piece_voxels
        (pieces,) int64, descending: voxels of the pieces that hang together by their faces.
    thin_walls
        Walls thinner than two voxels.
    remarks
        What was guessed, left out or is doubtful, a sentence each.
    """

    filled: Mask
    voxel_edge: float
    rays: int
    odd_rays: int
    mesh_volume: float
    bodies: Nesting
    piece_voxels: Whole
    thin_walls: ThinWalls
    remarks: tuple[str, ...]

    @property
    def pieces(self) -> int:
        """Number of pieces."""
        return len(self.piece_voxels)

    @property
    def volume(self) -> float:
        """Volume of the voxels inside, in cubic units of the file."""
        return int(np.count_nonzero(self.filled)) * self.voxel_edge**3


def load_part(path: Path, size: int, tidying: Tidying = KEEP_ALL) -> Part:
    """Turn an STL file into voxels.

    Parameters
    ----------
    path
        The STL file, binary or text, in any units, anywhere in space.
    size
        Voxels along the longest side, 2 to 8,192.
    tidying
        What to do with its pieces.

    Returns
    -------
    Part
        Its voxels are cubes, the grid as large as the part, rounded to whole voxels.

    Raises
    ------
    VolumeError
        If it is no STL file, empty, flat, too open, or thinner than a voxel; or if so many voxels are too many.
    OSError
        If the file is missing or cannot be read.
    """
    if not SMALLEST <= size <= LONGEST:
        raise VolumeError(f"{path}: voxels along the longest side must be {SMALLEST} to {LONGEST:,}; got {size}")
    file = read_stl(path)
    triangles, stray = drop_stray(file.triangles)
    _check_thickness(path, triangles, size)
    _check_voxels(path, triangles, size)
    try:
        part = voxelize_triangles(triangles, size, tidying=tidying)
    except MemoryError:
        raise VolumeError(f"{path}: at size {size} it takes more memory than there is; take a smaller size") from None
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from None
    if part.odd_rays > USABLE_ODD_SHARE * part.rays:
        raise VolumeError(
            f"{path}: expected a closed surface, but {part.odd_rays / part.rays:.0%} of the rays pass an odd number of "
            f"faces (at most {USABLE_ODD_SHARE:.0%} can be used); close its holes in a mesh editor"
        )
    if not part.pieces:
        raise VolumeError(f"{path}: at size {size} all of the part is thinner than a voxel; take a larger size")
    return replace(part, remarks=(*file.remarks, *stray, *part.remarks))


def drop_stray(triangles: Float64) -> tuple[Float64, tuple[str, ...]]:
    """Leave out faces without area that lie outside the box of the others.

    Parameters
    ----------
    triangles
        (n, 3, 3) float64.

    Returns
    -------
    triangles, remarks
        Those that stay, and a sentence if they are not all.
    """
    real = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]).any(axis=1)
    if real.all() or not real.any():
        return triangles, ()
    low, high = _box(triangles[real])
    real |= ((triangles >= low) & (triangles <= high)).all(axis=(1, 2))
    stray = np.count_nonzero(~real)
    return triangles[real], (f"{stray:,} faces without area lie beside the part and are left out",) if stray else ()


def voxelize_triangles(triangles: Float64, size: int, threads: int | None = None, tidying: Tidying = KEEP_ALL) -> Part:
    """Find the voxels inside a surface.

    The voxels are cubes, their grid centred on the part. Each is what at least two of its three rays along x, y and
    z say, so that a hole in the surface does little harm. Bodies that overlap or lie in one another are one; a body
    that faces inward, in another that faces outward, is a cavity.

    Parameters
    ----------
    triangles
        (n, 3, 3) float64: corners as z, y, x; their largest extent is not 0.
    size
        Voxels along the longest side, at most 8,192.
    threads
        Number of threads, by default one a core; the result is the same for any.
    tidying
        What to do with its pieces.

    Returns
    -------
    Part
        Voxels, and what was found on the way; remarks are on the voxels that are left.

    Raises
    ------
    VolumeError
        If no face has an area in a grid so coarse, or no piece would be left.
    """
    corners, shape, edge = _to_units(triangles, size)
    surface = find_surface(corners)
    votes = np.zeros(shape, np.uint8)
    rays, odd, uneven, excess, shared, behind = _fill(surface.triangles, votes, threads or count_cores()).tolist()
    filled = votes.view(np.bool_)
    pieces, tidied = tidy_pieces(votes, tidying)
    walls = find_thin_walls(surface, shape)
    volume = surface.volume / UNIT**3 - excess
    voxels = int(np.count_nonzero(filled))
    found = Findings(surface, size, voxels, volume, odd, uneven, shared, behind, pieces, walls)
    return Part(filled, edge, rays, odd, volume * edge**3, surface.bodies, pieces, walls, (*remark(found), *tidied))


def _fill(triangles: Whole, votes: NDArray[np.uint8], threads: int) -> Whole:
    """Make votes 1 inside and 0 outside.

    Returns how many rays there are, odd ones and otherwise unbalanced ones; the excess of winding numbers; and how
    many voxels lie in several bodies, and behind faces that point inward.
    """
    depth, rows, _ = votes.shape
    # Corners as row, column and depth of the rays along each axis; that of y swaps two, so its faces are seen mirrored.
    from_y, from_z = (
        np.ascontiguousarray(triangles[:, ::-1, (0, 2, 1)]),
        np.ascontiguousarray(triangles[..., (1, 2, 0)]),
    )

    def pass_planes(planes: slice) -> Whole:
        slab = votes[planes]
        rays_x = _follow(triangles, planes.start, slab, vote_along)
        rays_y = _follow(from_y, planes.start, slab, vote_across)
        return np.array([*(_count_rays(rays_x) + _count_rays(rays_y)), 0, 0, 0])

    def pass_lines(lines: slice) -> Whole:
        slab = votes[:, lines]
        rays = _follow(from_z, lines.start, slab.transpose(1, 0, 2), vote_across)
        shared, behind = decide_voxels(slab)
        excess = _sum_excess(rays, slab) if shared or behind else 0
        return np.array([*_count_rays(rays), excess, shared, behind])

    chunks = max(threads, votes.size // CHUNK_VOXELS)
    with ThreadPoolExecutor(threads) as pool:
        by_planes = list(pool.map(pass_planes, _slabs(depth, chunks)))
        by_lines = list(pool.map(pass_lines, _slabs(rows, chunks)))
    total: Whole = np.sum(by_planes + by_lines, axis=0)
    return total


def _follow(triangles: Whole, first: int, votes: NDArray[np.uint8], vote: Callable[..., None]) -> NDArray[np.int32]:
    """Add the votes of the rays of a slab, and return what each ray met, as `mark_crossings`.

    The slab has (rows, columns, depth) of rays along it, or (rows, depth, columns) of rays across.
    """
    steps = np.zeros(votes.shape, np.int16)
    seen = steps if vote is vote_along else steps.transpose(0, 2, 1)
    rays = np.zeros((*seen.shape[:2], 3), np.int32)
    mark_crossings(triangles, first, seen, rays)
    vote(steps, rays, votes)
    return rays


def _count_rays(rays: NDArray[np.int32]) -> Whole:
    """Number of rays that pass faces, of odd ones, and of others that are not balanced."""
    odd = rays[..., PASSED] % 2 == 1
    uneven = ~odd & (rays[..., NET] != 0)
    return np.array([np.count_nonzero(kind) for kind in (rays[..., PASSED], odd, uneven)])


def _sum_excess(rays: NDArray[np.int32], filled: NDArray[np.uint8]) -> int:
    """By how much the winding numbers of balanced rays exceed 1 inside and 0 outside."""
    over = rays[..., TOTAL] - filled.sum(axis=0, dtype=np.int32)
    return int(over[rays[..., NET] == 0].sum())


def _to_units(triangles: Float64, size: int) -> tuple[Whole, Shape, float]:
    """Corners in the kernel's whole numbers, the shape of the grid, and the edge of a voxel."""
    shape, edge = _lay_grid(triangles, size)
    low, high = _box(triangles)
    margin = (shape - (high - low) / edge) / 2
    units = np.rint(((triangles - low) / edge + margin) * UNIT).astype(np.int64)
    return units, shape, edge


def _lay_grid(triangles: Float64, size: int) -> tuple[Shape, float]:
    """The shape of the grid, and the edge of a voxel; sides are rounded, for a part is neither thicker nor thinner."""
    extent = _extent(triangles)
    edge = float(extent.max()) / size
    depth, rows, cols = (max(1, int(side / edge + 0.5)) for side in extent)
    return (depth, rows, cols), edge


def _box(triangles: Float64) -> tuple[Float64, Float64]:
    """The lowest and the highest corner."""
    along = np.ascontiguousarray(triangles.reshape(-1, 3).T)  # many times faster than to reduce over three at a time
    return along.min(axis=1), along.max(axis=1)


def _extent(triangles: Float64) -> Float64:
    low, high = _box(triangles)
    return high - low


def _check_thickness(path: Path, triangles: Float64, size: int) -> None:
    extent = _extent(triangles)
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
