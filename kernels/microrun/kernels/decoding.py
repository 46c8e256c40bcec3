"""Colours of a block from the bits that a denoiser says, without specks.

Bits are decided independently of each other: between two grains some of them are of the one and some of the other, and
the colour that they make together is of neither. A voxel may therefore only take the colour of a grain that it lies in
or beside. What is no grain is decided anew from the grains inward: of the colours of grains that touch it by a face
the likeliest one, p(c) ∝ n(c) · Π p(bit), with n(c) of its 26 neighbours in such a grain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import exact_kernel
from microrun.kernels.union_find import number_roots, unite

LEAST = 1e-6  # probability of a bit that is said with certainty not to be


@exact_kernel
def number_pieces(colours: NDArray[np.int8], pieces: NDArray[np.int32]) -> int:
    """Number the pieces of a block: voxels of one colour that hang together by their faces.

    Parameters
    ----------
    colours
        (Z, Y, X) int8.
    pieces
        (Z, Y, X) int32, written: the piece of every voxel.

    Returns
    -------
    int
        How many there are.
    """
    depth, rows, cols = colours.shape
    flat = pieces.reshape(-1)
    for voxel in range(flat.size):
        flat[voxel] = voxel
    for z in range(depth):
        for y in range(rows):
            for x in range(cols):
                here, colour = (z * rows + y) * cols + x, colours[z, y, x]
                if x > 0 and colours[z, y, x - 1] == colour:
                    unite(flat, here - 1, here)
                if y > 0 and colours[z, y - 1, x] == colour:
                    unite(flat, here - cols, here)
                if z > 0 and colours[z - 1, y, x] == colour:
                    unite(flat, here - rows * cols, here)
    return number_roots(flat)


@exact_kernel
def settle(values: NDArray[np.float32], colours: NDArray[np.int8], is_settled: NDArray[np.bool_]) -> int:
    """Give voxels beside settled ones their colours, once.

    Parameters
    ----------
    values
        (bits, Z, Y, X) float32: 2·p − 1 of each bit's probability p of being 1.
    colours
        (Z, Y, X) int8, changed in place where a voxel is settled.
    is_settled
        (Z, Y, X) bool, changed in place. What is settled in this round does not count in it, so that the order of the
        voxels does not matter.

    Returns
    -------
    int
        Number of voxels that were settled.
    """
    depth, rows, cols = colours.shape
    chosen = np.full(colours.shape, -1, np.int16)
    found = 0
    for z in range(depth):
        for y in range(rows):
            for x in range(cols):
                if not is_settled[z, y, x]:
                    chosen[z, y, x] = likeliest_beside(values, colours, is_settled, (z, y, x))
                    found += chosen[z, y, x] >= 0
    for z in range(depth):
        for y in range(rows):
            for x in range(cols):
                if chosen[z, y, x] >= 0:
                    colours[z, y, x], is_settled[z, y, x] = chosen[z, y, x], True
    return found


@exact_kernel
def likeliest_beside(
    values: NDArray[np.float32], colours: NDArray[np.int8], is_settled: NDArray[np.bool_], voxel: Any
) -> int:
    """Give the likeliest colour of the settled voxels that touch one by a face; −1 if none does."""
    z, y, x = voxel
    best, likeliest = -1, -np.inf
    for axis in range(3):
        for side in (-1, 1):
            nz, ny, nx = z + side * (axis == 0), y + side * (axis == 1), x + side * (axis == 2)
            if not is_within(colours.shape, nz, ny, nx) or not is_settled[nz, ny, nx]:
                continue
            colour = colours[nz, ny, nx]
            likelihood = np.log(count_around(colours, is_settled, voxel, colour)) + log_odds(values, voxel, colour)
            if likelihood > likeliest or (likelihood == likeliest and colour < best):
                best, likeliest = colour, likelihood
    return best


@exact_kernel
def is_within(shape: Any, z: int, y: int, x: int) -> bool:
    """Say whether a voxel lies in the block."""
    return bool(0 <= z < shape[0] and 0 <= y < shape[1] and 0 <= x < shape[2])


@exact_kernel
def count_around(colours: NDArray[np.int8], is_settled: NDArray[np.bool_], voxel: Any, colour: int) -> int:
    """Count the settled ones of a voxel's 26 neighbours that have a colour."""
    count = 0
    for z in range(max(voxel[0] - 1, 0), min(voxel[0] + 2, colours.shape[0])):
        for y in range(max(voxel[1] - 1, 0), min(voxel[1] + 2, colours.shape[1])):
            for x in range(max(voxel[2] - 1, 0), min(voxel[2] + 2, colours.shape[2])):
                count += is_settled[z, y, x] and colours[z, y, x] == colour
    return count


@exact_kernel
def log_odds(values: NDArray[np.float32], voxel: Any, colour: int) -> float:
    """Give the logarithm of the probability that a voxel's bits are those of a colour."""
    total = 0.0
    for bit in range(values.shape[0]):
        value = np.float64(values[bit, voxel[0], voxel[1], voxel[2]])
        chance = (1 + value) / 2 if colour >> bit & 1 else (1 - value) / 2
        total += np.log(max(chance, LEAST))
    return total
