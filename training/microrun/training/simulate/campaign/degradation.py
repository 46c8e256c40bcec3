"""What a microscope makes of grains: a grid of its own, orientations that scatter, points that are not indexed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError
from microrun.runtime.sections.grain_map import OrientationMap, to_quaternions

LIKELIEST = 0.95  # chance that a point on a boundary is not indexed: not all of them fail


@dataclass(frozen=True)
class Flaws:
    """Flaws of a map. The share that is not indexed is that of a map of printed metal; the other defaults are choices.

    Parameters
    ----------
    unindexed
        Share of the points that are not indexed.
    on_boundaries
        Share of these that lie on grain boundaries, if there are enough points on them.
    bend_deg
        Root mean square angle between a point and its grain's mean that grows evenly through the grain.
    noise_deg
        The same, of each point for itself.

    Raises
    ------
    MicrorunError
        If a value is not possible.
    """

    unindexed: float = 0.075
    on_boundaries: float = 0.85
    bend_deg: float = 0.7
    noise_deg: float = 0.2

    def __post_init__(self) -> None:
        if not (0 <= self.unindexed < 1 and 0 <= self.on_boundaries <= 1):
            raise MicrorunError(
                f"shares lie between 0 and 1, and not all points fail; got {self.unindexed:g}, {self.on_boundaries:g}"
            )
        if not (0 <= self.bend_deg < 10 and 0 <= self.noise_deg < 10):  # or grains would fall apart
            raise MicrorunError(f"angles are 0 to 10 degrees; got {self.bend_deg:g} and {self.noise_deg:g}")


@dataclass(frozen=True)
class Raster:
    """Where the points of a map lie on a plane of cells.

    Parameters
    ----------
    rows, cols
        Numbers of points.
    step
        From point to point, in cells.
    first
        (row, column) of the first point's centre, in cells from the outer faces of the first cell.
    """

    rows: int
    cols: int
    step: float
    first: tuple[float, float]


def resample_grains(grains: NDArray[np.int32], raster: Raster) -> NDArray[np.int32]:
    """Find the grain of each point of a map.

    The four cells around a point vote by their nearness: boundaries that follow cells like stairs become smooth.

    Parameters
    ----------
    grains
        (y, x) int32.
    raster
        The map's points; those outside of the plane take the grain of its edge.

    Returns
    -------
    (rows, cols) int32
    """
    low, nearness, sides = [], [], zip((raster.rows, raster.cols), raster.first, grains.shape, strict=True)
    for count, first, side in sides:
        place = np.clip(first + raster.step * np.arange(count) - 0.5, 0, side - 1)
        below = np.minimum(place.astype(np.int64), max(side - 2, 0))
        low.append(np.stack([below, np.minimum(below + 1, side - 1)]))
        nearness.append(np.stack([1 - (place - below), place - below]))
    around = [(i, j) for i in (0, 1) for j in (0, 1)]
    seen = np.stack([grains[np.ix_(low[0][i], low[1][j])] for i, j in around])
    weight = np.stack([nearness[0][i][:, None] * nearness[1][j] for i, j in around])
    votes = np.stack([(weight * (seen == one)).sum(axis=0) for one in seen])
    chosen: NDArray[np.int32] = np.take_along_axis(seen, votes.argmax(axis=0)[None], axis=0)[0]
    return chosen


def find_boundaries(grains: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Points with another grain above, below, to the left or to the right.

    Parameters
    ----------
    grains
        (rows, cols) int32.
    """
    found = np.zeros(grains.shape, np.bool_)
    across, down = grains[:, 1:] != grains[:, :-1], grains[1:] != grains[:-1]
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found


def measure_map(
    grains: NDArray[np.int32], orientations: Float64, step_um: float, flaws: Flaws, generator: np.random.Generator
) -> OrientationMap:
    """Measure the orientations of grains, with flaws.

    Parameters
    ----------
    grains
        (rows, cols) int32 of `resample_grains`: rows of `orientations`.
    orientations
        (n, 3) float64 Bunge angles in radians.
    step_um
        From point to point.
    flaws
        How good the map is.
    generator
        Of all that is random.
    """
    found, place = np.unique(grains, return_inverse=True)
    turned = to_quaternions(orientations[found])[place.ravel()]
    turned = multiply(turned, small_rotations(_scatter(place.reshape(grains.shape), flaws, generator)))
    failed = generator.random(grains.shape) < _chances(find_boundaries(grains), flaws)
    phase = np.where(failed, -1, 1).astype(np.int32)
    return OrientationMap(to_euler(turned).reshape(*grains.shape, 3), phase, (step_um, step_um))


def random_orientations(count: int, generator: np.random.Generator) -> Float64:
    """Orientations of which each is as likely as any other.

    Returns
    -------
    (count, 3) float64
        Bunge angles in radians.
    """
    four = generator.normal(size=(count, 4))
    return to_euler(four / np.linalg.norm(four, axis=1, keepdims=True))


def to_euler(quaternions: Float64) -> Float64:
    """Bunge angles of unit quaternions: `to_quaternions` backwards.

    Parameters
    ----------
    quaternions
        (…, 4) float64.

    Returns
    -------
    (…, 3) float64
        phi1, Phi, phi2 in radians, from 0 on.
    """
    a, b, c, d = np.moveaxis(quaternions, -1, 0)
    total, difference = 2 * np.arctan2(d, a), 2 * np.arctan2(c, b)
    polar = 2 * np.arctan2(np.hypot(b, c), np.hypot(a, d))
    first, second = (total + difference) / 2, (total - difference) / 2
    return np.stack([first % (2 * np.pi), polar, second % (2 * np.pi)], axis=-1)


def multiply(one: Float64, other: Float64) -> Float64:
    """Product of quaternions, (n, 4) float64, scalar first (Hamilton's)."""
    a, b, c, d = one.T
    e, f, g, h = other.T
    return np.stack(
        [a * e - b * f - c * g - d * h, a * f + b * e + c * h - d * g,
         a * g - b * h + c * e + d * f, a * h + b * g - c * f + d * e], axis=1,
    )  # fmt: skip


def small_rotations(vectors: Float64) -> Float64:
    """Unit quaternions of rotation vectors.

    Parameters
    ----------
    vectors
        (n, 3) float64: axes, as long as the angle in radians.

    Returns
    -------
    (n, 4) float64
    """
    angle = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.concatenate([np.cos(angle / 2), vectors * np.sinc(angle / (2 * np.pi)) / 2], axis=1)


def _scatter(grains: NDArray[np.int64], flaws: Flaws, generator: np.random.Generator) -> Float64:
    """Rotation vectors (points, 3) by which points are turned against their grains, numbered from 0."""
    flat = grains.ravel()
    size = np.bincount(flat)
    places = [axis.ravel().astype(np.float64) for axis in np.indices(grains.shape)]
    apart = np.stack([place - (np.bincount(flat, place) / size)[flat] for place in places], axis=1)
    spread = np.sqrt(np.bincount(flat, (apart**2).sum(axis=1)) / size)
    apart /= np.maximum(spread, 1e-12)[flat, None]  # grains of one point have no extent, and are not bent
    bend = generator.normal(scale=math.radians(flaws.bend_deg) / math.sqrt(3), size=(len(size), 3, 2))
    noise = generator.normal(scale=math.radians(flaws.noise_deg) / math.sqrt(3), size=(len(flat), 3))
    vectors: Float64 = np.einsum("nij,nj->ni", bend[flat], apart) + noise
    return vectors


def _chances(boundary: NDArray[np.bool_], flaws: Flaws) -> Float64:
    """Chance of each point not to be indexed."""
    share = float(boundary.mean())
    on = min(flaws.unindexed * flaws.on_boundaries / share, LIKELIEST) if share else 0.0
    off = (flaws.unindexed - on * share) / (1 - share) if share < 1 else 0.0
    return np.where(boundary, on, off)
