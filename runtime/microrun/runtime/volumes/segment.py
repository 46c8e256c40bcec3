"""Volumes cut into grains, slab by slab: in memory, from .npy or from HDF5, of any size.

Slabs are clustered by threads, joined at their faces, and finished by threads; the labels are the same for every
number of threads and every thickness. Labels lie in the file that is written (mapped into memory), values are read
by slabs. Per voxel that is 5 bytes (4 of them the labels) beside those of the volume, so 9 with float32 in memory.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.kernels.neighbourhood import Rule, component_rule, dbscan_rule
from microrun.runtime.array_types import Mask
from microrun.runtime.cores import count_cores
from microrun.runtime.errors import OutputError, VolumeError
from microrun.runtime.files.disk import check_room, take_room
from microrun.runtime.files.output import written_beside
from microrun.runtime.progress import finish
from microrun.runtime.volumes.axes import parse_axes, wraps_of
from microrun.runtime.volumes.cleaning import absorb_grains, fill_noise, unite_values
from microrun.runtime.volumes.relax import relax
from microrun.runtime.volumes.slabs import label_slabs
from microrun.runtime.volumes.volume import LABELS, SLAB_BYTES, SUFFIXES, Volume

SLABS_PER_THREAD = 4  # so that no thread waits long for the last one
Labels = NDArray[np.int32]
Components = Literal[0, 6, 26]


@dataclass(frozen=True)
class SegmentOptions:
    """What makes a grain.

    Parameters
    ----------
    value_scale
        Factor of the values beside lengths in voxels; DBSCAN needs it, components do without.
    eps, min_samples
        DBSCAN's: largest distance of neighbours, below 2; neighbours of a core voxel, itself among them.
    components
        6 or 26: grains are connected voxels of one value instead, of that many neighbours; values below 0 are none.
    fill
        Give noise voxels the most frequent label among their six neighbours, again and again.
    min_voxels
        Smaller grains are absorbed by the neighbour with the largest common face.
    periodic
        Axes along which grains go on at the volume's opposite face, as `parse_axes` gives them; of components.
    relax
        Sweeps of the Potts model at T = 0 that straighten boundaries, as `relax`; of components. Grains that come apart
        are told apart, and absorbed, again.

    Raises
    ------
    VolumeError
        If one is out of range.
    """

    value_scale: float | None = None
    eps: float = 1.9
    min_samples: int = 15
    components: Components = 0
    fill: bool = False
    min_voxels: int = 0
    periodic: str = ""
    relax: int = 0

    def __post_init__(self) -> None:
        self.rule()
        object.__setattr__(self, "periodic", parse_axes(self.periodic))
        if self.periodic and not self.components:
            raise VolumeError("grains are joined across periodic faces as components (6 or 26), not by DBSCAN")
        if self.relax and not self.components:
            raise VolumeError("boundaries are relaxed of grains that are components (6 or 26), not of DBSCAN's")
        if self.relax < 0:
            raise VolumeError(f"boundaries are relaxed by 0 sweeps (not at all) or more; got {self.relax}")
        if self.min_voxels < 0:
            raise VolumeError(f"the smallest grain must be 0 voxels (keep all) or more; got {self.min_voxels}")

    def rule(self) -> Rule:
        """Rule of the kernels; VolumeError if an option is out of range."""
        try:
            if self.components and self.value_scale is not None:
                raise ValueError("components are of one value each, and need no value scale; leave one of both out")
            if self.components:
                return component_rule(self.components)
            if self.value_scale is None:
                raise ValueError(
                    "DBSCAN needs --value-scale: how many voxels a difference of 1 in value counts; labels need "
                    "--components 6 instead"
                )
            return dbscan_rule(self.eps, self.min_samples, self.value_scale)
        except ValueError as error:
            raise VolumeError(str(error)) from None


class Summary(NamedTuple):
    """What a segmentation found.

    Parameters
    ----------
    grains
        Number of grains.
    voxels, noise, outside
        Numbers of voxels: all, those that have a value and no grain, and those without a value.
    seconds
        Time it took.
    met
        Of a volume that known grains were continued in: pairs of them of one colour that met, and were told apart by
        which is nearer.
    """

    grains: int
    voxels: int
    noise: int
    outside: int
    seconds: float
    met: int = 0


class Given(NamedTuple):
    """Grains that were given before a volume was grown.

    Parameters
    ----------
    whole_from
        Values of this and more are a grain each, whether they hang together or not, which nobody absorbs.
    mask
        (z, y, x) bool: voxels that are known, and stay when boundaries are relaxed.
    """

    whole_from: int
    mask: Mask


def segment(
    volume: Volume, options: SegmentOptions, labels: Labels, threads: int | None = None, planes: int | None = None,
    given: Given | None = None,
) -> Summary:  # fmt: skip
    """Label the grains of a volume.

    Without fill and min_voxels the labels are those of scikit-learn's DBSCAN on the points with a value.

    Parameters
    ----------
    volume, options
        What to segment, and how.
    labels
        (z, y, x) int32, C order, written: the grain of every voxel, −1 for noise and outside.
    threads
        Number of threads, by default one a core; the labels are the same for any.
    planes
        Thickness of a slab in voxels, by default what suits threads and memory; the labels are the same for any.
    given
        Grains that were given; None for none.

    Returns
    -------
    Summary
        Numbers of grains and voxels.

    Raises
    ------
    VolumeError
        If no voxel has a value, there are more grains than 32-bit labels can number, or the file is damaged.
    """
    started = time.perf_counter()
    threads = threads or count_cores()
    slabs = _Slabs(_cut(volume, threads, planes), threads)
    grains, points = _tell_apart(volume, options, labels, slabs, given and given.whole_from)
    if options.relax:
        is_whole = _find_whole(volume, labels, grains, given)
        finish(relax(labels, options.relax, wraps=wraps_of(options.periodic), is_fixed=given and given.mask))
        again = Volume(_mark_whole(labels, is_whole), volume.name, positive=True)
        grains, points = _tell_apart(again, options, labels, slabs, grains if is_whole.any() else None)
    outside = labels.size - points
    noise = sum(int(np.count_nonzero(plane < 0)) for plane in labels) - outside
    return Summary(grains, labels.size, noise, outside, time.perf_counter() - started)


class _Slabs(NamedTuple):
    """First plane of each slab, and the one after its last; and how many threads there are."""

    bounds: list[tuple[int, int]]
    threads: int


def _tell_apart(
    volume: Volume, options: SegmentOptions, labels: Labels, slabs: _Slabs, whole_from: int | None
) -> tuple[int, int]:
    """Label grains, fill noise and absorb; give the numbers of grains and of voxels with a value."""
    wraps, kept = wraps_of(options.periodic), None
    grains, points = label_slabs(volume, options.rule(), labels, slabs.bounds, slabs.threads, wraps)
    if whole_from is not None:
        grains, kept = unite_values(volume, labels, grains, whole_from)
    if options.fill:
        fill_noise(labels, np.concatenate([_find_noise(volume, labels, *slab) for slab in slabs.bounds]))
    if options.min_voxels:
        grains = absorb_grains(labels, grains, options.min_voxels, wraps, kept)
    return grains, points


def _mark_whole(labels: Labels, is_whole: NDArray[np.bool_]) -> Labels:
    """Copy labels; those of grains that were given become higher than all others."""
    marked = labels.copy()
    if is_whole.any():
        for plane in marked:
            plane[(plane >= 0) & is_whole[plane]] += np.int32(is_whole.size)
    return marked


def _find_whole(volume: Volume, labels: Labels, grains: int, given: Given | None) -> NDArray[np.bool_]:
    """Which grains were given, (grains,) bool."""
    is_whole = np.zeros(grains, bool)
    if given is not None:
        for z, plane in enumerate(labels):
            is_whole[plane[volume.read(z, z + 1)[0] >= given.whole_from]] = True
    return is_whole


def _cut(volume: Volume, threads: int, planes: int | None) -> list[tuple[int, int]]:
    """First plane of each slab, and the one after its last."""
    depth, rows, cols = volume.shape
    fitting = SLAB_BYTES // (rows * cols * volume.read_dtype.itemsize)
    planes = planes or max(1, min(fitting, -(-depth // (SLABS_PER_THREAD * threads))))
    return [(first, min(first + planes, depth)) for first in range(0, depth, planes)]


def _find_noise(volume: Volume, labels: Labels, first: int, stop: int) -> NDArray[np.int64]:
    """Flat indices of the voxels of a slab that have a value and no grain."""
    noise = (labels[first:stop] < 0) & np.isfinite(volume.read(first, stop))
    indices: NDArray[np.int64] = np.flatnonzero(noise) + first * labels[0].size
    return indices


def write_labels(
    volume: Volume,
    options: SegmentOptions,
    out: Path,
    threads: int | None = None,
    about: Mapping[str, str | float] = MappingProxyType({}),
    given: Given | None = None,
) -> Summary:
    """Segment a volume into a .npy file, or the data set ``grain_id`` of an HDF5 file with the options beside.

    Parameters
    ----------
    volume, options, threads, given
        What to segment and how, as for `segment`.
    out
        The file to make or replace, .npy, .h5 or .hdf5; written beside and renamed at the end.
    about
        Further attributes of an HDF5 file's data set, beside ``options``, and ``periodic`` and ``voxel_um`` where
        there is something to state.

    Returns
    -------
    Summary
        Numbers of grains and voxels.

    Raises
    ------
    VolumeError
        If no voxel has a value, there are more grains than 32-bit labels can number, or the volume is damaged.
    OutputError
        If the name is no .npy or .h5, or the disk is full.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{out}: labels are written as .npy or .h5")
    with written_beside(out) as beside:
        attributes = {"options": json.dumps(dataclasses.asdict(options)), **_facts(volume, options), **about}
        npy = out.suffix.lower() == ".npy"
        labels = _map_npy(beside, volume) if npy else _map_hdf5(beside, volume, attributes)
        return segment(volume, options, labels, threads, given=given)


def _facts(volume: Volume, options: SegmentOptions) -> dict[str, str | float]:
    """What a file of labels states of itself: where its grains go on, and how large its voxels are."""
    facts: dict[str, str | float] = {"periodic": options.periodic} if options.periodic else {}
    return facts if volume.voxel_um is None else {**facts, "voxel_um": volume.voxel_um}


def _map_npy(path: Path, volume: Volume) -> Labels:
    labels = np.lib.format.open_memmap(path, "w+", np.int32, volume.shape)
    take_room(path)
    return np.asarray(labels)


def _map_hdf5(path: Path, volume: Volume, attributes: Mapping[str, str | float]) -> Labels:
    """One piece of the file is the data set, so that it can be mapped like a .npy."""
    check_room(path, 4 * int(np.prod(volume.shape)))
    with h5py.File(path, "w") as file:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(volume.shape)
        stored = h5py.h5d.create(file.id, LABELS.encode(), h5py.h5t.NATIVE_INT32, space, layout)
        file[LABELS].attrs.update(attributes)
        offset = stored.get_offset()
    take_room(path)
    return np.asarray(np.memmap(path, np.int32, "r+", offset, volume.shape))
