"""Neighbours that are turned against each other as in a measured map: grains swap orientations, so that the texture
stays what it is."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.misorientations import BINS, measure_distance, measure_pairs, swap_orientations
from microrun.runtime.array_types import Float64
from microrun.runtime.errors import TextureError
from microrun.runtime.maps.orientations import GRAIN_DEG, point_group
from microrun.runtime.progress import Progress
from microrun.runtime.sections.grain_map import to_quaternions
from microrun.runtime.textures.measured import MeasuredMap
from microrun.runtime.textures.neighbours import Touching

ROUNDS = 60  # at most
TRIES = 10  # a grain and round
ENOUGH = 1e-3  # share of the first distance that a round must gain


@dataclass(frozen=True)
class Matched:
    """How near the misorientations of neighbours came to those of a map.

    Parameters
    ----------
    before_deg, after_deg
        Area between the two cumulative curves, in degrees.
    swaps
        Number of swaps.
    """

    before_deg: float
    after_deg: float
    swaps: int


def measure_boundaries(measured: MeasuredMap) -> Float64:
    """Histogram of the misorientation at a map's grain boundaries, by their length.

    Parameters
    ----------
    measured
        The map; neighbouring points that are turned against each other by 5° or more lie at a boundary.

    Returns
    -------
    (BINS,) float64
        Shares of angles in bins of one degree.

    Raises
    ------
    TextureError
        If there is no boundary.
    """
    pairs = measured.pairs[measured.indexed[measured.pairs].all(axis=1)]
    angles = measure_angles(measured.euler, pairs, measured.crystal.symmetry)
    angles = angles[angles >= GRAIN_DEG]
    if not len(angles):
        raise TextureError(f"{measured.source}: no neighbours are turned by {GRAIN_DEG:g}° or more: it has no boundary")
    return _count(angles, np.ones(len(angles)))


def measure_angles(euler: Float64, pairs: NDArray[np.int64], symmetry: str) -> Float64:
    """Misorientation angles.

    Parameters
    ----------
    euler
        (n, 3) Bunge angles in radians.
    pairs
        (m, 2) int64.
    symmetry
        Laue group of all crystals.

    Returns
    -------
    (m,) float64 in degrees
    """
    angles = np.empty(len(pairs))
    measure_pairs(to_quaternions(euler), np.ascontiguousarray(pairs), find_operators(symmetry), angles)
    return angles


def find_operators(symmetry: str) -> Float64:
    """Rotations of a Laue group, (n, 4) float64 unit quaternions."""
    group = point_group(symmetry)
    return np.ascontiguousarray(group[~group.improper].data, np.float64)


def match(
    euler: Float64, touching: Touching, target: Float64, symmetry: str, generator: np.random.Generator
) -> Generator[Progress, None, tuple[Float64, Matched]]:
    """Swap the orientations of grains until their neighbours are turned against each other as the target says.

    Parameters
    ----------
    euler
        (n, 3) Bunge angles in radians of grains 0 to n − 1.
    touching
        Pairs of these grains.
    target
        From `measure_boundaries`.
    symmetry
        Laue group of the crystals.
    generator
        Of random numbers.

    Returns
    -------
    generator of Progress
        A job whose result are the angles in their new order, (n, 3) float64, and how well they match.

    Raises
    ------
    TextureError
        If no grains touch.
    """
    if not len(touching.faces):
        raise TextureError("no two grains of the volume touch, so that there are no misorientations to match")
    which, count = np.arange(len(euler)), len(euler)
    shares = touching.faces / touching.faces.sum()
    histogram = _count(measure_angles(euler, touching.pairs, symmetry), shares)
    rotations, operators = to_quaternions(euler), find_operators(symmetry)
    neighbours = _list_neighbours(touching.pairs, shares, count)
    before, swaps = measure_distance(histogram, target), 0
    distance = before
    for done in range(ROUNDS):
        yield Progress(done, ROUNDS, f"{distance:.2f}° from the map")
        candidates = generator.integers(0, count, (TRIES * count, 2))
        swaps += swap_orientations(which, rotations, operators, neighbours, candidates, histogram, target)
        gained, distance = distance - measure_distance(histogram, target), measure_distance(histogram, target)
        if gained < ENOUGH * before:
            break
    return euler[which], Matched(before, distance, swaps)


def _count(angles: Float64, weights: Float64) -> Float64:
    counted = np.bincount(np.minimum(angles.astype(np.int64), BINS - 1), weights, BINS)
    shares: Float64 = counted / weights.sum()
    return shares


def _list_neighbours(
    pairs: NDArray[np.int64], shares: Float64, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Float64]:
    """Neighbours of all grains one after the other, as `swap_orientations` takes them."""
    ends, others, weights = pairs.T.ravel(), pairs[:, ::-1].T.ravel(), np.tile(shares, 2)
    order = np.argsort(ends, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=count))])
    return starts, others[order], weights[order]
