"""Histories of points: when each melted, when it solidified, and how fast it cooled."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.training.simulate.melt_pool.material import Material
from microrun.training.simulate.melt_pool.process import Process


@dataclass(frozen=True, eq=False)
class History:
    """Melting events on a lattice, in the order in which they begin.

    Parameters
    ----------
    place
        (n, 3) int32: z, y, x of the event's cell, from 0; z rises.
    melt_s, liquid_s
        (n,) float64: when the cell becomes liquid, and when it is at the liquidus for the last time.
    rate
        (n,) float64, K/s: by how much it cools from then on.
    step_um
        Edge of a cell.
    process
        Power and speed that made it, as the user states them.
    material
        Whose liquidus it is.
    kind
        For people.
    """

    place: NDArray[np.int32]
    melt_s: Float64
    liquid_s: Float64
    rate: Float64
    step_um: float
    process: Process
    material: Material
    kind: Literal["history"] = "history"

    @functools.cached_property
    def shape(self) -> tuple[int, int, int]:
        """Cells along z, y and x between which all events lie."""
        z, y, x = self.place.max(axis=0) + 1
        return int(z), int(y), int(x)

    def cold_s(self, hot_k: float) -> Float64:
        """When cells become cold, if no other event begins before, (n,) float64.

        Parameters
        ----------
        hot_k
            Temperature below which a cell is cold.
        """
        cold: Float64 = self.liquid_s + (self.material.liquidus_k - hot_k) / self.rate
        return cold

    def stacked(self, layers: int, cells: int, pause_s: float) -> History:
        """The history done again and again, each time higher and later.

        Parameters
        ----------
        layers
            How often.
        cells
            How much higher.
        pause_s
            From the beginning of one to that of the next.
        """
        if layers == 1:
            return self
        number = np.repeat(np.arange(layers), len(self.rate))
        lift = np.stack([number * cells, 0 * number, 0 * number], axis=1).astype(np.int32)
        return History(
            np.tile(self.place, (layers, 1)) + lift,
            np.tile(self.melt_s, layers) + number * pause_s,
            np.tile(self.liquid_s, layers) + number * pause_s,
            np.tile(self.rate, layers),
            self.step_um, self.process, self.material,
        )  # fmt: skip
