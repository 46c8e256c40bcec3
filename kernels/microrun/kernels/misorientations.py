"""Misorientation angles between crystals, and swaps of orientations that bring their distribution to another one."""

from __future__ import annotations

from typing import Any

import numpy as np

from microrun.kernels.compiling import exact_kernel

BINS = 180  # of one degree


@exact_kernel
def measure_angle(one: Any, other: Any, operators: Any) -> float:
    """Smallest angle between two orientations, of all that the crystal's symmetry makes equal.

    Parameters
    ----------
    one, other
        (4,) unit quaternions that turn the sample's axes into the crystal's.
    operators
        (n, 4) unit quaternions of the rotations of the crystal's group.

    Returns
    -------
    float
        In degrees.
    """
    a, b, c, d = one[0], one[1], one[2], one[3]
    e, f, g, h = other[0], other[1], other[2], other[3]
    # From one crystal to the other, in the crystal's own axes.
    p, q = a * e + b * f + c * g + d * h, a * f - b * e - c * h + d * g
    r, s = a * g + b * h - c * e - d * f, a * h - b * g + c * f - d * e
    most = 0.0
    for n in range(operators.shape[0]):
        most = max(most, abs(operators[n, 0] * p + operators[n, 1] * q + operators[n, 2] * r + operators[n, 3] * s))
    angle: float = np.rad2deg(2 * np.arccos(min(most, 1.0)))
    return angle


@exact_kernel
def measure_pairs(rotations: Any, pairs: Any, operators: Any, out: Any) -> None:
    """Measure the angles between pairs of orientations.

    Parameters
    ----------
    rotations
        (n, 4) unit quaternions.
    pairs
        (m, 2) integers, their numbers.
    operators
        As `measure_angle` takes them.
    out
        (m,) float64, written: degrees.
    """
    for m in range(pairs.shape[0]):
        out[m] = measure_angle(rotations[pairs[m, 0]], rotations[pairs[m, 1]], operators)


@exact_kernel
def measure_distance(histogram: Any, target: Any) -> float:
    """Distance of two distributions of angles: the area between their cumulative curves, in degrees.

    Parameters
    ----------
    histogram
        (BINS,) float64, sum 1.
    target
        The other one.

    Returns
    -------
    float
    """
    area, ahead = 0.0, 0.0
    for n in range(BINS):
        ahead += histogram[n] - target[n]
        area += abs(ahead)
    return area


@exact_kernel
def swap_orientations(
    which: Any, rotations: Any, operators: Any, neighbours: Any, candidates: Any, histogram: Any, target: Any
) -> int:
    """Swap the orientations of two grains wherever this brings the distribution of angles nearer to the target.

    Parameters
    ----------
    which
        (grains,) int64, the orientation of each grain, changed in place.
    rotations, operators
        As `measure_pairs` takes them.
    neighbours
        Of grain n the entries from starts[n] to starts[n + 1] of others and shares: (grains + 1,) and (m,) int64, and
        (m,) float64, what the pair weighs in the histogram.
    candidates
        (k, 2) int64, pairs of grains to try.
    histogram
        (BINS,) float64, of the grains as they are; changed in place.
    target
        (BINS,) float64, what it shall be.

    Returns
    -------
    int
        Number of swaps.
    """
    starts, others, shares = neighbours
    swaps, distance = 0, measure_distance(histogram, target)
    tried = np.empty_like(histogram)
    for k in range(candidates.shape[0]):
        first, second = candidates[k, 0], candidates[k, 1]
        tried[:] = histogram
        for turn in range(2):
            grain, partner = (first, second) if turn == 0 else (second, first)
            before, after = rotations[which[grain]], rotations[which[partner]]
            for m in range(starts[grain], starts[grain + 1]):
                if others[m] != partner:  # whose angle stays
                    other = rotations[which[others[m]]]
                    tried[min(int(measure_angle(before, other, operators)), BINS - 1)] -= shares[m]
                    tried[min(int(measure_angle(after, other, operators)), BINS - 1)] += shares[m]
        found = measure_distance(tried, target)
        if first != second and found < distance:
            which[first], which[second] = which[second], which[first]
            histogram[:] = tried
            distance = found
            swaps += 1
    return swaps
