"""Segments of a point or two that mixed patterns leave at boundaries: each goes to the neighbour that is most like it.

A clump of small segments inside a grain may be a particle, and stays. So does one that is no line of points: it
is a region of its own, such as a pore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.scans.lattice import Pairs

LEAST_POINTS = 3  # of a segment that stays

Slab = tuple[int, Pairs, Float64]
Numbers = NDArray[np.int64]


def absorb_speckles(segments: Numbers, slabs: Callable[[], Iterable[Slab]]) -> tuple[Numbers, int]:
    """Give small segments between large ones to these.

    Parameters
    ----------
    segments
        (rows, cols) int64, numbered from 0; negative where there is nothing.
    slabs
        Each call goes over all pairs of neighbours: the number of a point, (n, 2) pairs that are counted from it, and
        their (n,) distances, NaN where one has none.

    Returns
    -------
    segments : (rows, cols) int64
        Numbered from 0 in the order of their first points.
    absorbed : int
        Segments that went.
    """
    before = int(segments.max(initial=-1)) + 1
    small = np.bincount(segments[segments >= 0], minlength=before) < LEAST_POINTS
    one, other, distance = _borders_of_small(segments.ravel(), small, slabs())
    reached = (small & _lie_between(one, other, small))[one] & ~small[other]
    mine, target, apart = one[reached], other[reached], distance[reached]
    order = np.lexsort((target, apart, mine))
    nearest = order[np.unique(mine[order], return_index=True)[1]]
    becomes = np.arange(before)
    becomes[mine[nearest]] = target[nearest]
    kept = becomes == np.arange(before)
    labels = np.where(segments >= 0, becomes[np.maximum(segments, 0)], -1) if before else segments
    return _in_order(labels), int(before - kept.sum())


def _borders_of_small(labels: Numbers, small: NDArray[np.bool_], slabs: Iterable[Slab]) -> tuple[Numbers, ...]:
    """Small segment, the segment beside it, and the distance, for each pair of points where two meet."""
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for first, pairs, distances in slabs:
        ends = labels[pairs + first]
        meet = (ends >= 0).all(axis=1) & (ends[:, 0] != ends[:, 1]) & np.isfinite(distances)
        for mine, other in ((0, 1), (1, 0)):
            here = meet & small[ends[:, mine]]
            found.append((ends[here, mine], ends[here, other], distances[here]))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def _lie_between(one: Numbers, other: Numbers, small: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each segment, whether its clump of small ones touches two large ones or more, and each member one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    inside = small[other]
    links = coo_array((np.ones(inside.sum()), (one[inside], other[inside])), shape=(len(small), len(small)))
    _, clump = connected_components(links, directed=False)
    touched = np.unique(np.stack([clump[one[~inside]], other[~inside]], axis=1), axis=0)[:, 0]
    inner = small.copy()  # members that touch small ones only
    inner[one[~inside]] = False
    deep = np.bincount(clump[inner], minlength=len(small)) > 0
    between: NDArray[np.bool_] = ((np.bincount(touched, minlength=len(small)) >= 2) & ~deep)[clump]
    return between


def _in_order(labels: Numbers) -> Numbers:
    """The same regions, numbered by their first points."""
    kept, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    missing = int(len(kept) > 0 and kept[0] < 0)
    first[:missing] = -1
    return (np.argsort(np.argsort(first))[inverse] - missing).reshape(labels.shape)
