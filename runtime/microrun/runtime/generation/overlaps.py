"""Blocks that share voxels, in a volume that ends at its faces or goes on at the opposite ones.

Along a periodic axis a block is seen as often as it shows: at its place, and a volume further. Those images are
compared as blocks are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Mask
from microrun.runtime.volumes.axes import Wraps
from microrun.runtime.volumes.volume import Shape

Int64 = NDArray[np.int64]
BLOCK = 32  # voxels along each axis of a block


class Images(NamedTuple):
    """Blocks as they show in and around a volume: lowest voxels (m, 3) int64, and numbers (m,) int64, ascending."""

    corners: Int64
    blocks: Int64


def list_shifts(shape: Shape, wraps: Wraps) -> Int64:
    """Shifts by which a block shows again, in voxels, the zero one among them, (k, 3)."""
    steps = [
        np.arange(-1, 2) * side if wrap else np.zeros(1, np.int64) for side, wrap in zip(shape, wraps, strict=True)
    ]
    return combine(steps)


def list_images(corners: Int64, shape: Shape, wraps: Wraps) -> Images:
    """List blocks at every place where they share voxels with the volume or with a block of it."""
    shifts = list_shifts(shape, wraps)
    images = (corners[:, None] + shifts).reshape(-1, 3)
    blocks = np.repeat(np.arange(len(corners)), len(shifts))
    near = ((images > -BLOCK) & (images < np.add(shape, BLOCK))).all(axis=1)
    return Images(images[near], blocks[near])


def find_owners(images: Images, shape: Shape, wanted: Mask | None) -> Int64:
    """Blocks that are the first to cover some wanted voxel, ascending.

    The faces of all blocks cut the volume into cells whose voxels share their fate, so cells are painted, not
    voxels. A block that owns nothing covers nothing that the blocks before it leave, so leaving it out changes
    no other owner of a wanted voxel.
    """
    corners, stops = (np.clip(ends, 0, shape) for ends in (images.corners, images.corners + BLOCK))
    inside = (stops > corners).all(axis=1)
    corners, stops, blocks = corners[inside], stops[inside], images.blocks[inside].tolist()
    edges = [np.unique(np.concatenate([corners[:, axis], stops[:, axis]])) for axis in range(3)]
    lows, highs = (
        np.stack([np.searchsorted(edge, ends[:, axis]) for axis, edge in enumerate(edges)], axis=1)
        for ends in (corners, stops)
    )
    owner = np.empty([len(edge) - 1 for edge in edges], np.int64)
    boxes = np.concatenate([lows, highs], axis=1).tolist()
    for image in range(len(boxes) - 1, -1, -1):
        z, y, x, z_stop, y_stop, x_stop = boxes[image]
        owner[z:z_stop, y:y_stop, x:x_stop] = blocks[image]
    if wanted is None:
        return np.unique(owner)
    cells = wanted
    for axis, edge in enumerate(edges):
        cells = np.stack([slab.any(axis=axis) for slab in np.split(cells, edge[1:-1], axis=axis)], axis=axis)
    return np.unique(owner[cells])


def find_earlier(corners: Int64, images: Images) -> tuple[Int64, Int64]:
    """For each block the earlier ones that it shares voxels with, as rows (starts, blocks).

    Blocks that overlap lie in neighbouring bins of a block's size. Bins are numbered along x, so that each
    three in a row are one range of the sorted images.
    """
    low = images.corners.min(axis=0) // BLOCK - 1
    bins, of_images = (ends // BLOCK - low for ends in (corners, images.corners))
    extent = of_images.max(axis=0) + 2
    number, middle = ((at[:, 0] * extent[1] + at[:, 1]) * extent[2] + at[:, 2] for at in (of_images, bins))
    by_bin = np.argsort(number, kind="stable")
    rows_of_bins = [(z * extent[1] + y) * extent[2] for z in (-1, 0, 1) for y in (-1, 0, 1)]
    middle = (middle[:, None] + np.array(rows_of_bins)).ravel()
    first = np.searchsorted(number[by_bin], middle - 1)
    counts = np.searchsorted(number[by_bin], middle + 1, side="right") - first
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    block = np.repeat(np.arange(len(middle)) // len(rows_of_bins), counts)
    other = by_bin[np.repeat(first, counts) + within]
    block, other = (side[images.blocks[other] < block] for side in (block, other))
    overlap = (abs(corners[block] - images.corners[other]) < BLOCK).all(axis=1)
    pairs = np.unique(block[overlap] * len(corners) + images.blocks[other[overlap]])  # a small volume shows one twice
    starts = np.searchsorted(pairs, np.arange(len(corners) + 1) * len(corners))
    return starts, pairs % len(corners)


def combine(axes: list[Int64]) -> Int64:
    """All combinations of the rows of three arrays, the last fastest: (n, 3, …)."""
    picks = np.indices([len(axis) for axis in axes]).reshape(3, -1)
    return np.stack([axis[pick] for axis, pick in zip(axes, picks, strict=True)], axis=1)
