"""Binning of patterns by area: every output pixel is the mean over the input area that it covers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import fast_kernel

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]


def area_weights(
    size: int, out_size: int, start: float = 0.0, stop: float | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Weights that resample one axis by area.

    Parameters
    ----------
    size, out_size
        Pixels along the axis before and after.
    start, stop
        Where the output begins and ends, in input pixels from the input's begin; it may reach beyond either end. By
        default it takes all of the input.

    Returns
    -------
    first : (out_size,) int64
        Index of the first input pixel that each output pixel touches.
    weights : (out_size, k) float32
        Shares of the k pixels from ``first`` on; each row sums to 1, unused places are 0. Of an output pixel that lies
        partly beside the input the part within counts; all are 0 where none of it does.
    """
    edges = start + np.arange(out_size + 1) * (((size if stop is None else stop) - start) / out_size)
    # Rounding may put an edge a hair beside the whole number that it is.
    edges = np.where(np.abs(edges - np.round(edges)) < 1e-9, np.round(edges), edges).clip(0, size)
    first = np.floor(edges[:-1]).astype(np.int64)
    stops = np.ceil(edges[1:]).astype(np.int64)
    pixels = first[:, None] + np.arange(int((stops - first).max()))
    overlap = np.minimum(pixels + 1, edges[1:, None]) - np.maximum(pixels, edges[:-1, None])
    weights = np.clip(overlap, 0, None)
    total = weights.sum(axis=1, keepdims=True)
    return first, (weights / np.where(total > 0, total, 1)).astype(np.float32)


@fast_kernel
def bin_whole(pattern: Any, factor: int, out: Any) -> None:
    """Average blocks of factor×factor pixels.

    Parameters
    ----------
    pattern
        (H·factor, W·factor) uint8 or uint16.
    factor
        Pixels per block and axis, at most 255.
    out
        (H, W) float32.
    """
    rows, cols = out.shape
    width = cols * factor
    scale = np.float32(1.0 / (factor * factor))
    sums = np.empty(width, np.uint32)
    for i in range(rows):
        top = i * factor
        if factor == 4:
            for x in range(width):
                sums[x] = (
                    np.uint32(pattern[top, x])
                    + np.uint32(pattern[top + 1, x])
                    + np.uint32(pattern[top + 2, x])
                    + np.uint32(pattern[top + 3, x])
                )
            for j in range(cols):
                x = 4 * j
                out[i, j] = np.float32(sums[x] + sums[x + 1] + sums[x + 2] + sums[x + 3]) * scale
            continue
        for x in range(width):
            sums[x] = pattern[top, x]
        for y in range(top + 1, top + factor):
            for x in range(width):
                sums[x] += np.uint32(pattern[y, x])
        for j in range(cols):
            total = np.uint32(0)
            for x in range(j * factor, (j + 1) * factor):
                total += sums[x]
            out[i, j] = np.float32(total) * scale


@fast_kernel
def bin_area(pattern: Any, row_first: Any, row_weights: Any, col_first: Any, col_weights: Any, out: Any) -> None:
    """Average the exact area under each output pixel.

    Parameters
    ----------
    pattern
        (h, w) uint8, uint16 or float32.
    row_first, row_weights, col_first, col_weights
        From `area_weights`, for (h, H) and (w, W).
    out
        (H, W) float32.
    """
    rows, cols = out.shape
    height, width = pattern.shape
    sums = np.empty(width, np.float32)
    for i in range(rows):
        sums[:] = 0
        for k in range(row_weights.shape[1]):
            weight = row_weights[i, k]
            y = min(row_first[i] + k, height - 1)
            for x in range(width):
                sums[x] += weight * np.float32(pattern[y, x])
        for j in range(cols):
            total = np.float32(0)
            for k in range(col_weights.shape[1]):
                total += col_weights[j, k] * sums[min(col_first[j] + k, width - 1)]
            out[i, j] = total
