"""What is counted of voxels, not of grains: specks, voxels that a Potts flip would improve, and sizes by stage."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.colouring import label_grains
from microrun.kernels.unlike import count_unstable
from microrun.runtime.array_types import Float64
from microrun.runtime.cores import count_cores
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.axes import NO_WRAPS, Wraps

MOST_VOXELS = 2**31 - 1  # whose pieces int32 can number
SPECK_VOXELS = 27  # the size from which on a piece of a grain is no speck, 3³
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Tally:
    """Counts of voxels; those of several volumes add up.

    Parameters
    ----------
    voxels
        Voxels of all grains.
    specks, speck_voxels
        Pieces of fewer than 27 voxels, and their voxels. A piece is voxels of one grain that hang together by faces.
    unstable, surrounded
        Voxels that a Potts flip at T = 0 would improve, since a neighbour's label has more of the 26 neighbours than
        their own; of those voxels whose neighbours all belong to grains.
    """

    voxels: int
    specks: int
    speck_voxels: int
    unstable: int
    surrounded: int

    @property
    def speck_share(self) -> float:
        """Share of the voxels that lie in specks."""
        return self.speck_voxels / self.voxels

    @property
    def unstable_share(self) -> float:
        """Share of the surrounded voxels that are unstable; NaN without any."""
        return self.unstable / self.surrounded if self.surrounded else math.nan

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


def tally_voxels(labels: Labels, pieces: Labels) -> Tally:
    """Count specks and unstable voxels.

    Parameters
    ----------
    labels
        (z, y, x) int32, C order: grains 0, 1, …; voxels with negative labels belong to none.
    pieces
        From `split_pieces`.

    Returns
    -------
    Tally
        Counts; voxels of no grain are none of them.
    """
    sizes = np.bincount(pieces[pieces >= 0])
    specks = sizes[(sizes > 0) & (sizes < SPECK_VOXELS)]
    threads = count_cores()
    planes = np.linspace(0, len(labels), min(threads, len(labels)) + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        counts = pool.map(functools.partial(count_unstable, labels), itertools.pairwise(planes))
        unstable, surrounded = (sum(column) for column in zip(*counts, strict=True))
    return Tally(int(sizes.sum()), len(specks), int(specks.sum()), int(unstable), int(surrounded))


def split_pieces(labels: NDArray[Any]) -> Labels:
    """Number the pieces of grains: voxels of one label that hang together by their faces.

    Parameters
    ----------
    labels
        (z, y, x) integers; negative where there is no grain.

    Returns
    -------
    (z, y, x) int32
        Pieces 0, 1, … in the order of their first voxels, −1 where there is no grain.

    Raises
    ------
    VolumeError
        If it has 2³¹ voxels or more.
    """
    if labels.size > MOST_VOXELS:
        raise VolumeError(
            f"pieces are numbered in at most {MOST_VOXELS:,} voxels; the volume has {labels.size:,}: take a smaller one"
        )
    pieces = np.empty(labels.shape, np.int32)
    label_grains(labels, False, pieces)
    outside = labels < 0
    if outside.any():
        kept = np.flatnonzero(np.bincount(pieces[~outside], minlength=1))
        numbers = np.full(int(pieces.max()) + 1, -1, np.int32)
        numbers[kept] = np.arange(len(kept), dtype=np.int32)
        pieces = numbers[pieces]
    return pieces


@dataclass(frozen=True, eq=False)
class StageSizes:
    """Sizes of grains by the stage of the tiling that a voxel belongs to; those of several volumes add up.

    Parameters
    ----------
    voxels
        (stages,) number of voxels of each.
    sizes
        (stages,) sum over them of the voxels of their grains.
    """

    voxels: NDArray[np.int64]
    sizes: Float64

    def __add__(self, other: StageSizes) -> StageSizes:
        stages = max(len(self.voxels), len(other.voxels))  # a small volume has none of the later ones
        one, two = self._lengthen(stages), other._lengthen(stages)
        return StageSizes(one.voxels + two.voxels, one.sizes + two.sizes)

    def _lengthen(self, stages: int) -> StageSizes:
        missing = (0, stages - len(self.voxels))
        return StageSizes(np.pad(self.voxels, missing), np.pad(self.sizes, missing))

    @property
    def relative(self) -> Float64:
        """Volume-weighted mean sizes, relative to the first stage; NaN of stages without voxels. (stages,) float64."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.sizes / self.voxels
            relative: Float64 = mean / mean[0]
        return relative

    @property
    def later(self) -> float:
        """Mean size in all stages but the first, relative to the first."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(self.sizes[1:].sum() / self.voxels[1:].sum() / (self.sizes[0] / self.voxels[0]))


def sum_by_stage(labels: Labels, stages: NDArray[np.unsignedinteger[Any]], wraps: Wraps = NO_WRAPS) -> StageSizes:
    """Sum up the sizes of grains by stage.

    Grains that the volume's faces cut look small, and first stages lie at its corners. So voxels count only if they
    are farther from its faces than the diameter of a sphere as large as the volume-weighted mean grain. Periodic
    faces cut no grain, and all voxels beside them count.

    Parameters
    ----------
    labels
        (z, y, x) int32: grains 0, 1, …; negative where there is none. Of a periodic volume a grain has one number on
        both sides of a face.
    stages
        (z, y, x) unsigned, the stage that each voxel belongs to.
    wraps
        Whether the volume goes on at its opposite face along z, y and x.

    Returns
    -------
    StageSizes
        Sums; all 0 if no voxel is far enough from the faces.
    """
    count = int(stages.max()) + 1
    inside = labels >= 0
    sizes = np.bincount(labels[inside])
    mean = float((sizes.astype(np.float64) ** 2).sum() / sizes.sum())
    margin = int(np.ceil(np.cbrt(6 / np.pi * mean)))
    margins = [0 if wrap else margin for wrap in wraps]
    core = tuple(slice(cut, max(side - cut, cut)) for side, cut in zip(labels.shape, margins, strict=True))
    counted = inside[core]
    stage = stages[core][counted]
    size = sizes[labels[core][counted]]
    sums: Float64 = np.bincount(stage, size, count).astype(np.float64)
    return StageSizes(np.bincount(stage, minlength=count), sums)


def add_up(stages: Iterable[StageSizes | None]) -> StageSizes | None:
    """Sum of the sizes of several volumes; None without one, or where some have none."""
    known = list(stages)
    if not known or any(one is None for one in known):
        return None
    return functools.reduce(lambda one, two: one + two, [one for one in known if one is not None])
