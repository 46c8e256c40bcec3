"""The points of an .ang file: its first eight columns, which are the same in all versions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import ScanError, first_line
from microrun.runtime.scans.ang import ENCODING, AngGrid, AngHeader, find_shifted_rows, read_ang_header

COLUMNS = "phi1, Phi, phi2, x, y, IQ, CI, phase"
NOT_SOLVED = 4 * np.pi - 0.01  # what OIM writes as angles of points that it could not index
OFF_GRID = 0.25  # steps that a point may lie beside its place; positions are rounded to few decimals


@dataclass(frozen=True, eq=False)
class AngMap:
    """What an .ang file says, laid out on its grid.

    Parameters
    ----------
    header
        What it states before the points.
    grid
        As its points lie; a step is 0 where there is a single column or row.
    euler
        (rows, cols, 3) float64 Bunge angles phi1, Phi, phi2 in radians; 0 where there is no point.
    phase
        (rows, cols) int32, numbers as in the header; −1 where nothing is indexed, or there is no point.
    """

    header: AngHeader
    grid: AngGrid
    euler: Float64
    phase: NDArray[np.int32]

    @property
    def symmetries(self) -> dict[int, str | None]:
        """Symmetry of each phase that occurs, by its number; None where the header states none."""
        occurring = np.unique(self.phase[self.phase >= 0]).tolist()
        stated = {number: phase.symmetry for number, phase in self.header.phases.items()}
        return {number: stated.get(number) for number in occurring}


def read_ang_map(path: Path) -> AngMap:
    """Read orientations and phases; columns after the eighth are of no matter.

    A point is not indexed where its confidence index or phase is negative, its angles are 4π, or all of them are 0
    with a confidence index of 0.

    Parameters
    ----------
    path
        The file, of a square or hexagonal grid.

    Raises
    ------
    ScanError
        If it cannot be read, its points are no full grid, or another than its header states, or it has points of a
        phase that its header does not name.
    """
    try:
        header = read_ang_header(path)
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror})") from None
    table = _load(path)
    grid, exists = _find_grid(header, table[:, 3], table[:, 4])
    euler, phase = np.zeros((*exists.shape, 3)), np.full(exists.shape, -1, np.int32)
    euler[exists], phase[exists] = table[:, :3], _number_phases(header, table)
    return AngMap(header, grid, euler, phase)


def _load(path: Path) -> Float64:
    try:
        with path.open(encoding=ENCODING) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are no lines, which is said below
            table = np.loadtxt(_whole_lines(file), usecols=range(8), ndmin=2, comments="#")
    except ValueError as error:
        raise ScanError(f"{path}: expected columns {COLUMNS} in every line ({first_line(error)})") from None
    if not len(table):
        raise ScanError(f"{path}: contains no points")
    if not np.isfinite(table).all():
        raise ScanError(f"{path}: not all of its numbers are finite")
    return table


def _whole_lines(lines: Iterator[str]) -> Iterator[str]:
    """Lines as they are; ValueError for one that was cut in a column that is not read."""
    expected = 0
    for number, line in enumerate(lines, 1):
        columns = 0 if line.startswith("#") else len(line.split())
        expected = expected or columns
        if columns and columns != expected:
            raise ValueError(f"line {number} has {columns} columns, the first {expected}")
        yield line


def _number_phases(header: AngHeader, table: Float64) -> NDArray[np.int32]:
    """Number of each point's phase, (n,); −1 where it is not indexed."""
    euler, confidence = table[:, :3], table[:, 6]
    unknown = (confidence <= 0) & (euler == 0).all(axis=1)  # some programs write so; the cube orientation has more
    missing = (confidence < 0) | (table[:, 7] < 0) | (euler >= NOT_SOLVED).all(axis=1) | unknown
    phase = np.where(missing, -1, table[:, 7]).astype(np.int32)
    if len(header.phases) == 1 and set(np.unique(phase[~missing]).tolist()) == {0}:
        phase[~missing] = next(iter(header.phases))  # a map of one phase numbers its points 0 or 1
    strange = set(np.unique(phase[~missing]).tolist()) - set(header.phases)
    if header.phases and strange:
        named = ", ".join(map(str, header.phases))
        raise ScanError(f"{header.path}: has points of phase {min(strange)}; its header names phases {named}")
    return phase


def _find_grid(header: AngHeader, x: Float64, y: Float64) -> tuple[AngGrid, NDArray[np.bool_]]:
    """Grid of the points, and which of its places, (rows, cols), have one."""
    path = header.path
    starts = np.flatnonzero(np.concatenate([[True], np.diff(y) != 0]))
    lengths = np.diff(np.append(starts, len(y)))
    expected = np.resize(lengths[:2], len(lengths))
    if (lengths != expected).any() or np.ptp(lengths) > header.hexagonal:
        raise ScanError(
            f"{path}: expected rows of {'alternating' if header.hexagonal else 'equal'} length, x fastest; "
            f"got {len(starts)} of {lengths.min()} to {lengths.max()} points: it was cut off, or is not such a grid"
        )
    _check_header(header, lengths)
    rows, cols = len(starts), int(lengths.max())
    longest = starts[int(lengths.argmax())]
    step_x = float(x[longest + cols - 1] - x[longest]) / (cols - 1) if cols > 1 else 0.0
    step_y = float(y[-1] - y[0]) / (rows - 1) if rows > 1 else 0.0
    exists = np.arange(cols) < lengths[:, None]
    shifted = header.hexagonal and rows > 1 and _first_is_shifted(header, x[starts[:2]], lengths, step_x)
    full_rows = rows == 1 or bool(lengths[0] == lengths[1])
    grid = AngGrid((rows, cols), (step_x, step_y), "hexagonal" if header.hexagonal else "square", full_rows, shifted)
    _check_places(path, grid, exists, (x, y))
    return grid, exists


def _first_is_shifted(header: AngHeader, begin: Float64, lengths: NDArray[np.int64], step_x: float) -> bool:
    step = step_x or 2 * abs(float(begin[0] - begin[1]))  # of a single column, only the shift tells
    return find_shifted_rows(header.path, (int(lengths[0]), int(lengths[1])), (float(begin[0]), float(begin[1])), step)


def _check_header(header: AngHeader, lengths: NDArray[np.int64]) -> None:
    """Refuse points that are not those that the header promises, as far as it does."""
    found = {"NROWS": len(lengths), "NCOLS_ODD": int(lengths[0]), "NCOLS_EVEN": int(lengths[min(1, len(lengths) - 1)])}
    if len(lengths) == 1:
        del found["NCOLS_EVEN"]
    for name, count in found.items():
        stated = header.number(name.lower())
        if stated is not None and stated != count:
            raise ScanError(f"{header.path}: its header states {name} {stated:g}; its points have {count}: was it cut?")


def _check_places(path: Path, grid: AngGrid, exists: NDArray[np.bool_], places: tuple[Float64, Float64]) -> None:
    row, col = (index.astype(np.float64) for index in np.nonzero(exists))
    if grid.grid == "hexagonal":
        col += 0.5 * (row % 2 != grid.first_shifted)
    (step_x, step_y), (x, y) = grid.step_um, places
    first = x[0] - col[0] * step_x
    ascending = (step_x > 0 or grid.nav_shape[1] == 1) and (step_y > 0 or grid.nav_shape[0] == 1)
    off_x, off_y = np.abs(x - first - col * step_x).max(), np.abs(y - y[0] - row * step_y).max()
    # Of a single column the step is not known, and neither is how far rows are shifted.
    if not ascending or (step_x and off_x > OFF_GRID * step_x) or (step_y and off_y > OFF_GRID * step_y):
        raise ScanError(f"{path}: its points lie on no {grid.grid} grid; export the map on one, without partial rows")
