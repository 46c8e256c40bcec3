"""Labels without noise and without tiny grains; deterministic, and the same for every cut into slabs."""

from __future__ import annotations

import heapq
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.borders import fill_once

Labels = NDArray[np.int32]
Faces = defaultdict[int, dict[int, int]]  # of a grain: its neighbours, and how many voxel faces they share


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
        How many there are.
    min_voxels
        The size.

    Returns
    -------
    grains
        How many remain.
    """
    sizes = np.zeros(grains, np.int64)
    for plane in labels:
        sizes += np.bincount(plane[plane >= 0], minlength=grains)
    numbers, remaining = _number_owners(_absorb(sizes, _common_faces(labels, sizes < min_voxels), min_voxels))
    for plane in labels:
        taken = plane >= 0
        plane[taken] = numbers[plane[taken]]
    return remaining


def _absorb(sizes: NDArray[np.int64], faces: Faces, min_voxels: int) -> NDArray[np.int64]:
    """Who absorbs each grain; itself if nobody does."""
    owners = np.arange(sizes.size)
    waiting = [(int(sizes[grain]), int(grain)) for grain in np.flatnonzero(sizes < min_voxels)]
    heapq.heapify(waiting)
    while waiting:
        size, grain = heapq.heappop(waiting)
        has_grown = size != sizes[grain]
        if has_grown or not faces[grain]:
            continue
        owner = min(faces[grain], key=lambda other: (-faces[grain][other], other))
        _hand_over(grain, owner, faces)
        owners[grain] = owner
        sizes[owner] += size
        if sizes[owner] < min_voxels:
            heapq.heappush(waiting, (int(sizes[owner]), owner))
    return owners


def _hand_over(grain: int, owner: int, faces: Faces) -> None:
    """Give a grain's faces to its new owner."""
    for other, count in faces.pop(grain).items():
        del faces[other][grain]
        if other != owner:
            faces[other][owner] = faces[owner][other] = faces[other].get(owner, 0) + count


def _number_owners(owners: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Final number of every grain, and how many there are."""
    while (owners != owners[owners]).any():
        owners = owners[owners]
    ranks = np.cumsum(owners == np.arange(owners.size)) - 1
    return ranks[owners], int(ranks[-1]) + 1 if ranks.size else 0


def _common_faces(labels: Labels, tiny: NDArray[np.bool_]) -> Faces:
    """Faces between grains of which one is tiny."""
    faces: Faces = defaultdict(dict)
    for z, plane in enumerate(labels):
        above = labels[z + 1] if z + 1 < len(labels) else plane
        for one, other in ((plane, above), (plane[:-1], plane[1:]), (plane[:, :-1], plane[:, 1:])):
            touching = (one != other) & (one >= 0) & (other >= 0)
            one, other = one[touching], other[touching]
            counted = tiny[one] | tiny[other]
            keys = one[counted].astype(np.int64) * tiny.size + other[counted]
            for key, count in zip(*map(np.ndarray.tolist, np.unique(keys, return_counts=True)), strict=True):
                a, b = divmod(key, tiny.size)
                faces[a][b] = faces[b][a] = faces[a].get(b, 0) + count
    return faces
