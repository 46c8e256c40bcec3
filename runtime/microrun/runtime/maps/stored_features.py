"""Latents as maps of features that stay on disk, read in slabs of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import Latents

SLAB_VALUES = 1 << 20  # of a slab of rows
HELD_VALUES = 1 << 26  # of maps that are read together


def row_slabs(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """First row of each slab of a (rows, cols, D) array, which is even, and the one after its last."""
    rows, cols, size = shape
    step = 2 * max(1, SLAB_VALUES // (2 * cols * size))
    for first in range(0, rows, step):
        yield first, min(first + step, rows)


class StoredFeatures:
    """Features of latents, (rows, cols, D), that stay on disk; ``features[first:stop]`` reads rows of them.

    What is read is float64, and NaN where nothing was written when the features were made, and where a pattern had
    no information.

    Parameters
    ----------
    latents
        Finished or growing.

    Attributes
    ----------
    shape : tuple of int
        (rows, cols, D).

    Raises
    ------
    LatentsError
        If nothing has been written yet, or nothing carries information.
    """

    def __init__(self, latents: Latents) -> None:
        self._latents, self.shape = latents, latents.shape
        written = latents.written
        self._missing = ~written | latents.flags
        if all(np.isnan(self[first:stop][..., 0]).all() for first, stop in row_slabs(self.shape)):
            reason = "only latents of patterns without information" if written.any() else "no latents yet"
            raise LatentsError(f"{latents.path}: holds {reason}")

    def __getitem__(self, rows: slice) -> Float64:
        values: Float64 = self._latents.read("latents", rows).astype(np.float64)
        values[self._missing[rows]] = np.nan
        return values

    def maps(self, numbers: Sequence[int]) -> Iterator[Float64]:
        """Maps of chosen features, one after the other, some of which are read together.

        Parameters
        ----------
        numbers
            Those of the features, from 0.

        Yields
        ------
        (rows, cols) float64, NaN where missing
        """
        together = max(1, HELD_VALUES // self._missing.size)
        for place in range(0, len(numbers), together):
            held = self._read(numbers[place : place + together])
            for image in held:
                found = image.astype(np.float64)
                found[self._missing] = np.nan
                yield found

    def _read(self, numbers: Sequence[int]) -> NDArray[np.floating[Any]]:
        held = np.empty((len(numbers), *self.shape[:2]), self._latents.dtype)
        for first, stop in row_slabs(self.shape):
            held[:, first:stop] = np.moveaxis(self._latents.read("latents", slice(first, stop))[..., numbers], 2, 0)
        return held
