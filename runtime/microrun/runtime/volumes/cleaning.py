"""Labels without noise and without tiny grains; deterministic, and the same for every cut into slabs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.absorbing import Members, Mergers, absorb_smallest, count_voxels, list_members
from microrun.kernels.borders import fill_once, number_plane

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
        fill_once(labels, noise, chosen)
        flat[noise] = chosen
        if (chosen < 0).all():
            return
        noise = noise[chosen < 0]


def absorb_grains(labels: Labels, grains: int, min_voxels: int) -> int:
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

    Returns
    -------
    int
        Number of grains that remain.
    """
    sizes = np.zeros(grains, np.int64)
    count_voxels(labels, sizes)
    numbers, remaining = _number_owners(_absorb(labels, sizes, min_voxels))
    for plane in labels:
        number_plane(numbers, plane)
    return remaining


def _absorb(labels: Labels, sizes: NDArray[np.int64], min_voxels: int) -> NDArray[np.int32]:
    """Owner of each grain: who absorbs it, itself if nobody does."""
    members = _list_members(labels, sizes, min_voxels)
    itself = np.arange(sizes.size, dtype=np.int32)
    mergers = Mergers(sizes, itself, itself.copy())
    waiting = np.flatnonzero(sizes < min_voxels)
    while waiting.size:
        size = int(sizes[waiting].min())
        absorb_smallest(labels, members, size, waiting, mergers)
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
