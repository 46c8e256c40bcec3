"""Rules of who is a neighbour on a lattice of values: DBSCAN's, and that of connected components.

A voxel is the point (z, y, x, value × scale). Within eps < 2 of it lie its 26 neighbours at most, so that each of
their three distances allows one largest difference of values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rule(NamedTuple):
    """When voxels are neighbours, and when they are cores.

    Parameters
    ----------
    limits
        (4,) float64, the largest difference of scaled values over a squared distance of 0, 1, 2 and 3 voxels; −1 where
        even equal values are too far.
    scale
        Factor of the values.
    min_samples
        Neighbours that make a core voxel, itself among them.
    """

    limits: NDArray[np.float64]
    scale: float
    min_samples: int


def dbscan_rule(eps: float, min_samples: int, scale: float) -> Rule:
    """Rule of scikit-learn's ``DBSCAN(eps, min_samples)`` on (z, y, x, value × scale).

    Parameters
    ----------
    eps
        Largest distance of neighbours, above 0 and below 2.
    min_samples
        Neighbours that make a core voxel, itself among them; 1 or more.
    scale
        Factor of the values, positive and finite.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    if not 0 < eps < 2:
        raise ValueError(f"eps must be above 0 and below 2, where only the 26 neighbours count; got {eps}")
    if min_samples < 1:
        raise ValueError(f"min_samples must be 1 or more; got {min_samples}")
    if not 0 < scale < np.inf:
        raise ValueError(f"the value scale must be a positive number; got {scale}")
    limits = [np.inf, *(largest_difference(squared_steps, eps * eps) for squared_steps in (1, 2, 3))]
    return Rule(np.array(limits), float(scale), min_samples)


def component_rule(neighbours: int) -> Rule:
    """Rule of connected components of the same value.

    Parameters
    ----------
    neighbours
        6, those that share a face, or 26.

    Raises
    ------
    ValueError
        For another number of neighbours.
    """
    if neighbours not in (6, 26):
        raise ValueError(f"components have 6 or 26 neighbours; got {neighbours}")
    far = 0.0 if neighbours == 26 else -1.0
    return Rule(np.array([np.inf, 0.0, far, far]), 1.0, 1)


def largest_difference(squared_steps: int, squared_eps: float) -> float:
    """Largest double d with squared_steps + d² ≤ squared_eps as scikit-learn rounds it.

    The left side never falls with d, so the search halves an interval of bit patterns, which are ordered like the
    doubles they stand for.

    Parameters
    ----------
    squared_steps
        Squared distance of two voxels: 1, 2 or 3.
    squared_eps
        Square of the largest distance of neighbours, below 4.

    Returns
    -------
    float
        The difference of scaled values; −1 where even equal values are too far.
    """
    if squared_steps > squared_eps:
        return -1.0
    low, high = 0, int(np.float64(2).view(np.int64))
    while high - low > 1:
        middle = (low + high) // 2
        difference = float(np.int64(middle).view(np.float64))
        if squared_steps + difference * difference <= squared_eps:
            low = middle
        else:
            high = middle
    return float(np.int64(low).view(np.float64))
