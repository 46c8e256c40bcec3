"""Slabs of a volume: clustered by threads, joined at their faces, and finished by threads.

Besides labels and values only a few planes are in memory: those around the slabs that threads are at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.borders import Around, finish_slab, number_clusters
from microrun.kernels.neighbourhood import Rule
from microrun.kernels.segmentation import Layer, Slab, cluster_slab, join_faces
from microrun.kernels.union_find import number_roots
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.axes import NO_WRAPS, Wraps
from microrun.runtime.volumes.volume import Volume

MOST_GRAINS = int(np.iinfo(np.int32).max)
Labels = NDArray[np.int32]
Numbers = NDArray[np.int64]


class Clustered(NamedTuple):
    """A slab's first plane and the one after its last, its clusters, and its voxels with a value."""

    first: int
    stop: int
    clusters: int
    points: int


def label_slabs(
    volume: Volume, rule: Rule, labels: Labels, bounds: Sequence[tuple[int, int]], threads: int,
    wraps: Wraps = NO_WRAPS,
) -> tuple[int, int]:  # fmt: skip
    """Label the grains of a volume.

    Parameters
    ----------
    volume, rule
        What to segment, and how.
    labels
        (z, y, x) int32, C order, written.
    bounds
        First plane of each slab and the one after its last, ascending.
    threads
        Number of threads.
    wraps
        Whether the volume goes on at its opposite face along z, y and x; for rules under which all voxels are cores.

    Returns
    -------
    grains, points : int
        Numbers of grains, and of voxels with a value.

    Raises
    ------
    VolumeError
        If no voxel has a value, or there are too many grains.
    """
    with ThreadPoolExecutor(threads) as pool:
        slabs = list(pool.map(partial(_cluster, volume, rule, labels), bounds))
        points = sum(slab.points for slab in slabs)
        if points == 0:
            raise VolumeError(f"{volume.name}: no voxel has a value: all are NaN, infinite or outside the part")
        grains, numbers = _join(volume, rule, labels, slabs, wraps)
        running: deque[Future[None]] = deque()
        for slab in zip(slabs, numbers, _surround(labels, slabs, numbers), strict=True):
            if len(running) > threads:  # so that the planes around few slabs are in memory
                running.popleft().result()
            running.append(pool.submit(_finish, volume, rule, labels, *slab))
        for future in running:
            future.result()
    return grains, points


def read_slab(volume: Volume, first: int, stop: int) -> Slab:
    """Values of planes and of those below and above.

    Parameters
    ----------
    volume
        What to read.
    first, stop
        First plane, and the one after the last.

    Returns
    -------
    Slab
        Values (stop − first, y, x) and planes (y, x), float32 or float64; NaN beyond the volume.

    Raises
    ------
    VolumeError
        If the file is damaged.
    """
    beyond = np.full(volume.shape[1:], np.nan, volume.read_dtype)
    values = volume.read(max(first - 1, 0), min(stop + 1, volume.shape[0]))
    below, values = (values[0], values[1:]) if first > 0 else (beyond, values)
    above, values = (values[-1], values[:-1]) if stop < volume.shape[0] else (beyond, values)
    return Slab(values, below, above)


def _cluster(volume: Volume, rule: Rule, labels: Labels, bounds: tuple[int, int]) -> Clustered:
    first, stop = bounds
    return Clustered(first, stop, *cluster_slab(read_slab(volume, first, stop), rule, labels[first:stop]))


def _join(
    volume: Volume, rule: Rule, labels: Labels, slabs: Sequence[Clustered], wraps: Wraps
) -> tuple[int, list[Numbers]]:
    """Join the clusters of the slabs; returns how many there are, and the numbers of those of each slab."""
    offsets = np.cumsum([0, *(slab.clusters for slab in slabs)])
    numbers = np.arange(offsets[-1])
    for slab, offset, next_offset in zip(slabs[:-1], offsets, offsets[1:], strict=False):
        lower, upper = volume.read(slab.stop - 1, slab.stop + 1)
        top = _clusters_of(labels[slab.stop - 1], offset)
        bottom = _clusters_of(labels[slab.stop], next_offset)
        join_faces(Layer(lower, top), Layer(upper, bottom), rule, numbers)
    of_plane = np.repeat(offsets[:-1], [slab.stop - slab.first for slab in slabs])
    for axis in np.flatnonzero(wraps).tolist():
        last, first = (_read_end(volume, labels, of_plane, axis, place, wraps) for place in (-1, 0))
        join_faces(last, first, rule, numbers)
    grains = number_roots(numbers)
    if grains > MOST_GRAINS:
        raise VolumeError(
            f"{volume.name}: {grains:,} grains are more than the {MOST_GRAINS:,} that 32-bit labels can number; cut "
            f"the volume into parts, or choose options that make larger grains"
        )
    return grains, np.split(numbers, offsets[1:-1])


def _read_end(volume: Volume, labels: Labels, offsets: Numbers, axis: int, place: int, wraps: Wraps) -> Layer:
    """The first or last plane along an axis, with clusters among those of all slabs; offsets are those of planes."""
    clusters = np.moveaxis(labels, axis, 0)[place]
    offset = offsets[place] if axis == 0 else offsets[:, None]
    return _around(volume.read_face(axis, place), _clusters_of(clusters, offset), wraps[:axis] + wraps[axis + 1 :])


def _around(values: NDArray[Any], clusters: Numbers, wraps: tuple[bool, ...]) -> Layer:
    """A plane, with a rim of what follows beyond its edges where it wraps around."""
    rim = [(int(wrap), int(wrap)) for wrap in wraps]
    return Layer(*(np.pad(plane, rim, "wrap") for plane in (values, clusters)))


def _clusters_of(plane: Labels, offset: Any) -> Numbers:
    """Clusters among those of all slabs; a copy."""
    clusters = plane.astype(np.int64)
    return np.where(clusters >= 0, clusters + offset, clusters)


def _surround(labels: Labels, slabs: Sequence[Clustered], numbers: Sequence[Numbers]) -> Iterator[Around]:
    """Numbers of the cores below and above each slab, read before it is finished: then borders have numbers too."""
    nobody = np.full(labels.shape[1:], -1, np.int32)
    below = nobody
    for n, slab in enumerate(slabs):
        is_last = n + 1 == len(slabs)
        above = nobody if is_last else number_clusters(labels[slab.stop], numbers[n + 1])
        top = number_clusters(labels[slab.stop - 1], numbers[n])
        yield below, above
        below = top


def _finish(volume: Volume, rule: Rule, labels: Labels, slab: Clustered, numbers: Numbers, around: Around) -> None:
    values = read_slab(volume, slab.first, slab.stop)
    finish_slab(values, around, rule, numbers, labels[slab.first : slab.stop])
