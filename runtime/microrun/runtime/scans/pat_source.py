"""Thermo Fisher's .pat files, read through PyEBSDIndex."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError, first_line
from microrun.runtime.files.extras import install_command
from microrun.runtime.files.kinds import check_kind
from microrun.runtime.scans.scan import MAX_SIDE, Scan
from microrun.runtime.scans.source import FinishedSource
from microrun.runtime.scans.up2 import ScanWarning

PAT = ".pat"
_START = struct.Struct("<5I")  # version, columns, rows, width and height of patterns
HEADER_BYTES = 25
PLACE_BYTES = 8  # before each pattern: where it lies, as two numbers


class PatSource(FinishedSource):
    """A finished .pat file of Thermo Fisher's, read lazily, whole patterns at a time.

    Parameters
    ----------
    path
        The file; NAME.ebsd beside it tells the step.
    grid
        (rows, cols) of the map; needed where the file holds single points.
    step_um
        Step in µm, in place of the file's own.
    start
        First pattern to deliver.

    Raises
    ------
    ScanError
        If PyEBSDIndex is not installed, or the file is missing, another, damaged, or does not fit the grid.

    Warns
    -----
    ScanWarning
        If it holds fewer patterns than it promises.
    """

    library = "PyEBSDIndex"

    def __init__(
        self, path: str | Path, grid: tuple[int, int] | None = None, step_um: float | None = None, start: int = 0
    ) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        sig_shape = int(self._file.patternH), int(self._file.patternW)
        count = _count(self.path, self._file)
        promised = int(self._file.nPatterns)
        nav_shape = grid or _stated_grid(self.path, self._file)
        total = nav_shape[0] * nav_shape[1]
        if total != promised:
            raise ScanError(
                f"{path}: a grid of {nav_shape[0]}×{nav_shape[1]} has {total:,} patterns; the file has {promised:,}"
            )
        step = float(self._file.xStep) if step_um is None else step_um
        try:
            scan = Scan(nav_shape, sig_shape, "uint16", "square", (step, step))
        except ScanError as error:
            raise ScanError(f"{path}: {error}") from None
        if count < total:
            text = f"{path}: holds {count:,} of the {total:,} patterns that it promises"
            warnings.warn(text, ScanWarning, stacklevel=2)
        super().__init__(scan, start, count)

    def read_patterns(self, indices: NDArray[np.int64], out: Raw) -> None:
        """Copy the patterns of these numbers into ``out``; ScanError if the file went away or became shorter."""
        breaks = np.flatnonzero(np.diff(indices) != 1) + 1
        for start, stop in pairwise([0, *breaks.tolist(), len(indices)]):
            try:
                self.path.stat()  # of a file that is gone it prints a line, where others write their results
                out[start:stop] = self._file.pat_reader(int(indices[start]), stop - start)[0]
            except Exception:  # that a file is short, it says in NumPy's words
                raise ScanError(f"{self.path}: cannot be read any more (pattern {int(indices[start])})") from None


def _open(path: Path) -> Any:
    """PyEBSDIndex's own reader, with the header read and checked."""
    _check_start(path)
    try:
        from pyebsdindex.ebsd_pattern import TFPatFile
    except ModuleNotFoundError:
        raise ScanError(f"{path}: is read through PyEBSDIndex; {install_command('pat')}") from None
    file = TFPatFile(str(path.absolute()))
    file.xStep = file.yStep = 0.0  # else it takes 1 where no step is stated
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where it says that there is no .ebsd beside it
            file.read_header()
        file.version, file.filePos = int(file.version[0]), int(file.filePos)
    except Exception as error:  # whatever NumPy says of a file that ends in its background
        raise ScanError(f"{path}: is damaged: its header cannot be read ({first_line(error)})") from None
    return file


def _check_start(path: Path) -> None:
    """Refuse what is no such file before room is taken for what its header states."""
    if not path.is_file():
        raise ScanError(f"{path}: no such file")
    with contextlib.suppress(OSError), path.open("rb") as opened:
        start = opened.read(HEADER_BYTES)
        break_off = len(start) < HEADER_BYTES
        if break_off:
            check_kind(path, "scan", ScanError)
            raise ScanError(
                f"{path}: a header of a .pat file has {HEADER_BYTES} bytes; the file ends after {len(start)}"
            )
        version, _, _, *sides = _START.unpack(start[: _START.size])
        if not 1 <= version < 1 << 16 or not all(1 <= side <= MAX_SIDE for side in sides):
            raise ScanError(
                f"{path}: is not a .pat file of Thermo Fisher's, or is damaged: it states version {version} and "
                f"patterns of {sides[1]}×{sides[0]}"
            )


def _count(path: Path, file: Any) -> int:
    """Whole patterns in the file."""
    pattern_bytes = 2 * int(file.patternH) * int(file.patternW) + PLACE_BYTES
    count = (path.stat().st_size - file.filePos) // pattern_bytes
    if count < 1:
        raise ScanError(f"{path}: contains no whole pattern; its header promises {int(file.nPatterns):,}")
    return int(min(count, int(file.nPatterns)))


def _stated_grid(path: Path, file: Any) -> tuple[int, int]:
    rows, cols = int(file.nRows), int(file.nCols)
    if rows * cols != int(file.nPatterns):
        raise ScanError(
            f"{path}: holds {int(file.nPatterns):,} single points, not a map: give --grid ROWSxCOLS, such as "
            f"1x{int(file.nPatterns)}"
        )
    return rows, cols
