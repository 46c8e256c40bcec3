"""Medians of what is measured of patterns, over blocks of them in order of acquisition."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from microrun.kernels.measuring import BACKGROUND, CONTRAST, MEAN, SATURATED, SHARPNESS
from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.known_latents import KnownLatents
from microrun.runtime.latents.batch import EncodedBatch, is_sampled
from microrun.runtime.latents.watched import MEASURED, MONITOR

LEAST = 8  # informative patterns of a block, below which its medians say nothing
_KERNEL = {"mean": MEAN, "contrast": CONTRAST, "saturated": SATURATED, "sharpness": SHARPNESS, "background": BACKGROUND}
_PLACE = {name: place for place, name in enumerate(MEASURED)}


class Blocks:
    """Collect what is measured of patterns, block by block.

    Parameters
    ----------
    size
        Patterns of a block.
    known
        Where latents of patterns lie that the model knows; None where it does not say.
    done
        Patterns, from the first on, that a run before this one encoded: those of them that come again do not count.
    """

    def __init__(self, size: int, known: KnownLatents | None, done: int = 0) -> None:
        self.size, self._known = size, known
        self._number, self._next = -1, done
        self._values: list[Float32] = []

    def add(self, batch: EncodedBatch, bands: Float64) -> Iterator[tuple[int, np.void]]:
        """Add patterns, in order of acquisition; those that come again, or late, are passed over.

        Parameters
        ----------
        batch
            As it left the engine.
        bands
            Of the patterns of the batch that `is_sampled`, what became of their bands.

        Returns
        -------
        iterator of (int, row of `MONITOR`)
            Blocks that are over, and their numbers.
        """
        values = self._measure(batch, bands)
        new = (batch.indices >= self._next) & ~batch.flags
        numbers = batch.indices // self.size
        for number in np.unique(numbers[batch.indices >= self._next]):
            if number != self._number:
                yield from self.finish()
                self._number = int(number)
            self._values.append(values[new & (numbers == number)])
        self._next = max(self._next, int(batch.indices.max()) + 1)
        if self._next % self.size == 0:
            yield from self.finish()

    def finish(self) -> Iterator[tuple[int, np.void]]:
        """End the block that is being collected, if there is one."""
        values = self._values
        self._values = []
        if values and len(rows := np.concatenate(values)):
            yield self._number, self._summarise(rows)

    def _measure(self, batch: EncodedBatch, bands: Float64) -> Float32:
        """(n, 8) float32, in the order of `MEASURED`."""
        values = np.full((len(batch.indices), len(MEASURED)), np.nan, np.float32)
        if batch.measures is not None:
            for name, place in _KERNEL.items():
                values[:, _PLACE[name]] = batch.measures[:, place]
        if self._known:
            squared = self._known.distances(batch.latents)
            usual, *_, rare = self._known.quantiles
            values[:, _PLACE["distance"]] = np.sqrt(squared / usual)
            values[:, _PLACE["unknown"]] = squared > rare
        if len(bands):
            values[is_sampled(batch.indices), _PLACE["bands"]] = bands
        return values

    def _summarise(self, values: Float32) -> np.void:
        row: np.void = np.zeros(1, MONITOR)[0]
        row["first"], row["count"] = self._number * self.size, len(values)
        known = np.isfinite(values)
        counts, ordered = known.sum(axis=0), np.sort(np.where(known, values, np.inf), axis=0)
        for name, place in _PLACE.items():
            count, column = counts[place], ordered[:, place]
            if count < (1 if name == "bands" else LEAST):
                row[name] = np.nan
            elif name == "unknown":
                row[name] = column[:count].mean()
            else:
                row[name] = (column[(count - 1) // 2] + column[count // 2]) / 2
        return row
