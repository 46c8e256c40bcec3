"""Patterns that another process pushes: the source that the encoder claims from. It trusts nothing that lies there."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError
from microrun.runtime.files.closing import Closing
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import Claim
from microrun.runtime.serving.shared_memory import DROPPED, HEAD, OVER, TAIL, Layout, SharedMemory

NAP_S, LONG_NAP_S = 0.00025, 0.005  # between looks at the ring; the other after a second without patterns
AWAKE_S = 1.0


class RingSource(Closing):
    """A stream of patterns from a ring in memory, one producer's, which may be another process.

    Parameters
    ----------
    scan
        Geometry.
    shared
        Whether another process shall be able to map it.

    Raises
    ------
    ScanError
        If patterns are too large.
    OSError
        If there is not so much memory.

    Notes
    -----
    What the other process may write is read once, into a variable, and then checked: how far it has come, and the
    numbers of patterns. Where patterns lie, and what was read of them, this side keeps for itself. Pixels may be
    anything at any time.
    """

    def __init__(self, scan: Scan, shared: bool) -> None:
        self.memory = SharedMemory.make(Layout.choose(scan.pattern_bytes), shared)
        self._scan, self._slots = scan, self.memory.layout.slots
        self._words, self._numbers = self.memory.words, self.memory.numbers
        self._pixels: NDArray[Any] = self.memory.pixels.view(scan.dtype)
        self._changed = threading.Condition()
        self._claimed, self._freed = 0, 0  # patterns ever claimed; slots ever given back, in order
        self._read: set[int] = set()  # beyond these
        self._last, self._last_put = -1, -1  # numbers of the last patterns that were claimed and put
        self._refused = 0
        self._finished = self._stopped = False

    @property
    def scan(self) -> Scan:
        """Geometry of the scan."""
        return self._scan

    @property
    def available(self) -> int:
        """Patterns accepted so far."""
        return min(max(int(self._words[HEAD]), self._claimed), self._freed + self._slots)

    @property
    def dropped(self) -> int:
        """Patterns that found no room in time."""
        return min(self._scan.total, self._refused + int(self._words[DROPPED]))

    def await_room(self, timeout_s: float) -> bool:
        """Wait for a slot; True if there is one, or the stream has ended."""
        with self._changed:
            return self._changed.wait_for(lambda: self._over or self.available - self._freed < self._slots, timeout_s)

    def put(self, index: int, pattern: memoryview) -> bool:
        """Push a pattern from this process, for a client that cannot map the ring.

        Parameters
        ----------
        index
            Its number.
        pattern
            Its bytes; they are copied.

        Returns
        -------
        bool
            False if there is no room, which is counted, or the stream has ended.

        Raises
        ------
        ScanError
            If the number is not above the last one, or too high.
        """
        with self._changed:
            if not self._last_put < index < self._scan.total:
                raise ScanError(_say_expected(self._last_put, self._scan.total, index))
            self._last_put = index
            head = self.available
            if self._over:
                return False
            if head - self._freed >= self._slots:
                self._refused += 1
                return False
            self._numbers[head % self._slots] = index
            self._pixels[head % self._slots] = np.frombuffer(pattern, self._scan.dtype)
            self._words[HEAD] = head + 1
            self._changed.notify_all()
            return True

    def finish(self) -> None:
        """Say that no more patterns come; those already pushed are still delivered."""
        with self._changed:
            self._finished = True
            self._words[OVER] = 1
            self._changed.notify_all()

    def stop(self) -> None:
        """End the stream; patterns that were not claimed are not delivered."""
        with self._changed:
            self._stopped = True
            self._words[OVER] = 1
            self._changed.notify_all()

    def close(self) -> None:
        """Give the memory back; nobody may read any more."""
        self._words = self._words.copy()  # the counts stay
        self._numbers, self._pixels = np.empty(0, np.uint64), np.empty((0, 0), np.uint8)
        self.memory.close()

    def claim(self, limit: int) -> Claim | None:
        """Wait for patterns; None at the end. ScanError for a ring that cannot be."""
        began = time.monotonic()
        with self._changed:
            while True:
                no_more = self._over or self._last == self._scan.total - 1  # before looking: else some could be missed
                head = self._look()
                if self._stopped or (no_more and head == self._claimed):
                    return None
                if head > self._claimed:
                    return self._take(min(limit, head - self._claimed))
                self._changed.wait(NAP_S if time.monotonic() - began < AWAKE_S else LONG_NAP_S)

    def read(self, claim: Claim, first: int, out: Raw) -> None:
        """Copy patterns of a claim into ``out`` and free their slots."""
        places = claim.slots[first : first + len(out)]
        flat: NDArray[Any] = out.reshape(len(out), -1)
        for pattern, place in enumerate(places):
            flat[pattern] = self._pixels[place % self._slots]
        with self._changed:
            self._read.update(places)
            while self._freed in self._read:
                self._read.remove(self._freed)
                self._freed += 1
            self._words[TAIL] = self._freed
            self._changed.notify_all()

    @property
    def _over(self) -> bool:
        return self._finished or self._stopped

    def _look(self) -> int:
        """How many patterns were ever pushed."""
        head = int(self._words[HEAD])  # read once: what is checked is what is used
        if not self._claimed <= head <= self._freed + self._slots:
            possible = f"{self._claimed} to {self._freed + self._slots}"
            raise ScanError(f"the client's ring says that {head} patterns were pushed where {possible} can be")
        return head

    def _take(self, count: int) -> Claim:
        """Claim patterns up to the first whose number cannot be; that is an error once it is the first."""
        places = np.arange(self._claimed, self._claimed + count)
        numbers: NDArray[np.int64] = self._numbers[places % self._slots].astype(np.int64)  # copied once, then checked
        right = (np.diff(numbers, prepend=self._last) > 0) & (numbers < self._scan.total) & (numbers >= 0)
        good = count if right.all() else int(np.argmin(right))
        if not good:
            raise ScanError(_say_expected(self._last, self._scan.total, int(numbers[0])))
        self._claimed, self._last = self._claimed + good, int(numbers[good - 1])
        return Claim(numbers[:good], tuple(places[:good].tolist()))


def _say_expected(last: int, total: int, number: int) -> str:
    if last >= total - 1:
        return f"the scan has its last pattern, {total - 1}; no more may come, got {number}"
    return f"the number of a pattern must be {last + 1} to {total - 1}; got {number}"
