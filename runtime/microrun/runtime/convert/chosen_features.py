"""Chosen features of a latents file, read a few rows of the map at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.feature_numbers import check_features
from microrun.runtime.latents.reader import Latents

PIECE_BYTES = 1 << 24  # of latents that are in memory at a time, unless a single row has more
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Piece:
    """Some rows of the map.

    Parameters
    ----------
    rows
        First row and the one after the last.
    values
        (r, cols, n) float32, NaN where not written.
    written, flags
        (r, cols) bool; flags are True for patterns without information.
    exists
        (r, cols) bool: map points that have a pattern.
    x, y
        (r, cols) float64, in µm, or in steps where the step is not known.
    """

    rows: slice
    values: Float32
    written: Bools
    flags: Bools
    exists: Bools
    x: Float64
    y: Float64

    @property
    def informative(self) -> Float32:
        """Values as `microrun maps` draws them, (r, cols, n) float32: NaN also for patterns without information."""
        return np.where(self.flags[..., None], np.float32(np.nan), self.values)


class ChosenFeatures:
    """Some features of a latents file in rising order, read piece by piece.

    Parameters
    ----------
    latents
        The file, finished or growing.
    numbers
        Numbers of the features, 0 to D − 1, in any order; None for all.

    Attributes
    ----------
    latents, origin, scan
        The file, what its latents were made from, and the scan.
    numbers : list of int
        Numbers of the features, ascending, each once.

    Raises
    ------
    LatentsError
        If there is no such feature, or if nothing has been written yet.
    """

    def __init__(self, latents: Latents, numbers: Sequence[int] | None = None) -> None:
        chosen = range(latents.origin.spec.latent_size) if numbers is None else numbers
        check_features(latents, chosen)
        self.latents, self.origin, self.scan = latents, latents.origin, latents.origin.scan
        self.numbers = sorted(set(chosen))
        if not any(latents.read("written", rows).any() for rows in self.row_slices()):
            raise LatentsError(f"{latents.path}: holds no latents yet")

    @property
    def names(self) -> list[str]:
        """Names of the features, such as "latent_17"."""
        return [f"latent_{number}" for number in self.numbers]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the map of the features, (rows, cols, n)."""
        return (*self.scan.nav_shape, len(self.numbers))

    @property
    def units(self) -> tuple[str, str]:
        """Units of x and y: "µm", or "steps" where the step is not known."""
        x, y = ("µm" if step else "steps" for step in self.scan.step_um)
        return x, y

    def place(self, x: Float64, y: Float64) -> tuple[Float64, Float64]:
        """Positions on the map to positions on the sample, which differ where the map is a part of a scan."""
        part = self.origin.part
        return part.place(x, y, self.scan) if part else (x, y)

    @property
    def rows_at_once(self) -> int:
        """Number of rows that are read at once: a power of two, so that smaller chunks fit, or all."""
        rows, cols = self.scan.nav_shape
        row_bytes = cols * self.origin.spec.latent_size * np.dtype(np.float32).itemsize
        fitting = max(1, PIECE_BYTES // row_bytes)
        return min(rows, 1 << (fitting.bit_length() - 1))

    def row_slices(self) -> Iterator[slice]:
        """Slices of rows that are read at once, from the first row to the last."""
        rows = self.scan.nav_shape[0]
        for first in range(0, rows, self.rows_at_once):
            yield slice(first, min(first + self.rows_at_once, rows))

    def pieces(self) -> Iterator[Piece]:
        """Pieces of the map, from its first row to its last; LatentsError if the file is damaged."""
        return map(self.read, self.row_slices())

    def read(self, rows: slice) -> Piece:
        """Read some rows.

        Parameters
        ----------
        rows
            First row and the one after the last.

        Returns
        -------
        Piece
            What the file holds of them by now.

        Raises
        ------
        LatentsError
            If the file is damaged.
        """
        # The marks come first: what is marked by then is in the file, also in one that grows.
        written = self.latents.read("written", rows).astype(bool)
        values = self.latents.read("latents", rows)[..., self.numbers].astype(np.float32, copy=False)
        values[~written] = np.nan
        exists = np.ones_like(written)
        if self.scan.alternating:
            exists[not self.scan.is_shifted(rows.start) :: 2, -1] = False
        return Piece(
            rows,
            values,
            written,
            self.latents.read("flags", rows).astype(bool) & written,
            exists,
            self.latents.read("x_um", rows),
            self.latents.read("y_um", rows),
        )
