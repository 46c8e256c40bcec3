"""One track: the window passes over the part, grains melt at its front and are read off behind it.

The laser starts so far before the part and goes on so far behind it that every cross-section sees all of the pool:
no ends of tracks are simulated.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.potts import sweep_key
from microrun.kernels.solidification import ORIENTATIONS, Place, Step, advance_window
from microrun.runtime.workers import Workers
from microrun.training.simulate.solidify.grains import NONE, Grains, fill_unsolidified, name_grains
from microrun.training.simulate.solidify.laws import Laws
from microrun.training.simulate.solidify.window import MovingWindow

SOLID = 0.1  # an order parameter that a solid cell has at least one of: half of that where five grains meet
TRACK_BITS = 32  # of a counter: steps of a track below, the track's number above
BEYOND = 2  # columns between window and part where a track begins and ends


@dataclass(frozen=True)
class Stepping:
    """How time passes.

    Parameters
    ----------
    laws
        Of solidification.
    cell_um
        Edge of a cell.
    step_s
        Time step in s.
    seed
        Of nucleation.
    """

    laws: Laws
    cell_um: float
    step_s: float
    seed: int

    def make_step(self, liquidus_k: float) -> Step:
        """Make what the kernel takes, but for the key of each step."""
        of_time, cell = self.step_s, self.cell_um * 1e-6
        return Step(
            reaction=np.float32(of_time * self.laws.barrier),
            diffusion=np.float32(of_time * self.laws.gradient / cell**2),
            liquidus=np.float32(liquidus_k),
            chances=self.laws.nucleation_chances(liquidus_k, self.cell_um, of_time),
            key=np.uint64(0),
        )


@dataclass(frozen=True)
class Track:
    """Where a track lies in a part, and what of it was done.

    Parameters
    ----------
    number
        Among all tracks, from 0.
    low, side
        The first plane and row of the window in the part.
    backwards
        Whether the laser goes towards −x.
    """

    number: int
    low: int
    side: int
    backwards: bool


@dataclass
class Tally:
    """What happened in tracks so far, in cells; `hot` counts a cell once for each step."""

    molten: int = 0
    unsolidified: int = 0
    nuclei: int = 0
    hot: int = 0

    def __iadd__(self, other: Tally) -> Tally:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self


class Pass:
    """A window on its way over some cells, in the direction of rising x.

    Parameters
    ----------
    grains
        Cells under the window's way, (z, y) as the window's; views, changed in place.
    window
        What passes.
    stepping
        How time passes.
    """

    def __init__(self, grains: Grains, window: MovingWindow, stepping: Stepping) -> None:
        depth, width, columns = window.shape
        self._orientation, self._window, self._stepping = grains.orientation, window, stepping
        self._columns = grains.orientation.shape[2]
        self._ring = columns + 2
        self._eta = np.zeros((depth, width, self._ring, ORIENTATIONS), np.float32)
        self._next = np.zeros_like(self._eta)
        self._shift = -columns - BEYOND
        self.unsolidified = 0

    def advance(self, number: int, step: Step, nuclei: NDArray[np.int64], workers: Workers) -> int:
        """Do the step with a number; returns how many cells were hot."""
        moved = self._window.speed_m_s * number * self._stepping.step_s / (self._stepping.cell_um * 1e-6)
        place = moved - self._window.shape[2] - BEYOND
        shift = math.floor(place)
        where = Place(shift, np.float32(place - shift), self._columns)
        while self._shift < shift:
            self._move_on()
        table = self._window.table
        hot = np.minimum(table.stop + shift, self._columns) - np.maximum(table.first + shift, 0)
        hot = np.where(table.stop > table.first, np.maximum(hot, 0), 0).sum(axis=1)
        if hot.any():
            now, after = self._eta, self._next
            workers.run_parts(
                lambda part: advance_window(part, now, table, where, step, nuclei, after), workers.share(hot)
            )
        self._eta, self._next = self._next, self._eta
        return int(hot.sum())

    def _move_on(self) -> None:
        """Read the column behind the window off, and take in the one before it at the same place of the ring."""
        behind, before = self._shift - 1, self._shift + self._window.shape[2] + 1
        at = before % self._ring
        if 0 <= behind < self._columns:
            self._store(behind, self._eta[:, :, at])
        if 0 <= before < self._columns:
            self._eta[:, :, at] = self._orientation[:, :, before, None] == np.arange(ORIENTATIONS)
            self._next[:, :, at] = self._eta[:, :, at]
        self._shift += 1

    def _store(self, column: int, eta: NDArray[np.float32]) -> None:
        solid = eta.max(axis=2) >= SOLID
        found = np.where(solid, eta.argmax(axis=2), NONE).astype(np.int8)
        self._orientation[:, :, column] = found
        self.unsolidified += int((~solid).sum())


def count_steps(window: MovingWindow, columns: int, cell_um: float, step_s: float) -> int:
    """Count the steps of a track over so many columns of the part."""
    way = columns + window.shape[2] + 2 * BEYOND
    return math.ceil(way * cell_um * 1e-6 / (window.speed_m_s * step_s))


def melt_track(
    grains: Grains, window: MovingWindow, stepping: Stepping, track: Track, next_id: int, workers: Workers
) -> Generator[Tally, None, int]:
    """Pass over a part once.

    Parameters
    ----------
    grains
        Of the whole part, changed in place at the end.
    window
        The moving temperature.
    stepping
        How time passes.
    track
        Where.
    next_id
        Of the first grain that nucleates.
    workers
        Threads.

    Yields
    ------
    Tally
        Of this track so far, after each step.

    Returns
    -------
    int
        The id after the last new grain.
    """
    depth, width = window.shape[:2]
    along = slice(None, None, -1 if track.backwards else 1)
    under = grains.view(slice(track.low, track.low + depth), slice(track.side, track.side + width), along)
    before = under.orientation.copy()
    passing = Pass(under, window, stepping)
    nuclei = np.zeros(depth, np.int64)
    tally = Tally(molten=int(window.molten.sum()) * under.orientation.shape[2])
    constant = stepping.make_step(window.liquidus_k)
    for number in range(count_steps(window, under.orientation.shape[2], stepping.cell_um, stepping.step_s)):
        step = constant._replace(key=np.uint64(sweep_key(stepping.seed, (track.number << TRACK_BITS) + number)))
        tally.hot += passing.advance(number, step, nuclei, workers)
        tally.nuclei, tally.unsolidified = int(nuclei.sum()), passing.unsolidified
        yield tally
    fill_unsolidified(under.orientation)
    lost = window.molten[..., None] | (under.orientation != before)
    return name_grains(under, lost, next_id)
