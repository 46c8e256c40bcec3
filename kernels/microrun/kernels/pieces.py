"""Pieces of a mask: voxels that hang together by their faces, found from runs along x."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import exact_kernel
from microrun.kernels.union_find import number_roots, unite

BLOCK = 64  # voxels that are looked at together


class Runs(NamedTuple):
    """Filled voxels one after another along x: where each starts and ends, and its parent."""

    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    parents: NDArray[np.int64]


@exact_kernel
def count_pieces(filled: NDArray[np.uint8]) -> tuple[int, int]:
    """Count the pieces of a mask.

    Parameters
    ----------
    filled
        (Z, Y, X) uint8, 1 or 0.

    Returns
    -------
    pieces, largest
        How many there are, and the voxels of the largest.
    """
    planes, rows, _ = filled.shape
    firsts = _count_runs(filled)
    count = firsts[-1]
    runs = Runs(np.empty(count, np.int32), np.empty(count, np.int32), np.arange(count))
    for line in range(planes * rows):
        if firsts[line] < firsts[line + 1]:
            _find_runs(filled[line // rows, line % rows], firsts[line], runs)
        if line % rows > 0:
            _join_lines(firsts, line - 1, line, runs)
        if line >= rows:
            _join_lines(firsts, line - rows, line, runs)
    pieces = number_roots(runs.parents)
    sizes = np.zeros(pieces + 1, np.int64)  # one more, for there may be none
    for run in range(count):
        sizes[runs.parents[run]] += runs.ends[run] - runs.starts[run]
    return pieces, sizes.max()


@exact_kernel
def _count_runs(filled: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of the first run of each line, and of all runs at the end."""
    planes, rows, cols = filled.shape
    firsts = np.zeros(planes * rows + 1, np.int64)
    for line in range(planes * rows):
        voxels = filled[line // rows, line % rows]
        runs = np.uint32(voxels[0])
        for x in range(1, cols):
            runs += np.uint32(voxels[x] & ~voxels[x - 1])
        firsts[line + 1] = firsts[line] + runs
    return firsts


@exact_kernel
def _find_runs(voxels: NDArray[np.uint8], first: int, out: Runs) -> None:
    """Note the runs of a line, whose first has a number."""
    start, end, before = first, first, 0
    for low in range(0, voxels.size, BLOCK):
        block = voxels[low : low + BLOCK]
        if _sum(block) == before * block.size:  # all are as the one before, as most
            continue
        for x in range(block.size):
            if block[x] > before:
                out.starts[start] = low + x
                start += 1
            elif block[x] < before:
                out.ends[end] = low + x
                end += 1
            before = block[x]
    if before:
        out.ends[end] = voxels.size


@exact_kernel
def _sum(block: NDArray[np.uint8]) -> int:
    total = np.uint32(0)
    for x in range(block.size):
        total += np.uint32(block[x])
    return int(total)


@exact_kernel
def _join_lines(firsts: NDArray[np.int64], earlier: int, line: int, runs: Runs) -> None:
    """Unite the runs of a line with those of an earlier one that they touch."""
    one, other = firsts[earlier], firsts[line]
    while one < firsts[earlier + 1] and other < firsts[line + 1]:
        if runs.starts[one] < runs.ends[other] and runs.starts[other] < runs.ends[one]:
            unite(runs.parents, one, other)
        if runs.ends[one] < runs.ends[other]:
            one += 1
        else:
            other += 1
