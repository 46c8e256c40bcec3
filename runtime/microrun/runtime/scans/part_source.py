"""A part of a scan, read as if it were one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError
from microrun.runtime.scans.part import Part
from microrun.runtime.scans.source import FinishedSource


class PartSource(FinishedSource):
    """Patterns of a part of a finished scan.

    Parameters
    ----------
    whole
        The scan.
    part
        Which of its points.

    Raises
    ------
    ScanError
        If it is a part of another map, its grid is none, or none of its patterns was recorded.
    """

    def __init__(self, whole: FinishedSource, part: Part) -> None:
        self.whole, self.part, self.path = whole, part, whole.path
        if part.whole != whole.scan.nav_shape:
            wanted, found = (f"{rows}×{cols}" for rows, cols in (part.whole, whole.scan.nav_shape))
            raise ScanError(f"{self.path}: is a map of {found}; the part was one of {wanted}")
        scan = part.cut(whole.scan)
        there = int(np.searchsorted(part.number(whole.scan, np.arange(scan.total)), whole.available))
        if there == 0:
            raise ScanError(f"{self.path}: holds {whole.available:,} patterns, none of them in {part}")
        super().__init__(scan, 0, there)
        self.ahead = whole.ahead

    def read_patterns(self, indices: NDArray[np.int64], out: Raw) -> None:
        """Copy the patterns of these numbers in the part into ``out``."""
        self.whole.read_patterns(self.part.number(self.whole.scan, indices), out)

    def expect(self, indices: NDArray[np.int64]) -> None:
        """Note which patterns of the part will be asked for."""
        self.whole.expect(self.part.number(self.whole.scan, indices))

    def stop(self) -> None:
        """Deliver nothing more."""
        super().stop()
        self.whole.stop()
