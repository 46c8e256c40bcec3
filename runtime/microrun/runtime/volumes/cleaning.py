"""Labels without noise and without tiny grains; deterministic, and the same for every cut into slabs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.absorbing import Field, Members, Mergers, absorb_smallest, count_voxels, list_members
from microrun.kernels.borders import fill_once, number_plane
from microrun.runtime.volumes.axes import NO_WRAPS, Wraps
from microrun.runtime.volumes.volume import Volume

Labels = NDArray[np.int32]


def fill_noise(labels: Labels, noise: NDArray[np.int64]) -> None:
    """Give voxels the most frequent label of their six neighbours, of several the lowest, in rounds.

    A round sees the labels of the one before. Voxels that no grain can reach stay −1.

    Parameters
    ----------
    labels
        (z, y, x) int32, C order, changed in place.
    noise
        Flat indices of the voxels to fill.
    """
    flat = labels.reshape(-1)
    while noise.size:
        chosen = np.empty(noise.size, np.int32)
        fill_once(labels, noise, NO_WRAPS, chosen)
        flat[noise] = chosen
        if (chosen < 0).all():
            return
        noise = noise[chosen < 0]


def absorb_grains(
    labels: Labels, grains: int, min_voxels: int, wraps: Wraps = NO_WRAPS, kept: NDArray[np.bool_] | None = None
) -> int:
    """Join grains below a size to the neighbour with the largest common face, the smallest first.

    Of equal faces the lowest neighbour wins, of grains of one size the lowest goes first; a grain that has grown to
    the size stays, and so does one without neighbours. The numbers of the remaining grains close up in their order.

    Parameters
    ----------
    labels
        (z, y, x) int32, changed in place.
    grains
        Number of grains.
    min_voxels
        The size in voxels.
    wraps
        Whether the volume goes on at its opposite face along z, y and x.
    kept
        (grains,) bool: those that nobody absorbs, whatever their size; by default none.

    Returns
    -------
    int
        Number of grains that remain.
    """
    sizes = np.zeros(grains, np.int64)
    count_voxels(labels, sizes)
    tiny = sizes < min_voxels if kept is None else (sizes < min_voxels) & ~kept
    numbers, remaining = _number_owners(_absorb(Field(labels, wraps), sizes, min_voxels, tiny))
    for plane in labels:
        number_plane(numbers, plane)
    return remaining


def unite_values(volume: Volume, labels: Labels, grains: int, whole_from: int) -> tuple[int, NDArray[np.bool_]]:
    """Make one grain of all that have one value, of those values that are grains whether they hang together or not.

    Parameters
    ----------
    volume
        Values, of which every grain has one.
    labels
        (z, y, x) int32, changed in place; grains keep their order.
    grains
        Number of grains.
    whole_from
        The lowest such value.

    Returns
    -------
    remaining, united : int, (remaining,) bool
        Number of grains, and which have such a value.
    """
    values = np.full(grains, -1, np.int64)
    for z, plane in enumerate(labels):
        known = plane >= 0
        values[plane[known]] = volume.read(z, z + 1)[0][known]
    owners = np.arange(grains, dtype=np.int32)
    is_whole = values >= whole_from
    _, first, of_value = np.unique(values[is_whole], return_index=True, return_inverse=True)
    owners[is_whole] = np.flatnonzero(is_whole)[first][of_value]
    numbers, remaining = _number_owners(owners)
    for plane in labels:
        number_plane(numbers, plane)
    united = np.zeros(remaining, bool)
    united[numbers[is_whole]] = True
    return remaining, united


def _absorb(field: Field, sizes: NDArray[np.int64], min_voxels: int, tiny: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Owner of each grain: who absorbs it, itself if nobody does."""
    members = _list_members(field.labels, sizes, min_voxels)
    itself = np.arange(sizes.size, dtype=np.int32)
    mergers = Mergers(sizes, itself, itself.copy())
    waiting = np.flatnonzero(tiny)
    while waiting.size:
        size = int(sizes[waiting].min())
        absorb_smallest(field, members, size, waiting, mergers)
        left = sizes[waiting]
        waiting = waiting[(left > size) & (left < min_voxels)]
    return mergers.owners


def _list_members(labels: Labels, sizes: NDArray[np.int64], min_voxels: int) -> Members:
    listed = np.where(sizes < min_voxels, sizes, 0)
    starts = np.concatenate([[0, 0], np.cumsum(listed)])[:-1]
    members = Members(starts, np.empty(listed.sum(), np.int64))
    list_members(labels, sizes, min_voxels, members)
    return members


def _number_owners(owners: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Final number of every grain, and how many there are."""
    while (owners != owners[owners]).any():
        owners = owners[owners]
    ranks = np.cumsum(owners == np.arange(owners.size), dtype=np.int32) - 1
    return ranks[owners], int(ranks[-1]) + 1 if ranks.size else 0
