"""One latents file as it is read while it grows: which points are there, and what they hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.files.closing import Closing
from microrun.runtime.latents.reader import Latents, open_latents

Answer = TypeVar("Answer")

AHEAD_POINTS = 1 << 15  # of the marks "written" that are read at once, from the last row that had one on
SLAB_VALUES = 1 << 18  # of latents that are read at once
SAMPLE_POINTS, SAMPLE_RUNS = 1 << 16, 64
MOST_RUNS = 64  # of new points, above which they are taken for one


class GrowingMap(Closing):
    """The points of a latents file, numbered row · cols + col, and which of them are there by now.

    Parameters
    ----------
    latents
        Open; closed with this.

    Attributes
    ----------
    seen : (rows · cols,) bool
        Points that are known to be written.
    log : list of (int, int)
        First point, and the one after the last, of what became known with each look, in the order in which it did.
    done, last : int
        How many points are there, and the last of them; −1 if none is.
    """

    def __init__(self, latents: Latents) -> None:
        self.latents = latents
        self.scan = latents.origin.scan
        self.shape = self.scan.nav_shape
        self.exists = self.scan.exists().ravel()
        self.seen = np.zeros(self.exists.size, bool)
        self.log: list[tuple[int, int]] = []
        self.done, self.last = 0, -1
        self._reading = threading.Lock()
        self.look(everywhere=True)

    @property
    def missing(self) -> int:
        """Points before the last one that are not there: lost, or still to come."""
        before = self.exists[: self.last + 1].sum() if self.scan.alternating else self.last + 1
        return int(before) - self.done

    def close(self) -> None:
        """Close the file."""
        with self._reading:
            self.latents.close()

    def reopen(self) -> None:
        """Go on with the same file, which its writer closed; all of it is told again. LatentsError if it is damaged."""
        with self._reading:
            self.latents.close()  # HDF5 opens no file in two ways at once
            self.latents = open_latents(self.latents.path)
        self.look(everywhere=True)
        self.log.append((0, self.last + 1))

    def look(self, everywhere: bool = False) -> int:
        """Find points that were written since the last look.

        Parameters
        ----------
        everywhere
            False looks from the last row on that had any, where a scan grows.

        Returns
        -------
        int
            How many there are.

        Raises
        ------
        LatentsError
            If the file is closed or damaged.
        """
        cols = self.shape[1]
        first = 0 if everywhere else max(0, self.last) // cols * cols
        before, total = self.done, self.exists.size
        while first < total:
            stop = min(total, first + max(1, AHEAD_POINTS // cols) * cols)
            written = self.read("written", first, stop).astype(bool)
            self._note(first, written)
            if not everywhere and not written[-cols:].any():
                break
            first = stop
        return self.done - before

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """What a data set holds of consecutive points.

        Parameters
        ----------
        name
            As `Latents.read` takes it, of a data set (rows, cols, …).
        start, stop
            First point, and the one after the last.

        Returns
        -------
        (stop − start, …) array
        """
        cols = self.shape[1]
        row, end = start // cols, -(-stop // cols)
        left, right = start - row * cols, stop - row * cols
        with self._reading:
            if end - row == 1:
                return self.latents.read(name, np.s_[row, left:right])
            slab = self.latents.read(name, np.s_[row:end])
        return slab.reshape(-1, *slab.shape[2:])[left:right]

    def ask(self, question: Callable[[Latents], Answer]) -> Answer:
        """Ask the latents for something else; LatentsError if the file is closed or damaged."""
        with self._reading:
            return question(self.latents)

    def read_latents(self, start: int, stop: int) -> tuple[Float32, NDArray[np.bool_], NDArray[np.bool_]]:
        """Latents of consecutive points.

        Returns
        -------
        latents : (n, D) float32
            0 where there are none.
        seen, informative : (n,) bool
            Points that are there, and those of them whose pattern carried information.
        """
        seen = self.seen[start:stop].copy()
        flags = self.read("flags", start, stop).astype(bool)
        values = self.read("latents", start, stop).astype(np.float32)
        values[~seen | flags] = 0
        return values, seen, seen & ~flags

    def slabs(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Pieces of a run of points that are read at once: whole rows where they are short."""
        cols, size = self.shape[1], self.latents.shape[2]
        points = max(1, SLAB_VALUES // size)
        step = points // cols * cols if points > cols else points
        while start < stop:
            end = min(stop, start - start % step + step)
            yield start, end
            start = end

    def sample(self, first: int | None = None) -> list[tuple[int, int]]:
        """Runs of points to judge all by: the first so many, or some from all over what is there."""
        end = self.last + 1
        if first is not None or end <= SAMPLE_POINTS:
            return list(self.slabs(0, end if first is None else min(first, end)))
        each = SAMPLE_POINTS // SAMPLE_RUNS
        starts = np.linspace(0, end - each, SAMPLE_RUNS).astype(int).tolist()
        return [(start, start + each) for start in starts]

    def _note(self, first: int, written: NDArray[np.bool_]) -> None:
        known = self.seen[first : first + len(written)]
        new = np.flatnonzero(written & ~known)
        if not new.size:
            return
        known[new] = True
        self.done += int(self.exists[first + new].sum())
        self.last = max(self.last, first + int(new[-1]))
        breaks = np.flatnonzero(np.diff(new) != 1) + 1
        if len(breaks) >= MOST_RUNS:
            breaks = breaks[:0]
        for run in np.split(new, breaks):
            self.log.append((first + int(run[0]), first + int(run[-1]) + 1))
