"""Which blocks make a volume, in which order, and which voxels each of them finds known.

A voxel belongs to the first block, in the order of the tiling, that covers it: never to the first one that
happens to be finished. A block that waits for all earlier blocks that it overlaps therefore finds the same known
voxels in any order of work. Blocks without a voxel of their own in the volume, or in the part, are left out.

Along a periodic axis the last blocks find the first ones known beyond the volume's face, at the opposite one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Mask
from microrun.runtime.errors import VolumeError
from microrun.runtime.generation.overlaps import (
    BLOCK,
    combine,
    find_earlier,
    find_owners,
    list_images,
    list_shifts,
)
from microrun.runtime.volumes.axes import LETTERS, NO_WRAPS, Wraps
from microrun.runtime.volumes.volume import Shape

Int64 = NDArray[np.int64]
Window = tuple[slice, slice, slice]
GRID_STEP = 24  # 8 voxels of overlap
LEAST_STEP = 20  # along a periodic axis, where blocks are spread evenly: 8 voxels between blocks of the first stage
CROSS_STEP = 16  # 16 voxels of overlap
# The stage of a block by whether its place along z, y and x is odd: GrainPaint's order of eight. Blocks of
# the first stage are apart, those of the later ones fill the gaps of 16 voxels, seeing ever more sides.
STAGES = np.array([[[0, 1], [7, 5]], [[6, 4], [3, 2]]])


@dataclass(frozen=True)
class Region:
    """What a tiling covers.

    Parameters
    ----------
    part
        Bool of the volume's shape, True in the part; None for all of it.
    known
        Bool of that shape, True where voxels are known before the first block; None for none.
    wraps
        Whether the volume goes on at its opposite face along z, y and x.
    """

    part: Mask | None = None
    known: Mask | None = None
    wraps: Wraps = NO_WRAPS

    @property
    def wanted(self) -> Mask | None:
        """Voxels that blocks have to give; None for all."""
        if self.known is None:
            return self.part
        return ~self.known if self.part is None else self.part & ~self.known


WHOLE = Region()


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
    wraps
        Whether the volume goes on at its opposite face along z, y and x.
    finds_known
        (n,) bool: blocks with voxels that are known before the first block; None if there are none.
    """

    shape: Shape
    corners: Int64
    stages: Int64
    starts: Int64
    earlier: Int64
    wraps: Wraps = NO_WRAPS
    finds_known: Mask | None = None

    def __len__(self) -> int:
        return len(self.corners)

    @property
    def has_known(self) -> Mask:
        """(n,) bool: blocks that find known voxels; the others start from nothing."""
        waits: Mask = np.diff(self.starts) > 0
        return waits if self.finds_known is None else waits | self.finds_known

    @property
    def outside_voxels(self) -> int:
        """Voxels that are generated in vain since they stand out beyond the volume."""
        inside = np.minimum(self.corners + BLOCK, self._ends) - self.corners
        return int(len(self) * BLOCK**3 - inside.prod(axis=1).sum())

    def dependencies(self, block: int) -> Int64:
        """Blocks that must be finished before this one starts, ascending."""
        return self.earlier[self.starts[block] : self.starts[block + 1]]

    def overlaps(self, block: int) -> tuple[Int64, Int64]:
        """Where earlier blocks lie as a block sees them.

        Parameters
        ----------
        block
            Its number.

        Returns
        -------
        others, offsets : (m,) int64, (m, 3) int64
            Numbers, ascending, and lowest voxels from that of the block. In a small periodic volume one may be there
            twice, on either side.
        """
        others = self.dependencies(block)
        offsets = (self.corners[others] - self.corners[block])[:, None] + list_shifts(self.shape, self.wraps)
        number, shift = np.nonzero((abs(offsets) < BLOCK).all(axis=-1))
        return others[number], offsets[number, shift]

    def windows(self, block: int) -> list[tuple[Window, Window]]:
        """Where a block lies in the volume: in one piece, or in several where it goes on at an opposite face.

        Parameters
        ----------
        block
            Its number.

        Returns
        -------
        list of (of_volume, of_block)
            Slices of the volume, and those of the block that fall into them.
        """
        corners = self.corners[block] + list_shifts(self.shape, self.wraps)
        lows, stops = np.maximum(corners, 0), np.minimum(corners + BLOCK, self.shape)
        return [
            (_window(low, stop), _window(low - corner, stop - corner))
            for corner, low, stop in zip(corners, lows, stops, strict=True)
            if (low < stop).all()
        ]

    def known_mask(self, block: int) -> Mask:
        """(32, 32, 32) bool: voxels that earlier blocks give; never beyond the volume."""
        known = np.zeros((BLOCK, BLOCK, BLOCK), bool)
        _, offsets = self.overlaps(block)
        ends = self._ends - self.corners[block]
        for offset in offsets:
            known[_window(np.maximum(offset, 0), np.minimum(np.minimum(offset, 0) + BLOCK, ends))] = True
        return known

    @property
    def _ends(self) -> Int64:
        """The first voxel beyond the volume along each axis; of a periodic one no block reaches it."""
        return np.where(self.wraps, np.add(self.shape, BLOCK), self.shape)


def tile_isotropic(shape: Shape, region: Region = WHOLE) -> Tiling:
    """Cover a volume in GrainPaint's eight stages, corners 24 voxels apart.

    The grid starts at the volume's origin; where (size − 32) is no multiple of 24, its last blocks stand out
    beyond the volume, by 23 voxels at most. Moving them inside would cost as many evaluations, and where moved
    blocks of one stage meet, a seam.

    Along a periodic axis blocks are spread evenly, 20 to 24 voxels apart. Of an odd number the last ones have
    neighbours of the first stage on both sides: they come after the eight stages of all others.

    Parameters
    ----------
    shape
        (z, y, x) of the volume in voxels, 32 or more each, along periodic axes as `check_periodic` says.
    region
        What of it is to be covered. Blocks that would add no voxel of it are left out.

    Returns
    -------
    Tiling
        By stages; within one, by z, y, x.

    Raises
    ------
    VolumeError
        If the volume is smaller than a block or does not fit its periods, or the region does not fit or is empty.
    """
    _check(shape, region)
    axes, last = [], []
    for size, wrap in zip(shape, region.wraps, strict=True):
        count = -(-size // GRID_STEP) if wrap else -(-(size - BLOCK) // GRID_STEP) + 1
        axes.append(np.arange(count) * size // count if wrap else np.arange(count) * GRID_STEP)
        last.append(count - 1 if wrap and count % 2 else count)
    place = combine([np.arange(len(axis)) for axis in axes])
    z, y, x = place.T % 2
    stages = STAGES[z, y, x] + STAGES.size * ((place == last) @ np.array([1, 2, 4]))
    return _order(shape, combine(axes), stages, region)


def tile_anisotropic(shape: Shape, region: Region = WHOLE) -> Tiling:
    """Cover a volume from its centre: a cross outward first, then planes and octants toward the edges.

    Blocks of the cross overlap by 16 voxels or more, those that fill by 8 or more: they are spread evenly from
    the centre to the faces, so that none stands out beyond the volume.

    Parameters
    ----------
    shape, region
        As for `tile_isotropic`; never periodic.

    Returns
    -------
    Tiling
        Centre, cross, planes through two of its arms, octants; within each from the centre outward.

    Raises
    ------
    VolumeError
        As for `tile_isotropic`, or if the region is periodic.
    """
    if any(region.wraps):
        raise VolumeError(
            "the anisotropic order grows toward faces, which a periodic volume has not; leave out --periodic, or take "
            "--order isotropic"
        )
    _check(shape, region)
    cross, fill = ([_outward(size, step) for size in shape] for step in (CROSS_STEP, GRID_STEP))
    centre = [axis[axis[:, 1] == 0] for axis in cross]
    arms = [combine([*centre[:axis], cross[axis], *centre[axis + 1 :]]) for axis in range(3)]
    filling = combine(fill)
    filling = filling[(filling[..., 1] != 0).sum(axis=1) >= 2]
    blocks = np.unique(np.concatenate([*arms, filling]), axis=0)  # the centre lies on three arms
    steps = abs(blocks[..., 1])
    kind, ring = (steps > 0).sum(axis=1), steps.sum(axis=1)
    _, stages = np.unique(kind * (ring.max() + 1) + ring, return_inverse=True)
    return _order(shape, blocks[..., 0], stages, region)


def check_periodic(shape: Shape, wraps: Wraps) -> None:
    """Refuse a side along which blocks cannot be spread 20 to 24 voxels apart; VolumeError names those that fit."""
    for letter, size, wrap in zip(LETTERS, shape, wraps, strict=True):
        if wrap and not _fits(size):
            near = [
                next((n for n in way if _fits(n)), 0) for way in (range(size, 0, -1), range(size, size + GRID_STEP))
            ]
            fitting = " or ".join(str(n) for n in near if n) or str(2 * LEAST_STEP)
            raise VolumeError(
                f"a periodic axis measures 40 to 48, 60 to 72, 80 to 96, or 100 voxels or more; got {letter} = {size}: "
                f"take {fitting}"
            )


def _fits(size: int) -> bool:
    count = max(-(-size // GRID_STEP), 2)
    return size >= count * LEAST_STEP


def _outward(size: int, step: int) -> Int64:
    """Corners along one axis, spread evenly from the centre to both faces, (k, 2): corner and step from the centre."""
    middle = (size - BLOCK) // 2
    sides = []
    for length, sign in ((middle, -1), (size - BLOCK - middle, 1)):
        count = -(-length // step)
        number = np.arange(1, count + 1)
        sides.append(np.stack([middle + sign * (number * length // max(count, 1)), sign * number], axis=1))
    return np.concatenate([sides[0][::-1], [[middle, 0]], sides[1]])


def _check(shape: Shape, region: Region) -> None:
    if len(shape) != 3 or min(shape) < BLOCK:
        raise VolumeError(f"a volume must measure {BLOCK} voxels or more along each of 3 axes, one block; got {shape}")
    check_periodic(shape, region.wraps)
    part = region.part
    if part is not None and (part.shape != tuple(shape) or part.dtype != bool):
        raise VolumeError(
            f"the part's mask must be bool of the volume's shape {tuple(shape)}; got {part.dtype} "
            f"{part.shape}; voxelise the part to that size"
        )
    if part is not None and not part.any():
        raise VolumeError("the part's mask must hold a voxel of the part; got none: the mask is empty")
    if region.wanted is not None and not region.wanted.any():
        raise VolumeError("nothing is left to grow: all voxels of the part are known; write −1 where it is to grow")


def _order(shape: Shape, corners: Int64, stages: Int64, region: Region) -> Tiling:
    order = np.argsort(stages, kind="stable")
    corners, stages = corners[order], stages[order]
    kept = find_owners(list_images(corners, shape, region.wraps), shape, region.wanted)
    corners, stages = corners[kept], stages[kept]
    starts, earlier = find_earlier(corners, list_images(corners, shape, region.wraps))
    tiling = Tiling(shape, corners, stages, starts, earlier, region.wraps)
    return tiling if region.known is None else replace(tiling, finds_known=_find_known(tiling, region.known))


def _find_known(tiling: Tiling, known: Mask) -> Mask:
    """(n,) bool: blocks in which some voxel is known from the start."""
    found = [any(known[of_volume].any() for of_volume, _ in tiling.windows(n)) for n in range(len(tiling))]
    return np.array(found, bool)


def _window(low: Int64, high: Int64) -> Window:
    z, y, x = (slice(start, stop) for start, stop in zip(low.tolist(), high.tolist(), strict=True))
    return z, y, x
