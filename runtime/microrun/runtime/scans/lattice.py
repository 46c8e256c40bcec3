"""Neighbours on the grid of a map: pairs of points, means over pairs, connected regions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.scans.scan import Scan

Pairs = NDArray[np.int64]


def neighbour_pairs(scan: Scan) -> Pairs:
    """All pairs of neighbouring points, each once: 4 neighbours on a square grid, 6 on a hexagonal one.

    Parameters
    ----------
    scan
        Geometry.

    Returns
    -------
    (pairs, 2) int64
        Numbers of points, row · cols + col. Points without a pattern have no neighbours.
    """
    exists = scan.exists()
    numbers = np.arange(exists.size).reshape(exists.shape)
    pairs = [_pair(numbers[:, :-1], numbers[:, 1:]), _pair(numbers[:-1], numbers[1:])]
    if scan.grid == "hexagonal":  # a shifted row's point touches the next column of the rows above and below
        shifted, other = slice(None, -1), slice(1, None)
        even, odd = (shifted, other) if scan.first_shifted else (other, shifted)
        pairs.append(_pair(numbers[:-1:2, even], numbers[1::2, odd]))
        pairs.append(_pair(numbers[1:-1:2, odd], numbers[2::2, even]))
    joined = np.concatenate(pairs)
    return joined[exists.ravel()[joined].all(axis=1)]


def mean_over_pairs(values: Float64, pairs: Pairs, shape: tuple[int, int]) -> Float64:
    """Mean of the values of all pairs that a point belongs to.

    Parameters
    ----------
    values
        (pairs,) float64; those that are not finite do not count.
    pairs
        (pairs, 2) from `neighbour_pairs`.
    shape
        (rows, cols) of the map.

    Returns
    -------
    (rows, cols) float64, NaN where no pair counts
    """
    counts = np.isfinite(values)
    points = pairs[counts].T.ravel()
    size = shape[0] * shape[1]
    total = np.bincount(points, np.tile(values[counts], 2), size)
    count = np.bincount(points, minlength=size)
    mean: Float64 = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)
    return mean


def connect(linked: Pairs, valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Connected regions of a map.

    Parameters
    ----------
    linked
        (n, 2) pairs of points that belong together.
    valid
        (rows, cols) bool; other points belong to no region.

    Returns
    -------
    (rows, cols) int64
        Regions, numbered from 0 in the order of their first points; −1 where not valid.
    """
    return connect_pieces([(0, linked)], valid)


def connect_pieces(pieces: Iterable[tuple[int, Pairs]], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Connected regions of a map whose pairs come piece by piece.

    Parameters
    ----------
    pieces
        Number of a point, and (n, 2) pairs of points that belong together, counted from that point.
    valid
        As `connect` takes it.

    Returns
    -------
    (rows, cols) int64
        As of `connect`.
    """
    from microrun.kernels.union_find import number_roots, unite_pairs

    parents = np.where(valid.ravel(), np.arange(valid.size), -1)
    for first, linked in pieces:
        unite_pairs(parents, linked, first)
    number_roots(parents)
    return parents.reshape(valid.shape)


def _pair(one: NDArray[np.int64], other: NDArray[np.int64]) -> Pairs:
    return np.stack([one.ravel(), other.ravel()], axis=1)


def to_square_pixels(image: Float64, hexagonal: bool, first_shifted: bool = False) -> Float64:
    """Image whose pixels show a hexagonal grid at its true positions.

    Parameters
    ----------
    image
        (rows, cols) or (rows, cols, channels).
    hexagonal
        False returns the image as it is.
    first_shifted
        Even rows lie half a step to the right, in place of odd ones.

    Returns
    -------
    (rows, 2·cols + 1, …), NaN beside the rows
    """
    if not hexagonal:
        return image
    rows, cols = image.shape[:2]
    wide = np.full((rows, 2 * cols + 1, *image.shape[2:]), np.nan)
    doubled = np.repeat(image, 2, axis=1)
    left, right = (slice(first_shifted, None, 2), slice(not first_shifted, None, 2))
    wide[left, :-1] = doubled[left]
    wide[right, 1:] = doubled[right]
    return wide
