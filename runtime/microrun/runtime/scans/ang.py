"""What the header of an .ang file (EDAX OIM) states: grid, pattern centre, phases."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from microrun.runtime.errors import ScanError
from microrun.runtime.files.stems import stem_of
from microrun.runtime.scans.scan import Grid

ENCODING = "latin-1"  # names of operators and materials are typed on any keyboard
WHOLE = re.compile(r"-?\d{1,9}", re.ASCII)  # numbers of phases, and h, k, l
X_COLUMN, Y_COLUMN = 3, 4


class AngGrid(NamedTuple):
    """Grid of a scan.

    Parameters
    ----------
    nav_shape
        (rows, cols); cols of the longest rows.
    step_um
        (x, y) step in µm.
    grid
        "square" or "hexagonal".
    full_rows
        All rows have the same length.
    first_shifted
        Of a hexagonal grid, the first row and every other one lie half a step to the right, in place of the second.
    """

    nav_shape: tuple[int, int]
    step_um: tuple[float, float]
    grid: Grid
    full_rows: bool
    first_shifted: bool = False


@dataclass(frozen=True)
class StatedPhase:
    """A phase as the header states it.

    Parameters
    ----------
    name
        Of the material; may be empty.
    symmetry
        EDAX's number of its point group, such as 43 for m-3m, or the group's name; None where it is not stated.
    families
        (h, k, l) of the families of planes that were looked for.
    """

    name: str = ""
    symmetry: str | None = None
    families: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class AngHeader:
    """Header of an .ang file.

    Parameters
    ----------
    path
        The file.
    entries
        Values by the first word of their lines, in lower case; where one is stated twice, the first.
    phases
        By their numbers in the file.
    """

    path: Path
    entries: Mapping[str, str]
    phases: Mapping[int, StatedPhase]

    def number(self, name: str) -> float | None:
        """Finite number of an entry; None where it is not stated, or is none."""
        try:
            value = float(self.entries[name].split()[0])
        except (KeyError, IndexError, ValueError):
            return None
        return value if math.isfinite(value) else None

    @property
    def hexagonal(self) -> bool:
        """The header states a hexagonal grid."""
        return self.entries.get("grid", "").lower().startswith("hex")

    @property
    def nav_shape(self) -> tuple[int, int] | None:
        """(rows, points of the longer ones); None where no grid is stated."""
        rows, odd, even = (self.number(name) for name in ("nrows", "ncols_odd", "ncols_even"))
        return (int(rows), int(max(odd, even or 0))) if rows and odd else None

    @property
    def pattern_centre(self) -> tuple[float, float, float] | None:
        """(x*, y*, z*) in EDAX's convention; None where none is stated: programs that know none write zeros."""
        x, y, z = (self.number(f"{axis}-star") for axis in "xyz")
        return None if x is None or y is None or z is None or z <= 0 else (x, y, z)


def find_companion(scan: Path) -> Path:
    """The .ang file that belongs to a scan, which need not exist: NAME.ang beside it, or NAME.ANG.

    Parameters
    ----------
    scan
        The scan's file, or its folder.
    """
    names = [scan.parent / (stem_of(scan) + ending) for ending in (".ang", ".ANG")]
    return next((path for path in names if path.is_file()), names[0])


def read_ang_header(path: Path) -> AngHeader:
    """Read the lines before the points.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    entries: dict[str, str] = {}
    phases: dict[int, StatedPhase] = {}
    current: int | None = None
    with path.open(encoding=ENCODING) as file:
        for key, value in _entries(file):
            words = value.split()
            if key == "phase" and len(words) == 1 and WHOLE.fullmatch(words[0]):
                current = int(words[0])
                phases[current] = StatedPhase()
            elif current is not None:
                phases[current] = _extend(phases[current], key, words)
            entries.setdefault(key, value)
    return AngHeader(path, entries, phases)


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
        If it exists but states no grid, or one whose rows do not fit each other or its first points.
    """
    try:
        header = read_ang_header(path)
        starts = _first_of_rows(path) if header.hexagonal else None
    except OSError:
        return None
    try:
        odd, even, rows = (int(header.entries[name]) for name in ("ncols_odd", "ncols_even", "nrows"))
        steps = float(header.entries["xstep"]), float(header.entries["ystep"])
        header.entries["grid"]  # a key that is missing is said below
    except (KeyError, ValueError) as error:
        what = str(error).upper() if isinstance(error, KeyError) else error
        raise ScanError(f"{path}: its header states no complete grid ({what}); give --grid ROWSxCOLS") from None
    if abs(odd - even) > header.hexagonal:
        kind = "hexagonal" if header.hexagonal else "square"
        raise ScanError(f"{path}: rows of {odd} and of {even} points make no {kind} grid; give --grid ROWSxCOLS")
    if not header.hexagonal:
        return AngGrid((rows, odd), steps, "square", True)
    first_shifted = find_shifted_rows(path, (odd, even), starts, steps[0])
    return AngGrid((rows, max(odd, even)), steps, "hexagonal", odd == even, first_shifted)


def find_shifted_rows(path: Path, lengths: tuple[int, int], starts: tuple[float, float] | None, step_x: float) -> bool:
    """Whether the first row of a hexagonal grid is one of those half a step to the right, rather than the second.

    Parameters
    ----------
    path
        The file, for messages.
    lengths
        Points of the first row and of the second.
    starts
        Where they begin, in µm; None where the points are not known. Then the shorter rows are the shifted ones.
    step_x
        Step in µm.

    Raises
    ------
    ScanError
        If the rows do not lie half a step apart, or the shifted ones are longer.
    """
    shorter_first = lengths[0] < lengths[1]
    if starts is None:
        return shorter_first
    shift = starts[0] - starts[1]
    if not 0.25 < abs(shift) / step_x < 0.75 if step_x > 0 else shift == 0:
        raise ScanError(
            f"{path}: rows of a hexagonal grid lie half a step of {step_x:g} µm apart; "
            f"its first two begin at {starts[0]:g} and {starts[1]:g}"
        )
    if lengths[0] != lengths[1] and (shift > 0) != shorter_first:
        raise ScanError(f"{path}: of a hexagonal grid, the shorter rows begin half a step later; its longer ones do")
    return shift > 0


def _entries(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in takewhile(lambda line: line.startswith("#"), lines):
        key, *value = re.split(r"[:\s]+", line[1:].strip(), maxsplit=1)
        yield key.lower(), "".join(value)


def _extend(phase: StatedPhase, key: str, words: list[str]) -> StatedPhase:
    if key == "materialname":
        return replace(phase, name=" ".join(words))
    if key == "symmetry" and words:
        return replace(phase, symmetry=words[0])
    if key == "hklfamilies" and len(words) >= 3 and all(map(WHOLE.fullmatch, words[:3])):
        h, k, l = map(int, words[:3])  # noqa: E741 (crystallography calls it so)
        return replace(phase, families=(*phase.families, (h, k, l)))
    return phase


def _first_of_rows(path: Path) -> tuple[float, float] | None:
    """Where the first two rows of points begin in x; None where the file holds less."""
    first: list[str] = []
    with path.open(encoding=ENCODING) as file:
        for line in file:
            words = line.split()
            if line.startswith("#") or not words:
                continue
            if len(words) <= Y_COLUMN:
                continue
            first = first or words
            if words[Y_COLUMN] == first[Y_COLUMN]:
                continue
            try:
                return float(first[X_COLUMN]), float(words[X_COLUMN])
            except ValueError:
                return None
    return None
