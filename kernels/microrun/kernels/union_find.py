"""Union-find in arrays of parents: who belongs together ends under the one that comes first.

A root is its own parent. Parents never stand after their children, and negative entries belong to nobody.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from microrun.kernels.compiling import exact_kernel


@exact_kernel
def find_root(parents: NDArray[Any], i: int) -> int:
    """Root of a member; the way to it becomes shorter.

    Parameters
    ----------
    parents
        (n,) integers, changed in place.
    i
        Place of the member.
    """
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@exact_kernel
def unite(parents: NDArray[Any], one: int, other: int) -> None:
    """Put two trees under the root that comes first.

    Parameters
    ----------
    parents
        (n,) integers, changed in place.
    one, other
        Places of a member of each.
    """
    one, other = find_root(parents, one), find_root(parents, other)
    if one < other:
        parents[other] = one
    else:
        parents[one] = other


@exact_kernel
def unite_pairs(parents: NDArray[Any], pairs: NDArray[Any], first: int) -> None:
    """Put the trees of both members of each pair under the root that comes first.

    Parameters
    ----------
    parents
        (n,) integers, changed in place.
    pairs
        (pairs, 2) integers; pairs with a member that belongs to nobody do nothing.
    first
        Place of the member that the pairs call 0.
    """
    for i in range(pairs.shape[0]):
        one, other = pairs[i, 0] + first, pairs[i, 1] + first
        if parents[one] >= 0 and parents[other] >= 0:
            unite(parents, one, other)


@exact_kernel
def number_roots(parents: NDArray[Any]) -> int:
    """Replace parents by the rank of their root.

    Parents never stand after their children, so that each has its number when a child asks.

    Parameters
    ----------
    parents
        (n,) integers, changed in place; negative ones stay.

    Returns
    -------
    int
        Number of roots.
    """
    roots = 0
    for i in range(parents.size):
        parent = parents[i]
        if parent == i:
            parents[i] = roots
            roots += 1
        elif parent >= 0:
            parents[i] = parents[parent]
    return roots
