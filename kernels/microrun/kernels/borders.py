"""Voxels that are no core: borders of clusters, and noise that takes its neighbours' label; follows `segmentation`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import exact_kernel
from microrun.kernels.neighbourhood import Rule
from microrun.kernels.segmentation import Layer, Slab

Around = tuple[NDArray[np.int32], NDArray[np.int32]]
Wraps = tuple[bool, bool, bool]


def number_clusters(clusters: NDArray[np.int32], numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """Numbers of a plane of clusters, as `finish_slab` wants the planes around a slab.

    Parameters
    ----------
    clusters
        (rows, cols) int32, −1 for voxels that are no core.
    numbers
        (clusters,) int64, the number of each.

    Returns
    -------
    (rows, cols) int32
        A copy, −1 staying −1.
    """
    numbered = clusters.copy()
    number_plane(numbers, numbered)
    return numbered


@exact_kernel
def finish_slab(slab: Slab, around: Around, rule: Rule, numbers: NDArray[np.int64], out: NDArray[np.int32]) -> None:
    """Number the core voxels, and give border voxels to the lowest cluster with a core within eps.

    Parameters
    ----------
    slab
        Values.
    around
        (rows, cols) int32 below and above: the final numbers of core voxels, −1 for others.
    rule
        What neighbours are.
    numbers
        (clusters,) the final number of each of the slab's clusters.
    out
        What `cluster_slab` wrote, changed in place. Neighbours are looked up in copies of three planes that hold
        core voxels only, so that nobody takes a border voxel for a core.
    """
    depth, rows, cols = out.shape
    values = np.full((3, rows + 2, cols + 2), np.nan)
    found = np.full((3, rows + 2, cols + 2), np.inf)
    _load_cores(Layer(slab.below, around[0]), rule.scale, Layer(values[2], found[2]))
    number_plane(numbers, out[0])
    _load_cores(Layer(slab.values[0], out[0]), rule.scale, Layer(values[0], found[0]))
    for z in range(depth):
        lower, here, upper = (z + 2) % 3, z % 3, (z + 1) % 3
        if z + 1 < depth:
            number_plane(numbers, out[z + 1])
            _load_cores(Layer(slab.values[z + 1], out[z + 1]), rule.scale, Layer(values[upper], found[upper]))
        else:
            _load_cores(Layer(slab.above, around[1]), rule.scale, Layer(values[upper], found[upper]))
        lowest = np.full((rows, cols), np.inf)
        for at, limits in ((lower, rule.limits[1:]), (here, rule.limits), (upper, rule.limits[1:])):
            _find_lowest(Layer(values[at], found[at]), slab.values[z], rule.scale, limits, lowest)
        _give_borders(lowest, out[z])


@exact_kernel
def fill_once(labels: NDArray[np.int32], noise: NDArray[np.int64], wraps: Wraps, out: NDArray[np.int32]) -> None:
    """Find the most frequent label among the six neighbours of each noise voxel; of several the lowest.

    Parameters
    ----------
    labels
        (depth, rows, cols) int32; −1 does not vote.
    noise
        Flat indices of the voxels.
    wraps
        As for `look_around`.
    out
        (noise,) int32; −1 where no neighbour has a label.
    """
    votes = np.empty(6, np.int32)
    for n in range(noise.size):
        look_around(labels, noise[n], wraps, votes)
        out[n] = _majority(votes)


@exact_kernel
def look_around(labels: NDArray[np.int32], voxel: int, wraps: Wraps, out: NDArray[np.int32]) -> None:
    """Write the labels of the six neighbours of a voxel.

    Parameters
    ----------
    labels
        (depth, rows, cols) int32.
    voxel
        Flat index.
    wraps
        Whether the volume goes on at its opposite face along z, y and x.
    out
        (6,) int32: labels below, above, before and behind in y, before and behind in x; −1 beyond the volume.
    """
    depth, rows, cols = labels.shape
    z, rest = divmod(voxel, rows * cols)
    y, x = divmod(rest, cols)
    out[0] = labels[z - 1, y, x] if z > 0 or wraps[0] else -1
    out[1] = labels[(z + 1) % depth, y, x] if z + 1 < depth or wraps[0] else -1
    out[2] = labels[z, y - 1, x] if y > 0 or wraps[1] else -1
    out[3] = labels[z, (y + 1) % rows, x] if y + 1 < rows or wraps[1] else -1
    out[4] = labels[z, y, x - 1] if x > 0 or wraps[2] else -1
    out[5] = labels[z, y, (x + 1) % cols] if x + 1 < cols or wraps[2] else -1


@exact_kernel
def _majority(votes: NDArray[np.int32]) -> int:
    winner, most = -1, 0
    for vote in votes:
        count = 0
        for other in votes:
            count += other == vote
        if vote >= 0 and (count > most or (count == most and vote < winner)):
            winner, most = vote, count
    return winner


@exact_kernel
def number_plane(numbers: NDArray[Any], out: NDArray[np.int32]) -> None:
    """Replace the labels of a plane by their numbers.

    Parameters
    ----------
    numbers
        (labels,) integers, the number of each label.
    out
        (rows, cols) int32, changed in place; −1 stays.
    """
    rows, cols = out.shape
    for y in range(rows):
        for x in range(cols):
            if out[y, x] >= 0:
                out[y, x] = numbers[out[y, x]]


@exact_kernel
def _load_cores(layer: Layer, scale: float, out: Layer) -> None:
    """Copy a plane within its rim: scaled values and labels of cores, NaN and infinity for other voxels."""
    rows, cols = layer.values.shape
    for y in range(rows):
        for x in range(cols):
            is_core = layer.labels[y, x] >= 0
            out.values[y + 1, x + 1] = np.float64(layer.values[y, x]) * scale if is_core else np.nan
            out.labels[y + 1, x + 1] = layer.labels[y, x] if is_core else np.inf


@exact_kernel
def _find_lowest(
    cores: Layer, values: NDArray[np.float32], scale: float, limits: NDArray[np.float64], lowest: NDArray[np.float64]
) -> None:
    """Lower what is known of each voxel to the lowest label among the cores of a plane within eps."""
    rows, cols = values.shape
    centre = np.empty(cols)
    for y in range(rows):
        for x in range(cols):
            centre[x] = np.float64(values[y, x]) * scale
        for v in range(3):
            middle = (v - 1) ** 2
            row = Layer(cores.values[y + v], cores.labels[y + v])
            _lower_row(row, centre, limits[middle], limits[middle + 1], lowest[y])


@exact_kernel
def _lower_row(
    row: Layer, centre: NDArray[np.float64], middle: float, side: float, lowest: NDArray[np.float64]
) -> None:
    for shift, limit in ((0, side), (1, middle), (2, side)):
        values, labels = row.values[shift:], row.labels[shift:]
        for x in range(lowest.size):
            is_lower = (abs(values[x] - centre[x]) <= limit) & (labels[x] < lowest[x])
            lowest[x] = labels[x] if is_lower else lowest[x]


@exact_kernel
def _give_borders(lowest: NDArray[np.float64], out: NDArray[np.int32]) -> None:
    rows, cols = out.shape
    for y in range(rows):
        for x in range(cols):
            if out[y, x] < 0 and lowest[y, x] < np.inf:
                out[y, x] = np.int32(lowest[y, x])
