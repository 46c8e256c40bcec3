"""Maps of orientations in text: .ang of EDAX's OIM, .ctf of Oxford's Channel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import ScanError, SectionsError, first_line
from microrun.runtime.scans.ang_points import read_ang_map
from microrun.runtime.sections.grain_map import OrientationMap

ENCODING = "latin-1"
CUBIC_ANG = ("43", "m-3m", "m3m", "432")
CUBIC_CTF = "11"  # Laue group m-3m
CTF_COLUMNS = ("phase", "x", "y", "euler1", "euler2", "euler3")
CTF_HEADER = 100  # lines; Channel writes about fifteen


class _Points(NamedTuple):
    """Points in the order of the file: angles in radians (n, 3), places in µm (n, 2), phase (n,), −1 for none."""

    euler: Float64
    place: Float64
    phase: NDArray[np.int32]


def read_ang(path: Path) -> OrientationMap:
    """Read the first eight columns of an .ang file, as `read_ang_map` does.

    Parameters
    ----------
    path
        The file; its grid must be square.

    Raises
    ------
    SectionsError
        If it cannot be read, is no full square grid, or a phase in it is not cubic.
    """
    try:
        found = read_ang_map(path)
    except ScanError as error:
        raise SectionsError(str(error)) from None
    if found.header.hexagonal:
        raise SectionsError(f"{path}: is on a hexagonal grid; export the map on a square grid")
    step_x, step_y = found.grid.step_um
    if not step_x:
        raise SectionsError(f"{path}: a single column of points is not a square grid")
    for number, symmetry in found.symmetries.items():
        _check_cubic(path, number, symmetry, CUBIC_ANG)
    return OrientationMap(found.euler, found.phase, (step_x, step_y or step_x))


def read_ctf(path: Path) -> OrientationMap:
    """Read a .ctf file; points of phase 0 are not indexed.

    Parameters
    ----------
    path
        The file, in degrees and µm.

    Raises
    ------
    SectionsError
        If it cannot be read, is no full square grid, or a phase in it is not cubic.
    """
    lines = _lines(path)
    groups: list[str] = []
    names: list[str] = []
    for line in islice(lines, CTF_HEADER):
        words = line.strip().split("\t")
        if words[0].lower() == "phase" and len(words) >= len(CTF_COLUMNS):
            names = [word.strip().lower() for word in words]
            break
        if len(words) >= 4 and words[0].count(";") == 2:  # lattice, angles, name, Laue group
            groups.append(words[3].strip())
    if not set(CTF_COLUMNS) <= set(names):
        raise SectionsError(f"{path}: is not a .ctf file: no line has the columns Phase, X, Y, Euler1, Euler2, Euler3")
    columns = tuple(names.index(name) for name in CTF_COLUMNS)
    table = _load(path, (line.replace(",", ".") for line in lines), columns, ", ".join(CTF_COLUMNS))
    phase = table[:, 0].astype(np.int32)
    for number in np.unique(phase[phase > 0]):
        _check_cubic(path, int(number), groups[number - 1] if number <= len(groups) else None, (CUBIC_CTF,))
    return _to_grid(path, _Points(np.deg2rad(table[:, 3:]), table[:, 1:3], np.where(phase > 0, phase, -1)))


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding=ENCODING) as file:
            yield from file
    except OSError as error:
        raise SectionsError(f"{path}: cannot be read ({error.strerror})") from None


def _load(path: Path, lines: Iterator[str], columns: tuple[int, ...], names: str) -> Float64:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are no lines, which is said below
            table = np.loadtxt(lines, usecols=columns, ndmin=2, comments="#")
    except ValueError as error:
        raise SectionsError(f"{path}: expected columns {names} in every line ({first_line(error)})") from None
    if not len(table):
        raise SectionsError(f"{path}: contains no points")
    if not np.isfinite(table).all():
        raise SectionsError(f"{path}: not all of its numbers are finite")
    return table


def _check_cubic(path: Path, phase: int, stated: str | None, cubic: tuple[str, ...]) -> None:
    """Refuse another symmetry; where a file states none, cubic is what the program is for."""
    if stated is not None and stated not in cubic:
        raise SectionsError(f"{path}: phase {phase} has symmetry {stated}; only cubic m-3m ({cubic[0]}) is measured")


def _to_grid(path: Path, points: _Points) -> OrientationMap:
    x, y = points.place.T
    starts = np.flatnonzero(np.concatenate([[True], np.diff(y) != 0]))
    lengths = np.diff(np.append(starts, len(y)))
    rows, cols = len(starts), int(lengths[0])
    if cols < 2 or (lengths != cols).any():
        shortest, longest = lengths.min(), lengths.max()
        raise SectionsError(
            f"{path}: expected rows of equal length, x fastest; got {rows} of {shortest} to {longest} points: "
            "it was cut off, or is not a square grid"
        )
    step_x = float(x[cols - 1] - x[0]) / (cols - 1)
    step_y = float(y[-1] - y[0]) / (rows - 1) if rows > 1 else step_x
    expected = np.arange(cols) * step_x
    if not (step_x > 0 and step_y > 0) or np.abs(x.reshape(rows, cols) - x[0] - expected).max() > step_x / 4:
        raise SectionsError(f"{path}: its points lie on no square grid; export the map on one, or without partial rows")
    shape = (rows, cols)
    return OrientationMap(points.euler.reshape(*shape, 3), points.phase.reshape(shape), (step_x, step_y))
