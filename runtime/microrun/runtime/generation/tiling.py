"""Which blocks make a volume, in which order, and which voxels each of them finds known.

A voxel belongs to the first block, in the order of the tiling, that covers it: never to the first one that
happens to be finished. A block that waits for all earlier blocks that it overlaps therefore finds the same known
voxels in any order of work. Blocks without a voxel of their own in the volume, or in the part, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Mask
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.volume import Shape

Int64 = NDArray[np.int64]
Window = tuple[slice, slice, slice]
BLOCK = 32  # voxels along each axis of a block
GRID_STEP = 24  # 8 voxels of overlap
CROSS_STEP = 16  # 16 voxels of overlap
# The stage of a block by whether its place along z, y and x is odd: GrainPaint's order of eight. Blocks of
# the first stage are apart, those of the later ones fill the gaps of 16 voxels, seeing ever more sides.
STAGES = np.array([[[0, 1], [7, 5]], [[6, 4], [3, 2]]])


@dataclass(frozen=True, eq=False)
class Tiling:
    """Blocks in their order.

    Parameters
    ----------
    shape
        (z, y, x) of the volume in voxels.
    corners
        (n, 3) int64: lowest voxel of each block. A block may stand out beyond the volume's upper faces.
    stages
        (n,) int64, ascending: steps of the tiling, such as the eight of the isotropic one. To look at; the work
        follows the dependencies.
    starts, earlier
        The dependencies by rows: block i waits for ``earlier[starts[i] : starts[i + 1]]``, ascending; these are
        all earlier blocks that it overlaps. (n + 1,) and (m,) int64.
    """

    shape: Shape
    corners: Int64
    stages: Int64
    starts: Int64
    earlier: Int64

    def __len__(self) -> int:
        return len(self.corners)

    @property
    def has_known(self) -> Mask:
        """(n,) bool: blocks that find known voxels; the others start from nothing."""
        return np.diff(self.starts) > 0

    @property
    def outside_voxels(self) -> int:
        """Voxels that are generated in vain since they stand out beyond the volume."""
        inside = np.minimum(self.corners + BLOCK, self.shape) - self.corners
        return int(len(self) * BLOCK**3 - inside.prod(axis=1).sum())

    def dependencies(self, block: int) -> Int64:
        """Blocks that must be finished before this one starts, ascending."""
        return self.earlier[self.starts[block] : self.starts[block + 1]]

    def windows(self, block: int) -> tuple[Window, Window]:
        """Where a block lies.

        Parameters
        ----------
        block
            Its number.

        Returns
        -------
        of_volume, of_block
            Slices of the volume, and those of the block that fall into them.
        """
        corner = self.corners[block]
        stop = np.minimum(corner + BLOCK, self.shape)
        return _window(corner, stop), _window(np.zeros_like(corner), stop - corner)

    def known_mask(self, block: int) -> Mask:
        """(32, 32, 32) bool: voxels that earlier blocks give; never beyond the volume."""
        known = np.zeros((BLOCK, BLOCK, BLOCK), bool)
        corner, others = self.corners[block], self.corners[self.dependencies(block)]
        lows = np.maximum(others - corner, 0)
        highs = np.minimum(np.minimum(others, corner) + BLOCK, self.shape) - corner
        for low, high in zip(lows, highs, strict=True):
            known[_window(low, high)] = True
        return known


def tile_isotropic(shape: Shape, part_mask: Mask | None = None) -> Tiling:
    """Cover a volume in GrainPaint's eight stages, corners 24 voxels apart.

    The grid starts at the volume's origin; where (size − 32) is no multiple of 24, its last blocks stand out
    beyond the volume, by 23 voxels at most. Moving them inside would cost as many evaluations, and where moved
    blocks of one stage meet, a seam.

    Parameters
    ----------
    shape
        (z, y, x) of the volume in voxels, 32 or more each.
    part_mask
        Bool of that shape, True in the part. Blocks that would add no voxel of it are left out.

    Returns
    -------
    Tiling
        By stages; within one, by z, y, x.

    Raises
    ------
    VolumeError
        If the volume is smaller than a block, or the mask does not fit or is empty.
    """
    _check(shape, part_mask)
    places = [np.arange(-(-(size - BLOCK) // GRID_STEP) + 1) for size in shape]
    place = _product(places)
    z, y, x = place.T % 2
    return _order(shape, place * GRID_STEP, STAGES[z, y, x], part_mask)


def tile_anisotropic(shape: Shape, part_mask: Mask | None = None) -> Tiling:
    """Cover a volume from its centre: a cross outward first, then planes and octants toward the edges.

    Blocks of the cross overlap by 16 voxels or more, those that fill by 8 or more: they are spread evenly from
    the centre to the faces, so that none stands out beyond the volume.

    Parameters
    ----------
    shape, part_mask
        As for `tile_isotropic`.

    Returns
    -------
    Tiling
        Centre, cross, planes through two of its arms, octants; within each from the centre outward.

    Raises
    ------
    VolumeError
        As for `tile_isotropic`.
    """
    _check(shape, part_mask)
    cross, fill = ([_outward(size, step) for size in shape] for step in (CROSS_STEP, GRID_STEP))
    centre = [axis[axis[:, 1] == 0] for axis in cross]
    arms = [_product([*centre[:axis], cross[axis], *centre[axis + 1 :]]) for axis in range(3)]
    filling = _product(fill)
    filling = filling[(filling[..., 1] != 0).sum(axis=1) >= 2]
    blocks = np.unique(np.concatenate([*arms, filling]), axis=0)  # the centre lies on three arms
    steps = abs(blocks[..., 1])
    kind, ring = (steps > 0).sum(axis=1), steps.sum(axis=1)
    _, stages = np.unique(kind * (ring.max() + 1) + ring, return_inverse=True)
    return _order(shape, blocks[..., 0], stages, part_mask)


def _outward(size: int, step: int) -> Int64:
    """Corners along one axis, spread evenly from the centre to both faces, (k, 2): corner and step from the centre."""
    middle = (size - BLOCK) // 2
    sides = []
    for length, sign in ((middle, -1), (size - BLOCK - middle, 1)):
        count = -(-length // step)
        number = np.arange(1, count + 1)
        sides.append(np.stack([middle + sign * (number * length // max(count, 1)), sign * number], axis=1))
    return np.concatenate([sides[0][::-1], [[middle, 0]], sides[1]])


def _product(axes: list[Int64]) -> Int64:
    """All combinations of the rows of three arrays, the last fastest: (n, 3, …)."""
    picks = np.indices([len(axis) for axis in axes]).reshape(3, -1)
    return np.stack([axis[pick] for axis, pick in zip(axes, picks, strict=True)], axis=1)


def _check(shape: Shape, part_mask: Mask | None) -> None:
    if len(shape) != 3 or min(shape) < BLOCK:
        raise VolumeError(f"a volume must measure {BLOCK} voxels or more along each of 3 axes, one block; got {shape}")
    if part_mask is None:
        return
    if part_mask.shape != tuple(shape) or part_mask.dtype != bool:
        raise VolumeError(
            f"the part's mask must be bool of the volume's shape {tuple(shape)}; got {part_mask.dtype} "
            f"{part_mask.shape}; voxelise the part to that size"
        )
    if not part_mask.any():
        raise VolumeError("the part's mask must hold a voxel of the part; got none: the mask is empty")


def _order(shape: Shape, corners: Int64, stages: Int64, part_mask: Mask | None) -> Tiling:
    order = np.argsort(stages, kind="stable")
    corners, stages = corners[order], stages[order]
    kept = _owners(shape, corners, part_mask)
    starts, earlier = _earlier_overlaps(corners[kept])
    return Tiling(shape, corners[kept], stages[kept], starts, earlier)


def _owners(shape: Shape, corners: Int64, part_mask: Mask | None) -> Int64:
    """Blocks that are the first to cover some voxel of the part, ascending.

    The faces of all blocks cut the volume into cells whose voxels share their fate, so cells are painted, not
    voxels. A block that owns nothing covers nothing that the blocks before it leave, so leaving it out changes
    no other owner in the part.
    """
    stops = np.minimum(corners + BLOCK, shape)
    edges = [np.unique(np.concatenate([corners[:, axis], stops[:, axis]])) for axis in range(3)]
    lows, highs = (
        np.stack([np.searchsorted(edge, ends[:, axis]) for axis, edge in enumerate(edges)], axis=1)
        for ends in (corners, stops)
    )
    owner = np.empty([len(edge) - 1 for edge in edges], np.int64)
    boxes = np.concatenate([lows, highs], axis=1).tolist()
    for block in range(len(boxes) - 1, -1, -1):
        z, y, x, z_stop, y_stop, x_stop = boxes[block]
        owner[z:z_stop, y:y_stop, x:x_stop] = block
    if part_mask is None:
        return np.unique(owner)
    cells = part_mask
    for axis, edge in enumerate(edges):
        cells = np.stack([slab.any(axis=axis) for slab in np.split(cells, edge[1:-1], axis=axis)], axis=axis)
    return np.unique(owner[cells])


def _earlier_overlaps(corners: Int64) -> tuple[Int64, Int64]:
    """For each block the earlier ones that it shares voxels with, as rows (starts, blocks).

    Blocks that overlap lie in neighbouring bins of a block's size. Bins are numbered along x, so that each
    three in a row are one range of the sorted blocks.
    """
    bins = corners // BLOCK + 1
    extent = bins.max(axis=0) + 2
    number = (bins[:, 0] * extent[1] + bins[:, 1]) * extent[2] + bins[:, 2]
    by_bin = np.argsort(number, kind="stable")
    rows_of_bins = [(z * extent[1] + y) * extent[2] for z in (-1, 0, 1) for y in (-1, 0, 1)]
    middle = (number[:, None] + np.array(rows_of_bins)).ravel()
    first = np.searchsorted(number[by_bin], middle - 1)
    counts = np.searchsorted(number[by_bin], middle + 1, side="right") - first
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    block = np.repeat(np.arange(len(middle)) // len(rows_of_bins), counts)
    other = by_bin[np.repeat(first, counts) + within]
    block, other = (side[other < block] for side in (block, other))
    overlap = (abs(corners[block] - corners[other]) < BLOCK).all(axis=1)
    block, other = block[overlap], other[overlap]
    starts = np.searchsorted(block, np.arange(len(corners) + 1))
    return starts, other[np.lexsort((other, block))]


def _window(low: Int64, high: Int64) -> Window:
    z, y, x = (slice(start, stop) for start, stop in zip(low.tolist(), high.tolist(), strict=True))
    return z, y, x
