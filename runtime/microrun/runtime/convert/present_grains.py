"""The grains of a volume as solvers number them: one after the other, without gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.grain_volume import GrainVolume
from microrun.runtime.volumes.orientations import GrainOrientations


@dataclass(frozen=True, eq=False)
class PresentGrains:
    """Grains that at least one voxel has.

    Parameters
    ----------
    numbers
        (n,) int64, as the volume numbers them, ascending.
    voxels
        (n,) int64, how many each has.
    void
        Number of voxels without a grain.
    euler
        (n, 3) float64 Bunge angles in radians.
    crystals
        Of all grains.
    """

    numbers: NDArray[np.int64]
    voxels: NDArray[np.int64]
    void: int
    euler: Float64
    crystals: GrainOrientations

    def renumber(self, first: int, void: int) -> NDArray[np.int32]:
        """Table from the volume's numbers to those of a solver.

        Parameters
        ----------
        first
            What the first grain becomes.
        void
            What voxels without a grain become.

        Returns
        -------
        (largest number + 2,) int32
            To be indexed with the volume's numbers; its last entry is that of −1.
        """
        table = np.full(int(self.numbers[-1]) + 2, void, np.int32)
        table[self.numbers] = np.arange(first, first + len(self.numbers))
        return table


def find_present(volume: GrainVolume, what: str, most_voxels: int) -> PresentGrains:
    """Read which grains there are, if a solver can hold as many voxels.

    Parameters
    ----------
    volume
        The grains, with their orientations.
    what
        The solver's file, for messages.
    most_voxels
        What it can number.

    Returns
    -------
    PresentGrains

    Raises
    ------
    VolumeError
        If there are more voxels, no grains, or grains without an orientation.
    """
    total = math.prod(volume.labels.shape)
    if total > most_voxels:
        raise VolumeError(
            f"{volume.labels.name}: {what} number at most {most_voxels:,} voxels; the volume has {total:,}: cut it"
        )
    counts = volume.count_voxels()
    numbers = np.flatnonzero(counts)
    if not len(numbers):
        raise VolumeError(f"{volume.labels.name}: contains no grains: no label is 0 or more")
    euler = volume.find_euler(counts)[numbers]
    assert volume.orientations is not None
    return PresentGrains(numbers, counts[numbers], total - int(counts.sum()), euler, volume.orientations)
