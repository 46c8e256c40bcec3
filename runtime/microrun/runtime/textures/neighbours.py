"""Grains of a volume that touch, and by how much."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.progress import Progress
from microrun.runtime.volumes.grain_volume import GrainVolume

Grains = NDArray[np.int32]
SHIFT = 32  # bits of a grain's number in the name of a pair


class Touching(NamedTuple):
    """Pairs of grains, (m, 2) int64, each once; and the number of their common faces, (m,) int64."""

    pairs: NDArray[np.int64]
    faces: NDArray[np.int64]


def find_touching(volume: GrainVolume) -> Generator[Progress, None, Touching]:
    """Find the pairs of grains that have faces in common; at opposite faces, too, if the volume is periodic there.

    Parameters
    ----------
    volume
        The grains.

    Returns
    -------
    generator of Progress
        A job whose result is a `Touching`.

    Raises
    ------
    VolumeError
        If the volume cannot be read, or its labels are no labels.
    """
    names, faces = np.zeros(0, np.int64), np.zeros(0, np.int64)
    depth, periodic = volume.labels.shape[0], volume.labels.periodic
    below: Grains | None = volume.read_grains(slice(depth - 1, depth))[0] if "z" in periodic and depth > 1 else None
    for planes in volume.slabs():
        grains = volume.read_grains(planes)
        found = [*_meet(grains, periodic)]
        if below is not None:
            found.append(_name(below, grains[0]))
        below = grains[-1]
        more, counts = np.unique(np.concatenate(found), return_counts=True)
        names, faces = _add(np.concatenate([names, more]), np.concatenate([faces, counts]))
        yield Progress(planes.stop, depth, "planes")
    return Touching(np.stack([names >> SHIFT, names & ((1 << SHIFT) - 1)], axis=1), faces)


def _meet(grains: Grains, periodic: str) -> Generator[NDArray[np.int64], None, None]:
    for axis in range(3):
        steps = np.moveaxis(grains, axis, 0)
        yield _name(steps[:-1], steps[1:])
        if axis and "zyx"[axis] in periodic and len(steps) > 1:
            yield _name(steps[-1], steps[0])


def _name(one: Grains, other: Grains) -> NDArray[np.int64]:
    """Names of the pairs of unlike grains, the lower number first."""
    differ = (one != other) & (one >= 0) & (other >= 0)
    first, second = one[differ].astype(np.int64), other[differ].astype(np.int64)
    names: NDArray[np.int64] = (np.minimum(first, second) << SHIFT) | np.maximum(first, second)
    return names


def _add(names: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Names, each once, with the sums of their counts."""
    unique, place = np.unique(names, return_inverse=True)
    return unique, np.bincount(place.ravel(), counts, len(unique)).astype(np.int64)
