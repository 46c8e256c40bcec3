"""The cells of a part that are hot, each in an event of its own, as time passes over them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.potts import sweep_key
from microrun.kernels.solidification_history import (
    FIXED,
    NONE,
    NUCLEATED,
    Events,
    Hot,
    Moment,
    advance_history,
    close_cells,
    fixed_rows,
    open_cells,
)
from microrun.runtime.workers import Workers
from microrun.training.simulate.solidify.track import SOLID, Stepping, Tally

SHARED_ROWS = 512  # below twice as many, threads cost more than they do
SPARE = 1.5  # by which the pool grows


class HotCells:
    """A pool of hot cells; those that cool are read off into the part.

    Parameters
    ----------
    orientation
        (z, y, x) int8 of the part, changed in place.
    events
        Of its cells.
    stepping
        How time passes.
    liquidus_k
        Of the alloy.
    workers
        Threads; the cells do not depend on their number.
    """

    def __init__(
        self, orientation: NDArray[np.int8], events: Events, stepping: Stepping, liquidus_k: float, workers: Workers
    ) -> None:
        self._events, self._stepping, self._workers = events, stepping, workers
        self._step = stepping.make_step(liquidus_k)
        laws = stepping.laws
        self._mobility = laws.mobility_at(np.arange(1.0, laws.hottest_k + 1)).astype(np.float32)
        self._mobility = np.concatenate([np.zeros(1, np.float32), self._mobility])  # at 0 K nothing moves
        rows = np.zeros(FIXED, np.int64)
        self._hot = Hot(rows, rows, np.full(orientation.shape, NONE, np.int32), orientation)
        self._eta, self._next = fixed_rows(), fixed_rows()
        self._mark = np.zeros(FIXED, np.uint8)
        self._rows = FIXED

    @property
    def count(self) -> int:
        """How many cells are hot."""
        return self._rows - FIXED

    def open(self, first: int, stop: int) -> None:
        """Let events begin.

        Parameters
        ----------
        first, stop
            The events, and the one after the last.
        """
        most = self._rows + stop - first
        if most > len(self._mark):
            self._grow(int(most * SPARE))
        self._rows = open_cells(first, stop, self._rows, self._events, self._hot, self._eta)

    def advance(self, number: int, time_s: float, top: int, tally: Tally) -> None:
        """Do a time step, and read off what has cooled.

        Parameters
        ----------
        number
            Of the step, from which random numbers follow.
        time_s
            From where the events' times are counted.
        top
            Planes that there are.
        tally
            Of which nuclei and hot cells are counted up.
        """
        moment = Moment(time_s, top, np.float32(self._stepping.laws.hot_k), self._mobility)
        step = self._step._replace(key=np.uint64(sweep_key(self._stepping.seed, number)))
        now, after, hot, events, mark = self._eta, self._next, self._hot, self._events, self._mark
        parts = max(1, min(self._workers.threads, self.count // SHARED_ROWS))
        bounds = np.linspace(FIXED, self._rows, parts + 1).astype(np.int64)
        self._workers.run_parts(
            lambda rows: advance_history(rows, now, hot, events, moment, step, mark, after),
            [bounds[part : part + 2] for part in range(parts)],
        )
        tally.hot += self.count
        tally.nuclei += int(np.count_nonzero(mark[FIXED : self._rows] == NUCLEATED))
        self._eta, self._next = after, now
        self._rows = close_cells(self._rows, mark, SOLID, hot, after)

    def _grow(self, capacity: int) -> None:
        """Make room for more rows."""
        more = capacity - len(self._mark)
        cell, event = (np.pad(rows, (0, more)) for rows in (self._hot.cell, self._hot.event))
        self._hot = self._hot._replace(cell=cell, event=event)
        self._eta, self._next = (np.pad(eta, ((0, more), (0, 0))) for eta in (self._eta, self._next))
        self._mark = np.zeros(capacity, np.uint8)
