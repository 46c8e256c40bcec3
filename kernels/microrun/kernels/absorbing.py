"""Grains below a size join their neighbours; their faces are read from the labels, which stay as they are meanwhile.

A tiny grain is the sum of tiny grains that have joined: a ring of them, whose voxels are listed. So only the voxels
of tiny grains cost memory, and each of them is visited once for every doubling of its grain at most.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.borders import Wraps, look_around
from microrun.kernels.compiling import exact_kernel


class Members(NamedTuple):
    """Flat indices of the voxels of tiny grains, int64; those of grain g are ``voxels[starts[g] : starts[g + 1]]``."""

    starts: NDArray[np.int64]
    voxels: NDArray[np.int64]


class Field(NamedTuple):
    """Labels (depth, rows, cols) int32 as before anything was absorbed, and along which axes they wrap around."""

    labels: NDArray[np.int32]
    wraps: Wraps


class Mergers(NamedTuple):
    """What becomes of grains, (grains,) each.

    Parameters
    ----------
    sizes
        int64 voxels; 0 of grains that were absorbed.
    owners
        int32: who absorbed each, itself if nobody did.
    rings
        int32: the next of the grains that have become one, around to the first.
    """

    sizes: NDArray[np.int64]
    owners: NDArray[np.int32]
    rings: NDArray[np.int32]


@exact_kernel
def count_voxels(labels: NDArray[np.int32], out: NDArray[np.int64]) -> None:
    """Add up the voxels of each grain.

    Parameters
    ----------
    labels
        (depth, rows, cols) int32; −1 is no grain.
    out
        (grains,) int64, added to.
    """
    depth, rows, cols = labels.shape
    for z in range(depth):
        for y in range(rows):
            for x in range(cols):
                if labels[z, y, x] >= 0:
                    out[labels[z, y, x]] += 1


@exact_kernel
def list_members(labels: NDArray[np.int32], sizes: NDArray[np.int64], min_voxels: int, out: Members) -> None:
    """List the voxels of all grains below a size, in scan order.

    Parameters
    ----------
    labels
        (depth, rows, cols) int32.
    sizes
        (grains,) int64 voxels.
    min_voxels
        The size.
    out
        Voxels, written, and starts: first one place late, where the grain before starts, since they move on with
        every voxel that is listed.
    """
    depth, rows, cols = labels.shape
    for z in range(depth):
        for y in range(rows):
            for x in range(cols):
                grain = labels[z, y, x]
                if grain >= 0 and sizes[grain] < min_voxels:
                    out.voxels[out.starts[grain + 1]] = (z * rows + y) * cols + x
                    out.starts[grain + 1] += 1


@exact_kernel
def absorb_smallest(field: Field, members: Members, size: int, waiting: NDArray[np.int64], out: Mergers) -> None:
    """Let every grain of the smallest size join the neighbour with the largest common face, of several the lowest.

    Parameters
    ----------
    field
        Labels.
    members
        Voxels of the grains that were tiny then.
    size
        The smallest there is among those that wait; no grain can grow to it.
    waiting
        Tiny grains, ascending.
    out
        Changed in place.
    """
    faces = np.empty(6 * size, np.int32)
    for grain in waiting:
        if out.sizes[grain] == size:
            count = _list_faces(grain, field, members, out, faces)
            if count > 0:
                _join(grain, _most_frequent(faces[:count]), out)


@exact_kernel
def _list_faces(grain: int, field: Field, members: Members, mergers: Mergers, out: NDArray[np.int32]) -> int:
    """Write the owner of the voxel behind each face of a grain, and return how many faces there are."""
    around = np.empty(6, np.int32)
    count, member = 0, grain
    while True:
        for voxel in members.voxels[members.starts[member] : members.starts[member + 1]]:
            look_around(field.labels, voxel, field.wraps, around)
            for label in around:
                other = _find_owner(mergers.owners, label) if label >= 0 else grain
                if other != grain:
                    out[count] = other
                    count += 1
        member = mergers.rings[member]
        if member == grain:
            return count


@exact_kernel
def _find_owner(owners: NDArray[np.int32], grain: Any) -> Any:
    while owners[grain] != grain:
        owners[grain] = owners[owners[grain]]
        grain = owners[grain]
    return grain


@exact_kernel
def _most_frequent(faces: NDArray[np.int32]) -> Any:
    faces.sort()
    winner, most, count = faces[0], 0, 0
    for n in range(faces.size):
        count = count + 1 if n > 0 and faces[n] == faces[n - 1] else 1
        if count > most:
            winner, most = faces[n], count
    return winner


@exact_kernel
def _join(grain: int, owner: int, out: Mergers) -> None:
    out.owners[grain] = owner
    out.sizes[owner] += out.sizes[grain]
    out.sizes[grain] = 0
    out.rings[grain], out.rings[owner] = out.rings[owner], out.rings[grain]
