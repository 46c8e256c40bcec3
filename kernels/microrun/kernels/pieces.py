"""Pieces of a mask: voxels that hang together by their faces, found from runs along x."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import exact_kernel
from microrun.kernels.union_find import find_root, number_roots, unite

BLOCK = 64  # voxels that are looked at together


class Runs(NamedTuple):
    """Filled voxels one after another along x: where each starts and ends, and its parent."""

    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    parents: NDArray[np.int64]


@exact_kernel
def measure_pieces(filled: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the voxels of the pieces of a mask.

    Parameters
    ----------
    filled
        (Z, Y, X) uint8, 1 or 0.

    Returns
    -------
    (pieces,) int64
        Voxels of each, in the order of their first ones.
    """
    return _count_voxels(_join_runs(filled)[1])


@exact_kernel
def drop_pieces(filled: NDArray[np.uint8], least: int) -> None:
    """Empty the pieces of a mask below a size.

    Parameters
    ----------
    filled
        (Z, Y, X) uint8, 1 or 0, changed in place.
    least
        The size in voxels.
    """
    rows = filled.shape[1]
    firsts, runs = _join_runs(filled)
    sizes = _count_voxels(runs)
    for line in range(firsts.size - 1):
        for run in range(firsts[line], firsts[line + 1]):
            if sizes[runs.parents[run]] < least:
                filled[line // rows, line % rows, runs.starts[run] : runs.ends[run]] = 0


@exact_kernel
def _join_runs(filled: NDArray[np.uint8]) -> tuple[NDArray[np.int64], Runs]:
    """The number of the first run of each line, and runs whose parents are the numbers of their pieces."""
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
    number_roots(runs.parents)
    return firsts, runs


@exact_kernel
def _count_voxels(runs: Runs) -> NDArray[np.int64]:
    pieces = runs.parents.max() + 1 if runs.parents.size else 0
    sizes = np.zeros(pieces, np.int64)
    for run in range(runs.parents.size):
        sizes[runs.parents[run]] += runs.ends[run] - runs.starts[run]
    return sizes


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


@exact_kernel
def bridge_pieces(pieces: NDArray[np.int32], filled: NDArray[np.uint8]) -> None:
    """Fill the voxels between pieces that touch along an edge, or else at a corner, until no two do.

    Parameters
    ----------
    pieces
        (Z, Y, X) int32: the piece of each voxel, −1 where it is empty.
    filled
        (Z, Y, X) uint8, 1 or 0, changed in place: one voxel for an edge, two for a corner, those next to the lower
        voxel along z, or else along y.
    """
    depth, rows, cols = pieces.shape
    parents = np.arange(pieces.max() + 1)
    for squared in range(2, 4):
        for z in range(depth):
            for y in range(rows):
                for x in range(cols):
                    if pieces[z, y, x] >= 0:
                        _bridge(pieces, (z, y, x), squared, parents, filled)


@exact_kernel
def _bridge(
    pieces: NDArray[np.int32], place: tuple[int, int, int], squared: int, parents: NDArray[np.int64],
    filled: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Join a voxel to those at a squared distance whose pieces are others; each pair is looked at once."""
    z, y, x = place
    depth, rows, cols = pieces.shape
    for dz in range(2):
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                if abs(dz) + abs(dy) + abs(dx) != squared or (dz == 0 and dy < 0):
                    continue
                w, v, u = z + dz, y + dy, x + dx
                if w >= depth or not 0 <= v < rows or not 0 <= u < cols or pieces[w, v, u] < 0:
                    continue
                if find_root(parents, pieces[z, y, x]) == find_root(parents, pieces[w, v, u]):
                    continue
                unite(parents, pieces[z, y, x], pieces[w, v, u])
                filled[w, y, x] = filled[w, v, x] = 1
