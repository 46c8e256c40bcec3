"""Filling of bad pixels from the good ones around them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Raw
from microrun.runtime.errors import ScanError

NEAREST = 4

PixelsT = TypeVar("PixelsT", Raw, Float32, Raw | Float32)


class PixelFilling:
    """Fill bad pixels with the mean of the four good ones that are nearest.

    Parameters
    ----------
    bad
        (rows, cols) bool, of the detector's shape, True for bad pixels.

    Raises
    ------
    ScanError
        If fewer than four pixels are good.

    Notes
    -----
    Safe to use from several threads. Its cost is that of a copy, and of the bad pixels alone.
    """

    def __init__(self, bad: NDArray[np.bool_]) -> None:
        if bad.size - bad.sum() < NEAREST:
            raise ScanError(f"{int(bad.sum()):,} of {bad.size:,} pixels are bad: there is nothing to fill them from")
        self._places = np.nonzero(bad)
        around = np.array([_nearest_good(bad, row, col) for row, col in zip(*self._places, strict=True)])
        self._around = (around[..., 0], around[..., 1])

    def fill(self, patterns: PixelsT) -> PixelsT:
        """Copy of (n, rows, cols) patterns in which bad pixels are filled, of the same type."""
        filled = patterns.copy()
        rows, cols = self._around
        mean = patterns[:, rows, cols].mean(axis=2)
        whole = np.issubdtype(patterns.dtype, np.integer)
        filled[:, self._places[0], self._places[1]] = np.rint(mean) if whole else mean
        return filled


def _nearest_good(bad: NDArray[np.bool_], row: int, col: int) -> NDArray[np.int64]:
    """Places of the four nearest good pixels, (4, 2) int64; of equally near ones, those of the first rows."""
    reach = 2
    while True:
        top, left = max(0, row - reach), max(0, col - reach)
        good = np.argwhere(~bad[top : row + reach + 1, left : col + reach + 1]) + np.array((top, left))
        distance = ((good - (row, col)) ** 2).sum(axis=1)
        near: NDArray[np.int64] = good[np.argsort(distance, kind="stable")]
        # Beyond the reach, a pixel straight ahead may be nearer than one in the window's corner.
        if (distance <= reach**2).sum() >= NEAREST or reach > max(bad.shape):
            return near[:NEAREST]
        reach *= 2
