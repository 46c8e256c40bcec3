"""A folder of pictures, one a pattern, numbered in scan order."""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw
from microrun.runtime.cores import count_cores
from microrun.runtime.errors import ScanError
from microrun.runtime.files.kinds import FOLDER, check_kind, find_kind
from microrun.runtime.scans.picture_file import count_pages, read_picture, require_pillow
from microrun.runtime.scans.picture_layout import lay_out
from microrun.runtime.scans.picture_names import name_pictures
from microrun.runtime.scans.read_ahead import ReadAhead
from microrun.runtime.scans.scan import PixelType
from microrun.runtime.scans.source import FinishedSource
from microrun.runtime.scans.up2 import ScanWarning

AHEAD, AHEAD_BYTES = 256, 1 << 26  # patterns that are read before they are asked for
MOST_THREADS = 16
LOOKED_AT = 16  # pictures that are compared when a folder is opened
NAMED = 5  # pictures that are left out, which are said one by one


class PictureSource(FinishedSource):
    """A folder of TIFF, PNG or BMP pictures, one a pattern; only those that are asked for are read.

    A pattern whose picture is missing, damaged, of another size or depth, or coloured is all zeros: a blank frame.

    Parameters
    ----------
    path
        The folder.
    grid
        (rows, cols) of the map; needed where neither the names nor an .ang file beside the folder tell.
    step_um
        Step in µm, likewise.
    start
        First pattern to deliver.

    Attributes
    ----------
    understood : str
        What the names tell, for people.

    Raises
    ------
    ScanError
        If Pillow is not installed, there are no pictures, their names tell no order, the grid does not fit, none of
        them can be read, or most are unlike the first.

    Warns
    -----
    ScanWarning
        If numbers are missing, other pictures are passed over, and for the first pictures that are left out.
    """

    library = "Pillow"

    def __init__(
        self, path: str | Path, grid: tuple[int, int] | None = None, step_um: float | None = None, start: int = 0
    ) -> None:
        self.path = Path(path)
        if find_kind(self.path) is not FOLDER:  # one without pictures is refused below
            check_kind(self.path, "scan", ScanError)
        pictures = name_pictures(self.path)
        require_pillow(self.path)
        layout = lay_out(self.path, pictures, grid, step_um)
        self.understood, self._names, self._places = pictures.understood, pictures.names, layout.places
        self._left_out = _LeftOut(self.path)
        sig_shape, dtype = self._look()
        super().__init__(replace(layout.scan, sig_shape=sig_shape, dtype=dtype), start, layout.scan.total)
        self.ahead = max(1, min(AHEAD, AHEAD_BYTES // self._scan.pattern_bytes))
        self._reading = ReadAhead(self._load, min(MOST_THREADS, 4 * count_cores()))
        self._say_others(pictures.others)
        self._say_missing(layout.first)

    def read_patterns(self, indices: NDArray[np.int64], out: Raw) -> None:
        """Copy the patterns of these numbers into ``out``; zeros where there is no picture that can be used."""
        self._reading.read(indices, out)

    def expect(self, indices: NDArray[np.int64]) -> None:
        """Begin to read patterns that will be asked for."""
        self._reading.expect(indices.tolist())

    def stop(self) -> None:
        """Deliver nothing more; the pictures that were left out are counted."""
        super().stop()
        self._reading.forget()
        self._left_out.say_count()

    def _load(self, number: int) -> Raw:
        place = int(np.searchsorted(self._places, number))
        found = place < len(self._places) and self._places[place] == number
        pattern = self._read(self._names[place]) if found else None
        return np.zeros(self._scan.sig_shape, self._scan.dtype) if pattern is None else pattern

    def _read(self, name: str) -> Raw | None:
        """A pattern; None for a picture that is left out."""
        try:
            pattern = read_picture(self.path / name)
        except ScanError as error:
            if not self.path.is_dir():
                raise ScanError(f"{self.path}: is gone, or cannot be reached, after it was opened") from None
            self._left_out.say(name, str(error))
            return None
        if pattern.shape != self._scan.sig_shape or pattern.dtype != self._scan.dtype:
            expected = _describe(self._scan.sig_shape, self._scan.dtype)
            self._left_out.say(name, f"it is {_describe(pattern.shape, pattern.dtype)}, the others {expected}")
            return None
        return pattern

    def _look(self) -> tuple[tuple[int, int], PixelType]:
        """Shape and pixel type, of the first picture that can be read; at least half of some others must have them."""
        problem = ""
        for name in self._names:
            try:
                first = read_picture(self.path / name)
                break
            except ScanError as error:
                problem = problem or f"{name}: {error}"
        else:
            raise ScanError(f"{self.path}: none of its {len(self._names):,} pictures can be read; {problem}")
        if (pages := count_pages(self.path / name)) > 1:
            raise ScanError(f"{self.path}: {name} holds {pages:,} pictures; expected one pattern in each file")
        kinds = Counter(self._kinds())
        own = first.shape, str(first.dtype)
        others = kinds.total() - kinds[own]
        if 2 * others > kinds.total():
            other = max((kind for kind in kinds if kind != own), key=lambda kind: kinds[kind])
            raise ScanError(
                f"{self.path}: {name} is {_describe(*own)}, most of its pictures are not, such as {_describe(*other)}; "
                "expected patterns of one size and depth"
            )
        return own  # type: ignore[return-value]

    def _kinds(self) -> list[tuple[tuple[int, ...], str]]:
        """Shapes and pixel types of some pictures from all over the scan."""
        chosen = np.unique(np.linspace(0, len(self._names) - 1, LOOKED_AT).astype(np.int64))
        found = []
        for place in chosen.tolist():
            try:
                picture = read_picture(self.path / self._names[place])
            except ScanError:  # said when it is read as a pattern
                continue
            found.append((picture.shape, str(picture.dtype)))
        return found

    def _say_others(self, others: list[str]) -> None:
        if others:
            text = f"{self.path}: {len(others):,} with other names, such as {others[0]}, are not part of the scan"
            warnings.warn(text, ScanWarning, stacklevel=3)

    def _say_missing(self, first: int | None) -> None:
        missing = self._scan.total - len(self._places)
        if not missing:
            return
        gaps = np.flatnonzero(self._places != np.arange(len(self._places)))
        number = int(gaps[0]) if len(gaps) else len(self._places)
        row, col = (int(place[0]) for place in self._scan.locate(np.array([number])))
        text = f"{self.path}: {missing:,} of the {self._scan.total:,} patterns have no picture"
        where = f"the first in row {row}, column {col}, counted from 0"
        where += "" if first is None else f"; number {first} is taken as the first pattern"
        warnings.warn(f"{text} ({where}): taken as blank frames", ScanWarning, stacklevel=3)


class _LeftOut:
    """Says which pictures were left out: the first by name, then how many."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()
        self._said = 0
        self._saying = threading.RLock()  # `say_count` may come from a signal handler, at any moment

    def say(self, name: str, reason: str) -> None:
        """Note a picture; it may be noted again."""
        with self._saying:
            if name in self._known:
                return
            self._known.add(name)
            if len(self._known) <= NAMED:
                self._warn(f"{name} is left out as a blank frame: {reason}")

    def say_count(self) -> None:
        """Say how many there were, if not all were named."""
        with self._saying:
            if len(self._known) > max(NAMED, self._said):
                self._warn(f"{len(self._known):,} pictures were left out as blank frames, of which {NAMED} were named")

    def _warn(self, text: str) -> None:
        self._said = len(self._known)
        warnings.warn(f"{self._folder}: {text}", ScanWarning, stacklevel=4)


def _describe(shape: tuple[int, ...], dtype: object) -> str:
    return f"{shape[0]}×{shape[1]} {dtype}"
