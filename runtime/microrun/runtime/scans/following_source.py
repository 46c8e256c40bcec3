"""Patterns from a UP1 or UP2 file that another process still writes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.ang import find_companion
from microrun.runtime.scans.growth import SETTLE_S, Growth
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import Claim
from microrun.runtime.scans.up2 import count_patterns, pixel_type, read_header
from microrun.runtime.scans.up_source import FileSource


class FullRowsError(ScanError):
    """A hexagonal scan whose rows were taken to alternate, and turned out to be equally long."""


class FollowingSource(FileSource):
    """A UP file that another process still writes.

    Parameters
    ----------
    path, grid, step_um, start
        As for `FileSource`. The file may not exist yet, and its header may still say 0×0.
    idle_timeout_s
        The stream ends when nothing has been added for this long.
    poll_s
        Time between looks at the file.

    Raises
    ------
    ScanError
        If no usable header and grid appeared within the time-out.

    Notes
    -----
    Only patterns that are written are delivered: `Growth` says how that is told. Those of zeros, from a blanked beam,
    are looked at again at the end, and claimed again if they hold something by then. The stream ends when the scan is
    complete and its file stays as it is, after the idle time-out, or by `stop`; `complete` then tells which.

    Examples
    --------
    >>> from microrun.runtime import FollowingSource
    >>> source = FollowingSource("scan.up1", idle_timeout_s=1)
    >>> source.complete
    True
    """

    def __init__(
        self,
        path: str | Path,
        grid: tuple[int, int] | None = None,
        step_um: float | None = None,
        start: int = 0,
        *,
        idle_timeout_s: float = 60.0,
        poll_s: float = 0.02,
    ) -> None:
        self.idle_timeout_s = idle_timeout_s
        self._poll_s = poll_s
        self._stopped = threading.Event()
        self._await_header(Path(path), grid)
        super().__init__(path, grid, step_um, start)
        settle_s = min(SETTLE_S, idle_timeout_s)
        self._growth = Growth(self.path, self.header, self.scan.pattern_bytes, settle_s)

    @property
    def available(self) -> int:
        """Patterns written by now; those delivered, once the file is gone."""
        try:
            end = self._growth.end
            return min(self._growth.count() if end is None else end, self._scan.total)
        except ScanError:
            return self._next

    @property
    def complete(self) -> bool:
        """True once all patterns of the scan are on disk."""
        return self.available == self._scan.total

    def claim(self, limit: int) -> Claim | None:
        """Wait for patterns that are written; None when the scan is complete, idle for too long, or stopped.

        Raises
        ------
        ScanError
            If the file vanished, became shorter than what was delivered, is another now, or holds more patterns at
            the end than the scan has.
        """
        with self._claiming:
            if self._next < self._scan.total:
                written = self._await(self._next + 1, min(self._next + limit, self._scan.total))
                if written > self._next and not self._stopped.is_set():
                    return self._deliver(written)
            return None if self._stopped.is_set() else self._claim_again(limit)

    def await_patterns(self, count: int) -> int:
        """Wait until that many patterns are written; return how many are, at most that many.

        Fewer are returned when none has come for the idle time-out, or after `stop`.

        Raises
        ------
        ScanError
            If the file vanished or became shorter.
        """
        return self._await(count, count)

    def revisit(self, numbers: NDArray[np.int64]) -> None:
        """Claim these patterns again at the end, if they are more than zeros by then."""
        self._growth.blanks.extend(numbers.tolist())

    def stop(self) -> None:
        """End the stream after what was already delivered."""
        self._stopped.set()

    def _await(self, count: int, limit: int) -> int:
        before = -1
        while True:
            written = self._growth.written(self._next, min(limit, self._scan.total))
            if written > before:
                before, deadline = written, time.monotonic() + self.idle_timeout_s
            if written >= min(count, self._scan.total) or self._stopped.is_set() or time.monotonic() > deadline:
                return written
            self._stopped.wait(self._poll_s)

    def _deliver(self, stop: int) -> Claim:
        self._growth.check()
        self._growth.deliver(self._next, stop)
        first, self._next = self._next, stop
        return Claim(np.arange(first, stop))

    def _claim_again(self, limit: int) -> Claim | None:
        """Wait until the file stays as it is; what were zeros and was filled is claimed again."""
        try:
            while not (filled := self._growth.filled(limit)):
                if self._growth.settled() or self._stopped.is_set() or self._growth.count() > self._scan.total:
                    break
                self._stopped.wait(self._poll_s)
            count = self._growth.count()
        except ScanError:  # gone, with all that was wanted of it
            return None
        if filled:
            return Claim(np.array(filled, np.int64), again=True)
        if count > self._scan.total and not self._stopped.is_set():
            raise self._surplus(count)
        return None

    def _surplus(self, count: int) -> ScanError:
        rows, cols = self._scan.nav_shape
        if self._scan.alternating and count == rows * cols:
            return FullRowsError(
                f"{self.path}: all rows of the hexagonal grid of {rows}×{cols} are equally long, as its {count:,} "
                "patterns show at the end only; they were taken to alternate"
            )
        now = read_header(self.path).nav_shape
        changed = f"; its header says {now[0]}×{now[1]} now" if now and now != self.header.nav_shape else ""
        return ScanError(
            f"{self.path}: holds {count:,} patterns, and a grid of {rows}×{cols} takes {self._scan.total:,}{changed}: "
            "those are encoded, the others are not; encode the finished scan to another --out, if need be with --grid"
        )

    def _await_header(self, path: Path, grid: tuple[int, int] | None) -> None:
        pixel_type(path)
        deadline = time.monotonic() + self.idle_timeout_s
        while True:
            try:
                header = read_header(path)
                count_patterns(path, header)
                told = grid or header.version == 1 or find_companion(path).is_file()
                if told or 0 not in (header.nav_shape or (0, 0)):
                    return
                problem = ScanError(f"{path}: the header states no grid yet; give --grid ROWSxCOLS")
            except ScanError as error:
                problem = error
            if time.monotonic() > deadline or path.is_dir():
                raise problem
            time.sleep(self._poll_s)

    def _deliverable(self, scan: Scan, count: int) -> int:
        return scan.total
