"""Scan grid and pattern centre from the header of a companion .ang file (EDAX OIM)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.scan import Grid


class AngGrid(NamedTuple):
    """Grid of a scan: (rows, cols), (x, y) step in µm, kind, whether odd rows are as long as even ones."""

    nav_shape: tuple[int, int]
    step_um: tuple[float, float]
    grid: Grid
    full_rows: bool


def read_ang_grid(path: Path) -> AngGrid | None:
    """Read the grid that an .ang file states.

    Parameters
    ----------
    path
        The file; it need not exist.

    Returns
    -------
    AngGrid or None
        None if there is no such file.

    Raises
    ------
    ScanError
        If it exists but states no grid.
    """
    try:
        with path.open(encoding="latin-1") as file:
            entries = dict(_entries(file))
    except OSError:
        return None
    try:
        odd, even = int(entries["NCOLS_ODD"]), int(entries["NCOLS_EVEN"])
        steps = float(entries["XSTEP"]), float(entries["YSTEP"])
        grid: Grid = "hexagonal" if entries["GRID"].lower().startswith("hex") else "square"
        return AngGrid((int(entries["NROWS"]), max(odd, even)), steps, grid, odd == even)
    except (KeyError, ValueError) as error:
        raise ScanError(f"{path}: its header states no complete grid ({error}); give --grid and --step") from None


def read_ang_pattern_centre(path: Path) -> tuple[float, float, float] | None:
    """Read the pattern centre (x*, y*, z*) that an .ang file states.

    Returns
    -------
    tuple of float, or None
        None if there is no such file, or it states none; programs that know none write zeros.
    """
    try:
        with path.open(encoding="latin-1") as file:
            words = [line[1:].replace(":", " ").split() for line in takewhile(lambda line: line.startswith("#"), file)]
    except OSError:
        return None
    stated = {entry[0].lower(): entry[1] for entry in words if len(entry) == 2}
    try:
        centre = float(stated["x-star"]), float(stated["y-star"]), float(stated["z-star"])
    except (KeyError, ValueError):
        return None
    return centre if all(map(math.isfinite, centre)) and centre[2] > 0 else None


def _entries(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in takewhile(lambda line: line.startswith("#"), lines):
        key, _, value = line[1:].partition(":")
        yield key.strip(), value.strip()
