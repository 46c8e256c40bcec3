"""Patterns from a UP1 or UP2 file, finished or still growing."""

from __future__ import annotations

import threading
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import Claim, FinishedSource
from microrun.runtime.scans.up2 import ScanWarning, count_patterns, pixel_type, read_header
from microrun.runtime.scans.up_grid import check_finished, scan_of_file


class FileSource(FinishedSource):
    """A finished UP1 or UP2 file, read lazily, whole patterns at a time.

    Parameters
    ----------
    path
        The file.
    grid
        (rows, cols) of the map; needed where neither header nor a companion .ang tells.
    step_um
        Step in µm, likewise.
    start
        First pattern to deliver.

    Raises
    ------
    ScanError
        If the file is no UP file, has no grid, or holds something else than its header says.

    Warns
    -----
    ScanWarning
        If it holds more or fewer patterns than the scan has.

    Examples
    --------
    >>> from microrun.runtime import FileSource
    >>> source = FileSource("scan.up1")
    >>> source.scan.nav_shape, source.scan.sig_shape, source.available
    ((3, 3), (60, 60), 9)
    """

    def __init__(
        self,
        path: str | Path,
        grid: tuple[int, int] | None = None,
        step_um: float | None = None,
        start: int = 0,
    ) -> None:
        self.path = Path(path)
        self.header = read_header(self.path)
        count = count_patterns(self.path, self.header)
        self._grid_asked = grid is not None
        scan = scan_of_file(self.path, self.header, count, grid, step_um)
        super().__init__(scan, start, self._deliverable(scan, count))
        self._handles = threading.local()

    def read_patterns(self, indices: NDArray[np.int64], out: Raw) -> None:
        """Copy the patterns of these numbers into ``out``, those that follow each other in one go.

        Raises
        ------
        ScanError
            If the file went away or became shorter.
        """
        breaks = np.flatnonzero(np.diff(indices) != 1) + 1
        edges = [0, *breaks.tolist(), len(indices)]
        for start, stop in pairwise(edges):
            self._read_run(int(indices[start]), out[start:stop])

    def _read_run(self, index: int, out: Raw) -> None:
        view = memoryview(out.data).cast("B")
        position = self.header.offset + index * self._scan.pattern_bytes
        try:
            file = self._handle()
            file.seek(position)
            done = 0
            while done < len(view):
                got = file.readinto(view[done:])  # type: ignore[attr-defined]
                if not got:
                    raise ScanError(f"{self.path}: became shorter while it was read (pattern {index})")
                done += got
        except OSError as error:
            raise ScanError(f"{self.path}: cannot be read ({error.strerror or error})") from None

    def _handle(self) -> BinaryIO:
        # One unbuffered handle a thread: seek and read need no lock, and no copy through a buffer.
        if not hasattr(self._handles, "file"):
            self._handles.file = self.path.open("rb", buffering=0)
        file: BinaryIO = self._handles.file
        return file

    def _deliverable(self, scan: Scan, count: int) -> int:
        """Check the file against its geometry; return how many of its patterns belong to the scan."""
        check_finished(self.path, self.header, scan, count, self._grid_asked)
        total = scan.total
        if count == 0:
            raise ScanError(f"{self.path}: holds no whole pattern; its header promises {total}")
        if count > total:
            text = f"{self.path}: {count - total} patterns after the {total} of the scan are ignored"
            warnings.warn(text, ScanWarning, stacklevel=3)
        elif count < total:
            text = f"{self.path}: holds {count} of the {total} patterns that it promises"
            warnings.warn(text, ScanWarning, stacklevel=3)
        return min(count, total)


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
    Only whole patterns are delivered. The stream ends when the scan is complete, after the idle time-out,
    or by `stop`; `complete` then tells which.

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

    @property
    def available(self) -> int:
        """Whole patterns on disk now; those delivered, once the file is gone."""
        try:
            return self._count()
        except ScanError:
            return self._next

    @property
    def complete(self) -> bool:
        """True once all patterns of the scan are on disk."""
        return self.available == self._scan.total

    def claim(self, limit: int) -> Claim | None:
        """Wait for whole patterns; None when the scan is complete, idle for too long, or stopped.

        Raises
        ------
        ScanError
            If the file vanished or became shorter than what was delivered.
        """
        with self._claiming:
            if self._next >= self._scan.total:
                return None
            available = self.await_patterns(self._next + 1)
            if available <= self._next or self._stopped.is_set():
                return None
            first, self._next = self._next, min(self._next + limit, available)
            return Claim(np.arange(first, self._next))

    def await_patterns(self, count: int) -> int:
        """Wait until the file holds that many patterns; return how many it holds.

        Fewer than ``count`` are returned after the idle time-out or `stop`.

        Raises
        ------
        ScanError
            If the file vanished or became shorter.
        """
        deadline = time.monotonic() + self.idle_timeout_s
        while True:
            available = self._count()
            if available < self._next:
                raise ScanError(f"{self.path}: became shorter while it was followed ({available} patterns left)")
            if available >= count or self._stopped.is_set() or time.monotonic() > deadline:
                return available
            self._stopped.wait(self._poll_s)

    def stop(self) -> None:
        """End the stream after what was already delivered."""
        self._stopped.set()

    def _count(self) -> int:
        return min(count_patterns(self.path, self.header), self._scan.total)

    def _await_header(self, path: Path, grid: tuple[int, int] | None) -> None:
        pixel_type(path)
        deadline = time.monotonic() + self.idle_timeout_s
        while True:
            try:
                header = read_header(path)
                count_patterns(path, header)
                told = grid or header.version == 1 or path.with_suffix(".ang").exists()
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
