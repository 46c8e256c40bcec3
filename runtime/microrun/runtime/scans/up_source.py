"""Patterns from a finished UP1 or UP2 file."""

from __future__ import annotations

import threading
import warnings
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError
from microrun.runtime.files.shared_reading import open_shared
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import FinishedSource
from microrun.runtime.scans.up2 import ScanWarning, count_patterns, read_header
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
            self._handles.file = open_shared(self.path)
        file: BinaryIO = self._handles.file
        return file

    def _deliverable(self, scan: Scan, count: int) -> int:
        """Check the file against its geometry; return how many of its patterns belong to the scan."""
        check_finished(self.path, self.header, scan, count, self._grid_asked)
        total = scan.total
        if count == 0:
            raise ScanError(f"{self.path}: contains no whole pattern; its header promises {total}")
        if count > total:
            text = f"{self.path}: {count - total} patterns after the {total} of the scan are ignored"
            warnings.warn(text, ScanWarning, stacklevel=3)
        elif count < total:
            text = f"{self.path}: holds {count} of the {total} patterns that it promises"
            warnings.warn(text, ScanWarning, stacklevel=3)
        return min(count, total)
