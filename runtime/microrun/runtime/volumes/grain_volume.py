"""A volume of grains as writers take it: labels, perhaps values and orientations, and the edge of a voxel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.orientations import GrainOrientations
from microrun.runtime.volumes.volume import SLAB_BYTES, Volume

LARGEST_ID = 2**31 - 2  # DREAM3D's feature is one more
LEAST_ROWS = 10_000_000  # that a table of features may have, however small the volume is


@dataclass(frozen=True)
class GrainVolume:
    """Grains on a lattice of cubes, and where it lies.

    Parameters
    ----------
    labels
        Whole numbers: grains 0, 1, …; negative or NaN where there is none.
    values
        What else is known of each voxel, of the same shape.
    voxel_um
        Edge of a voxel in µm.
    origin_um
        z, y, x of the volume's corner in µm.
    orientations
        Of the grains' crystals, where they are known.

    Raises
    ------
    VolumeError
        If the shapes differ, or the edge is no length.
    """

    labels: Volume
    values: Volume | None = None
    voxel_um: float = 1.0
    origin_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    orientations: GrainOrientations | None = None

    def __post_init__(self) -> None:
        if not 0 < self.voxel_um < np.inf:
            raise VolumeError(f"the edge of a voxel is more than 0 µm; got {self.voxel_um:g}")
        if self.values is not None and self.values.shape != self.labels.shape:
            raise VolumeError(
                f"{self.values.name}: values must have the shape {self.labels.shape} of the grains in "
                f"{self.labels.name}; got {self.values.shape}"
            )

    def slabs(self) -> Iterator[slice]:
        """Slices of planes that are read at once, from the first plane to the last."""
        depth, rows, cols = self.labels.shape
        planes = max(1, SLAB_BYTES // (rows * cols * 8))
        return (slice(first, min(first + planes, depth)) for first in range(0, depth, planes))

    @property
    def largest_number(self) -> int:
        """Largest number that a grain may have; a table of features has a row for every number up to the largest."""
        return min(LARGEST_ID, max(LEAST_ROWS, math.prod(self.labels.shape)))

    def read_grains(self, planes: slice) -> NDArray[np.int32]:
        """Grains of some planes.

        Parameters
        ----------
        planes
            First plane and the one after the last.

        Returns
        -------
        (planes, y, x) int32
            Numbers of grains, −1 where there is none.

        Raises
        ------
        VolumeError
            If the file is damaged, or a label is no whole number, or above `largest_number`.
        """
        labels = self.labels.read(planes.start, planes.stop)
        labels = np.where(np.isfinite(labels) & (labels >= 0), labels, -1)
        if (labels != np.floor(labels)).any():
            raise VolumeError(f"{self.labels.name}: labels are whole numbers; run microrun segment on values first")
        if labels.max() > self.largest_number:
            raise VolumeError(
                f"{self.labels.name}: grain {labels.max():.0f} has a number above {self.largest_number:,}; number the "
                f"grains anew with microrun segment --components 6"
            )
        return labels.astype(np.int32)

    def read_values(self, planes: slice) -> NDArray[np.float32]:
        """Values of some planes, where there are values.

        Parameters
        ----------
        planes
            First plane and the one after the last.

        Returns
        -------
        (planes, y, x) float32
            Values, NaN where there is none.

        Raises
        ------
        VolumeError
            If the file is damaged.
        """
        assert self.values is not None
        return self.values.read(planes.start, planes.stop).astype(np.float32, copy=False)

    def count_voxels(self) -> NDArray[np.int64]:
        """Number of voxels of each grain.

        Returns
        -------
        (largest number + 1,) int64
            0 for numbers that no voxel has.

        Raises
        ------
        VolumeError
            As of `read_grains`.
        """
        counts = np.zeros(0, np.int64)
        for planes in self.slabs():
            grains = self.read_grains(planes)
            found = np.bincount(grains[grains >= 0])
            size = max(len(counts), len(found))
            counts = np.pad(counts, (0, size - len(counts))) + np.pad(found, (0, size - len(found)))
        return counts

    def find_euler(self, counts: NDArray[np.int64]) -> Float64:
        """Orientations of all grains that there are.

        Parameters
        ----------
        counts
            From `count_voxels`.

        Returns
        -------
        (len(counts), 3) float64
            Bunge angles in radians; 0 for numbers that no voxel has.

        Raises
        ------
        VolumeError
            If a grain has no orientation.
        """
        if self.orientations is None:
            raise VolumeError(f"{self.labels.name}: its grains have no orientations; give them with microrun orient")
        known = self.orientations.euler[: len(counts)]
        euler = np.concatenate([known, np.full((len(counts) - len(known), 3), np.nan)])
        lacking = np.flatnonzero((counts > 0) & ~np.isfinite(euler).all(axis=1))
        if len(lacking):
            raise VolumeError(f"{self.labels.name}: grain {lacking[0]} has no orientation; run microrun orient again")
        return np.where(counts[:, None] > 0, euler, 0.0)
