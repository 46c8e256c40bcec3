"""How the grains of printed metal stand: columns along z, the build direction, in rows beside each other along y.

Tracks run along x, one hatch apart along y, as in `microrun simulate am`. Columns grow where a track's pool was hottest
last, so that their centres lie one hatch apart across the tracks, and anywhere along them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.volumes.measure import Grains

LEAST_PERIOD = 4.0  # voxels
LEAST_ROWS = 3  # across a volume, so that their distance means something
PERIOD_STEP = 0.25
COUNTED_VOXELS = 27  # from which on a grain is no speck
RANDOM_INCLINATION_DEG = 60.0  # median of directions that are all as likely
EULER = 0.5772156649  # mean of the largest of many numbers of exponential distribution, less the logarithm of how many


@dataclass(frozen=True, eq=False)
class Printed:
    """What is measured of the grains of one volume.

    Parameters
    ----------
    intercepts
        (3,) float64: mean length between boundaries along z, y, x, in voxels. Infinite where there is no boundary.
    inclination_deg
        Median angle between z and the longest axis of grains of 27 voxels or more; NaN without any. All directions as
        likely give 60°.
    rows
        (2, periods) float64: alignment of the centres of these grains along y and along x, by period (`periods`).
    side
        Voxels along y.
    n_grains
        Number of these grains.
    """

    intercepts: Float64
    inclination_deg: float
    rows: Float64
    side: int
    n_grains: int


@dataclass(frozen=True)
class Rows:
    """Rows of grains in some volumes.

    Parameters
    ----------
    period
        Distance of the rows in voxels; NaN where volumes are too small for any.
    across, along
        Alignment along y, across the tracks, and along x: 1 where all centres lie in rows of this distance.
    by_chance
        Mean alignment of as many centres anywhere; of the best of all periods where the period was found in the same
        volumes.
    """

    period: float
    across: float
    along: float
    by_chance: float


@dataclass(frozen=True)
class Standing:
    """How the grains of some volumes stand; lengths in voxels.

    Parameters
    ----------
    intercepts
        Mean lengths between boundaries along z, y, x.
    elongation
        The first over the geometric mean of the others: how much longer grains are along z than across it.
    inclination_deg
        Median angle between z and grains' longest axes, a mean over volumes.
    rows
        Rows of grains.
    """

    intercepts: tuple[float, float, float]
    elongation: float
    inclination_deg: float
    rows: Rows


def measure_printed(labels: NDArray[Any], grains: Grains) -> Printed:
    """Measure the columns and rows of a volume.

    Parameters
    ----------
    labels
        (z, y, x) integers; negative where there is no grain.
    grains
        Those of the volume, lengths in voxels.

    Returns
    -------
    Printed
        Of this volume.
    """
    counted = grains.volume_um3 >= COUNTED_VOXELS
    inclination = grains.inclination_deg[counted]
    side = int(labels.shape[1])
    centres = grains.centroid_um[counted][:, 1:]
    phases = np.exp(2j * np.pi * centres[:, :, None] / periods(side))
    count = int(counted.sum())
    return Printed(
        intercepts=np.array([_intercept(labels, axis) for axis in range(3)]),
        inclination_deg=float(np.median(inclination)) if count else math.nan,
        rows=np.abs(phases.sum(axis=0)) / max(count, 1),
        side=side,
        n_grains=count,
    )


def periods(side: int) -> Float64:
    """Distances of rows that are looked for in a volume of so many voxels: from 4 to a third of it."""
    return np.arange(LEAST_PERIOD, side / LEAST_ROWS + PERIOD_STEP / 2, PERIOD_STEP)


def join_printed(measured: Sequence[Printed], period: float | None = None) -> Standing:
    """Take volumes together.

    Parameters
    ----------
    measured
        Volumes; of equal size if their intercepts are to be those of all boundaries together.
    period
        As of `find_rows`.
    """
    z, y, x = (1 / np.mean([1 / one.intercepts for one in measured], axis=0)).tolist()
    inclination = float(np.mean([one.inclination_deg for one in measured]))
    return Standing((z, y, x), z / math.sqrt(y * x), inclination, find_rows(measured, period))


def find_rows(measured: Sequence[Printed], period: float | None = None) -> Rows:
    """Rows of grains, a mean over volumes.

    Each volume has rows of a phase of its own.

    Parameters
    ----------
    measured
        Volumes.
    period
        Distance of the rows in voxels, such as that of a reference; None for the one of the strongest alignment.

    Returns
    -------
    Rows
        At the nearest period that is looked for in all of them.
    """
    looked_for = periods(min(one.side for one in measured))
    if not looked_for.size or not any(one.n_grains for one in measured):
        return Rows(math.nan, math.nan, math.nan, math.nan)
    across, along = np.mean([one.rows[:, : looked_for.size] for one in measured], axis=0)
    free = period is None
    place = int(np.argmax(across)) if period is None else int(np.argmin(np.abs(looked_for - period)))
    chance = float(np.mean([_by_chance(one, free) for one in measured]))
    return Rows(float(looked_for[place]), float(across[place]), float(along[place]), chance)


def _by_chance(one: Printed, free: bool) -> float:
    """Mean alignment of centres anywhere, of Rayleigh's distribution; or of the best of all independent periods."""
    count = max(one.n_grains, 1)
    independent = one.side / LEAST_PERIOD - LEAST_ROWS  # rows that more or fewer fit across the volume
    return min(1.0, math.sqrt((math.log(max(independent, 1)) + EULER) / count if free else math.pi / (4 * count)))


def _intercept(labels: NDArray[Any], axis: int) -> float:
    """Pairs of neighbours along an axis, for each pair of two grains."""
    moved = np.moveaxis(labels, axis, 0)
    one, two = moved[:-1], moved[1:]
    both = (one >= 0) & (two >= 0)
    pairs, differing = int(both.sum()), int((both & (one != two)).sum())
    return pairs / differing if differing else math.inf
