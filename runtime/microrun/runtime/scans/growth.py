"""What of a growing UP file is written: its length does not tell, since room may be taken before it is filled."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from pathlib import Path

from microrun.runtime.errors import ScanError
from microrun.runtime.files.shared_reading import open_shared
from microrun.runtime.scans.up2 import UpHeader, count_patterns

SETTLE_S = 1.0  # whoever has not changed a file for so long is done with what is in it
PEEK_BYTES = 64
AHEAD, SWEEP = 64, 512  # patterns behind one of zeros that are looked at each time, and in turn


class Growth:
    """The patterns of a file that another process writes.

    A pattern of zeros is a blanked beam's if a later one holds something; at the growing end it is room that is not
    filled yet. A last pattern that ends in zeros may be half written, and is held back until it has stayed the same
    for `settle_s`.

    Parameters
    ----------
    path, header
        The file.
    pattern_bytes
        Of one pattern.
    settle_s
        Time without a change after which nothing more is expected.

    Attributes
    ----------
    end : int or None
        Where the room begins that is not filled yet, as of the last look; None if there is none.
    blanks : collections.deque of int
        Patterns that were delivered as zeros.

    Raises
    ------
    ScanError
        Here and below: if the file is gone, or cannot be read.
    """

    def __init__(self, path: Path, header: UpHeader, pattern_bytes: int, settle_s: float = SETTLE_S) -> None:
        self._path, self._header, self._bytes, self.settle_s = path, header, pattern_bytes, settle_s
        self.end: int | None = None
        self.blanks: deque[int] = deque()
        self._zeros: set[int] = set()
        self._known_to = 0  # patterns before this one are followed by one that holds something
        self._sweep = 0
        self._mark: tuple[int, bytes] | None = None
        self._held: tuple[int, bytes, float] | None = None
        self._seen: tuple[tuple[int, int], float] | None = None
        try:
            self._file = open_shared(path)
            self._identity = self._identify()
        except OSError as error:
            raise self._unreadable(error) from None

    def count(self) -> int:
        """Whole patterns that the file has room for."""
        return count_patterns(self._path, self._header)

    def written(self, start: int, stop: int) -> int:
        """The first pattern from ``start`` on that is not written yet, at most ``stop``; all before are delivered."""
        count = self.count()
        if count < start:
            raise ScanError(f"{self._path}: became shorter while it was followed ({count} patterns left)")
        number, stop, self.end = start, min(stop, count), None
        while number < stop:
            if not self._holds_something(number):
                if not self._is_followed(number, count):
                    self.end = number
                    break
                self._zeros.add(number)
            number += 1
        if number > start and not self._is_whole(number - 1, count):
            number -= 1
        return number

    def deliver(self, start: int, stop: int) -> None:
        """Note that these patterns are taken, and what the last of them is."""
        zeros = sorted(number for number in self._zeros if start <= number < stop)
        self.blanks.extend(zeros)
        last = next((number for number in range(stop - 1, start - 1, -1) if number not in zeros), None)
        self._zeros.difference_update(zeros)
        if last is not None:
            self._mark = last, self._hash(last)

    def check(self) -> None:
        """Raise ScanError if the file is another than before, or what was delivered last has changed."""
        try:
            identity = self._identify()
        except OSError as error:
            raise self._unreadable(error) from None
        if identity != self._identity:
            raise ScanError(f"{self._path}: was replaced by another file while it was followed")
        if self._mark is not None and self._hash(self._mark[0]) != self._mark[1]:
            raise ScanError(
                f"{self._path}: was written anew while it was followed: pattern {self._mark[0]:,} is another now"
            )

    def filled(self, limit: int) -> list[int]:
        """At most so many patterns that were delivered as zeros and hold something now; they leave `blanks`."""
        found: list[int] = []
        for number in list(self.blanks):
            if len(found) < limit and self._holds_something(number):
                found.append(number)
                self.blanks.remove(number)
        return found

    def settled(self) -> bool:
        """Whether the file has not been changed for a while."""
        try:
            status = self._path.stat()
        except OSError as error:
            raise self._unreadable(error) from None
        state, now = (status.st_size, status.st_mtime_ns), time.monotonic()
        if self._seen is None or self._seen[0] != state:
            self._seen = state, now
        # The clock of a file server may differ from ours.
        return time.time() - status.st_mtime > self.settle_s or now - self._seen[1] >= self.settle_s

    def _identify(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino

    def _holds_something(self, number: int) -> bool:
        return self._peek(number) or self._read(number).count(0) < self._bytes

    def _is_followed(self, number: int, count: int) -> bool:
        """Whether a later pattern holds something: the nearest and the last are looked at, and all others in turn."""
        if number < self._known_to:
            return True
        near = range(number + 1, min(number + 1 + AHEAD, count))
        span = count - number - 1
        turn = [number + 1 + (self._sweep + k) % span for k in range(min(SWEEP, span))] if span else []
        self._sweep += SWEEP
        found = next((n for n in (*near, *turn, count - 1) if n > number and self._peek(n)), None)
        self._known_to = max(self._known_to, found or 0)
        return found is not None

    def _is_whole(self, number: int, count: int) -> bool:
        if number in self._zeros or self._ends_in_something(number) or self._is_followed(number, count):
            return True
        now, content = time.monotonic(), self._hash(number)
        if self._held is None or self._held[:2] != (number, content):
            self._held = number, content, now
        return now - self._held[2] >= self.settle_s

    def _ends_in_something(self, number: int) -> bool:
        return any(self._read(number, max(self._bytes - PEEK_BYTES, 0), PEEK_BYTES))

    def _peek(self, number: int) -> bool:
        """Whether the middle of a pattern holds something: a quick look, which is enough for most."""
        return any(self._read(number, max(self._bytes // 2 - PEEK_BYTES // 2, 0), PEEK_BYTES))

    def _hash(self, number: int) -> bytes:
        return hashlib.blake2b(self._read(number), digest_size=16).digest()

    def _read(self, number: int, first: int = 0, size: int | None = None) -> bytes:
        """Bytes of a pattern; fewer where the file has become shorter."""
        size = min(self._bytes if size is None else size, self._bytes - first)
        try:
            self._file.seek(self._header.offset + number * self._bytes + first)
            return self._file.read(size)
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: OSError) -> ScanError:
        return ScanError(f"{self._path}: cannot be read ({error.strerror or error})")
