"""Where patterns come from: streams that are claimed, patterns that are read by number, and the one in memory."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError
from microrun.runtime.scans.scan import Scan


@dataclass(frozen=True)
class Claim:
    """Patterns that one lane has taken.

    Parameters
    ----------
    indices
        (n,) int64, ascending numbers of the patterns in the scan.
    slots
        The source's own note of where they lie.
    again
        They were claimed before, without information, and have some now.
    """

    indices: NDArray[np.int64]
    slots: tuple[int, ...] = ()
    again: bool = False

    def __len__(self) -> int:
        return len(self.indices)


class Source(Protocol):
    """A stream of patterns: each is claimed once, in order. All methods may be called from any thread."""

    @property
    def scan(self) -> Scan:
        """Geometry of the scan."""

    @property
    def available(self) -> int:
        """Patterns that exist by now, claimed or not."""

    @property
    def dropped(self) -> int:
        """Patterns lost because nobody took them in time."""

    def claim(self, limit: int) -> Claim | None:
        """Wait for patterns and take at most ``limit`` of them; None at the end."""

    def read(self, claim: Claim, first: int, out: Raw) -> None:
        """Copy the patterns of a claim, from its ``first`` on, into ``out`` until it is full."""

    def stop(self) -> None:
        """End the stream: claims that wait return None."""


@runtime_checkable
class IndexedSource(Protocol):
    """Patterns that are kept, and read by their numbers as often as one likes. May be read from any thread."""

    @property
    def scan(self) -> Scan:
        """Geometry of the scan."""

    @property
    def available(self) -> int:
        """Patterns that exist by now."""

    def read_patterns(self, indices: NDArray[np.int64], out: Raw) -> None:
        """Copy the patterns of these numbers into ``out``, (n, rows, cols) of the scan's pixel type."""


def require_indexed(source: IndexedSource) -> None:
    """Refuse a stream where patterns are to be read by number.

    Raises
    ------
    ScanError
        If the source gives every pattern once only, as `MemorySource` does.
    """
    if not isinstance(source, IndexedSource):
        raise ScanError(
            f"expected a scan whose patterns can be read by number, such as a file's; a {type(source).__name__} gives "
            f"each of them once: take a running background for it, or one from a file"
        )


class FinishedSource(ABC):
    """A source whose patterns all exist, both claimed one after the other and read by number; the base of files.

    Parameters
    ----------
    scan
        Geometry.
    start, stop
        First pattern to deliver, and the one after the last.

    Attributes
    ----------
    path : pathlib.Path
        Where the patterns are.
    library : str
        What reads them, where it is not microrun itself.
    ahead : int
        Patterns that it begins to read before they are asked for, where `expect` does so.
    """

    path: Path
    library = ""
    ahead = 0

    def __init__(self, scan: Scan, start: int, stop: int) -> None:
        self._scan, self._next, self._stop = scan, start, stop
        self._revisited: deque[int] = deque()
        self._claiming = threading.RLock()  # `stop` may come from a signal handler, at any moment

    @property
    def scan(self) -> Scan:
        """Geometry of the scan."""
        return self._scan

    @property
    def available(self) -> int:
        """Patterns that exist."""
        return self._stop

    @property
    def dropped(self) -> int:
        """Always 0: a file keeps its patterns."""
        return 0

    @abstractmethod
    def read_patterns(self, indices: NDArray[np.int64], out: Raw) -> None:
        """Copy the patterns of these numbers into ``out``."""

    def read(self, claim: Claim, first: int, out: Raw) -> None:
        """Copy patterns of a claim into ``out``."""
        self.read_patterns(claim.indices[first : first + len(out)], out)

    def claim(self, limit: int) -> Claim | None:
        """Take the next patterns; None at the end."""
        with self._claiming:
            first, self._next = self._next, min(self._next + limit, self._stop)
            if self.ahead:
                self.expect(np.arange(first, min(self._next + self.ahead, self._stop)))
            return Claim(np.arange(first, self._next)) if self._next > first else self._claim_again(limit)

    def expect(self, indices: NDArray[np.int64]) -> None:  # noqa: B027 (most sources have nothing to do)
        """Note which patterns will be asked for; a source that reads ahead begins with them."""

    def revisit(self, numbers: NDArray[np.int64]) -> None:
        """Claim these patterns again at the end, if they are more than zeros."""
        self._revisited.extend(numbers.tolist())

    def seek(self, start: int) -> None:
        """Deliver from this pattern on."""
        with self._claiming:
            self._next = start

    def stop(self) -> None:
        """Deliver nothing more."""
        with self._claiming:
            self._stop = self._next
            self._revisited.clear()

    def _claim_again(self, limit: int) -> Claim | None:
        found: list[int] = []
        pattern = np.empty((1, *self._scan.sig_shape), self._scan.dtype)
        while self._revisited and len(found) < limit:
            number = self._revisited.popleft()
            self.read_patterns(np.array([number]), pattern)
            if pattern.any():
                found.append(number)
        return Claim(np.array(found), again=True) if found else None


class MemorySource:
    """Patterns that acquisition code pushes.

    Parameters
    ----------
    scan
        Geometry.
    capacity
        Patterns held until a lane takes them.
    drop
        What to do when there is no room: True refuses the pattern and counts it, False waits.

    Examples
    --------
    >>> import numpy as np
    >>> from microrun.runtime import MemorySource, Scan
    >>> source = MemorySource(Scan(nav_shape=(200, 300), sig_shape=(480, 480)))
    >>> source.push(np.zeros((480, 480), np.uint16))
    True
    >>> source.available
    1
    """

    def __init__(self, scan: Scan, capacity: int = 256, *, drop: bool = False) -> None:
        if capacity < 1:
            raise ScanError(f"the capacity must be at least one pattern; got {capacity}")
        self._scan = scan
        self._drop = drop
        self._ring = np.empty((capacity, *scan.sig_shape), scan.dtype)
        self._free = deque(range(capacity))
        self._filled: deque[tuple[int, int]] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self._pushed = 0
        self._next = 0
        self._dropped = 0

    @property
    def scan(self) -> Scan:
        """Geometry of the scan."""
        return self._scan

    @property
    def available(self) -> int:
        """Patterns accepted so far."""
        return self._pushed

    @property
    def dropped(self) -> int:
        """Patterns refused for want of room."""
        return self._dropped

    def push(self, pattern: Raw, index: int | None = None) -> bool:
        """Hand over one pattern; it is copied.

        Parameters
        ----------
        pattern
            (rows, cols) of the scan's shape and pixel type.
        index
            Its number in the scan; by default the one after the last. Numbers must ascend.

        Returns
        -------
        bool
            False if it was dropped, or the stream has stopped.

        Raises
        ------
        ScanError
            If shape, pixel type or number do not fit.
        """
        if pattern.shape != self._scan.sig_shape or pattern.dtype != self._scan.dtype:
            expected = f"{self._scan.sig_shape} {self._scan.dtype}"
            raise ScanError(f"pushed patterns must be {expected}; got {pattern.shape} {pattern.dtype}")
        with self._changed:
            while not self._free and not self._finished and not self._drop:
                self._changed.wait()
            if self._finished:
                return False
            number = self._next if index is None else index
            if not self._next <= number < self._scan.total:
                raise ScanError(f"the number of a pattern must be {self._next} to {self._scan.total - 1}; got {number}")
            self._next = number + 1
            if not self._free:
                self._dropped += 1
                self._changed.notify_all()
                return False
            slot = self._free.popleft()
            self._ring[slot] = pattern
            self._filled.append((number, slot))
            self._pushed += 1
            self._changed.notify_all()
            return True

    def finish(self) -> None:
        """Say that no more patterns come; those already pushed are still delivered."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def claim(self, limit: int) -> Claim | None:
        """Wait for patterns; None after `finish`, or when the scan is complete."""
        with self._changed:
            while not self._filled and not self._finished and self._next < self._scan.total:
                self._changed.wait()
            taken = [self._filled.popleft() for _ in range(min(limit, len(self._filled)))]
        if not taken:
            return None
        indices, slots = zip(*taken, strict=True)
        return Claim(np.array(indices, np.int64), slots)

    def read(self, claim: Claim, first: int, out: Raw) -> None:
        """Copy patterns of a claim into ``out`` and free their room."""
        slots = claim.slots[first : first + len(out)]
        for slot, pattern in zip(slots, out, strict=True):
            pattern[:] = self._ring[slot]
        with self._changed:
            self._free.extend(slots)
            self._changed.notify_all()

    def stop(self) -> None:
        """Refuse further patterns and end the stream."""
        with self._changed:
            self._filled.clear()
            self._finished = True
            self._changed.notify_all()
