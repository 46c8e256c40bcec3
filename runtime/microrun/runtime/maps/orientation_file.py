"""Orientations that others found: .ang files of EDAX, and orix's own .h5 files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import microrun.kernels.compiling  # noqa: F401 (before what orix compiles)
from microrun.runtime.array_types import Float64
from microrun.runtime.errors import ScanError, first_line
from microrun.runtime.maps.orientations import OrientedMap, point_group
from microrun.runtime.scans.ang import AngGrid
from microrun.runtime.scans.ang_points import read_ang_map
from microrun.runtime.scans.said import said_as_ours
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import ScanWarning

ASSUMED = "fcc"


def read_orientations(path: Path, phase: str | None = None) -> OrientedMap:
    """Read a map of orientations on a square grid.

    Parameters
    ----------
    path
        An .ang file or one that orix wrote.
    phase
        As `find_structure` takes it, for the symmetry where the file states none; it must not contradict the file.
        None for fcc.

    Raises
    ------
    ScanError
        If it cannot be read, is no full map on a square grid, or states another symmetry than that of the phase.

    Warns
    -----
    ScanWarning
        If neither the file nor the caller states a symmetry, and for what orix warns of.
    """
    found, grid = _read(path, phase)
    if grid and grid.grid == "hexagonal":
        raise ScanError(f"{path}: is on a hexagonal grid; export the map on a square grid")
    return found


def load_orientations(path: Path, scan: Scan, phase: str | None = None) -> OrientedMap:
    """Read the orientations of a scan.

    Parameters
    ----------
    path
        As `read_orientations` takes it; a hexagonal grid is fine if the scan has the same.
    scan
        Whose map it must be.
    phase
        As `read_orientations` takes it.

    Raises
    ------
    ScanError
        As of `read_orientations`, and if the map has another grid than the scan.

    Warns
    -----
    ScanWarning
        If neither the file nor the caller states a symmetry, and for what orix warns of.
    """
    found, grid = _read(path, phase)
    shape = found.phase.shape
    if shape != scan.nav_shape:
        raise ScanError(f"{path}: is a map of {shape[0]}×{shape[1]}; the scan has {scan.nav_shape}")
    kind = grid.grid if grid else "square"
    if kind != scan.grid:
        raise ScanError(f"{path}: is on a {kind} grid; the scan's is {scan.grid}")
    if grid and grid[3:] != (not scan.alternating, scan.first_shifted):
        raise ScanError(f"{path}: its rows and those of the scan are not of the same lengths, or not shifted alike")
    return found


class StatedMap(NamedTuple):
    """What a file says, as `OrientedMap`; a symmetry is None where it states none, the grid where it is square."""

    rotations: Float64
    phase: NDArray[np.int64]
    symmetries: dict[int, str | None]
    grid: AngGrid | None


def read_stated(path: Path) -> StatedMap:
    """Read a map, and of its crystals no more than it states.

    Parameters
    ----------
    path
        An .ang file or one that orix wrote.

    Raises
    ------
    ScanError
        If it cannot be read, or is no full map.

    Warns
    -----
    ScanWarning
        For what orix warns of.
    """
    found = _read_ang(path) if path.suffix.lower() == ".ang" else _read_orix(path)
    rotations = np.where((found.phase >= 0)[..., None], found.rotations, (1.0, 0.0, 0.0, 0.0))
    return found._replace(rotations=rotations)


def _read(path: Path, phase: str | None) -> tuple[OrientedMap, AngGrid | None]:
    found = read_stated(path)
    return OrientedMap(found.rotations, found.phase, _settle(path, found.symmetries, phase)), found.grid


def _read_ang(path: Path) -> StatedMap:
    from orix.quaternion import Rotation

    found = read_ang_map(path)
    rotations = Rotation.from_euler(found.euler).data
    return StatedMap(rotations, found.phase.astype(np.int64), found.symmetries, found.grid)


def _read_orix(path: Path) -> StatedMap:
    found = _load(path)
    shape = _shape_of(found)
    best = found.rotations.data.reshape(found.size, -1, 4)[:, 0]
    if len(best) != shape[0] * shape[1]:
        raise ScanError(
            f"{path}: holds {len(best)} orientations, which do not make a full map of {shape[0]}×{shape[1]}"
        )
    groups = {number: phase.point_group for number, phase in found.phases if number >= 0}
    symmetries = {number: group.name if group else None for number, group in groups.items()}
    return StatedMap(best.reshape(*shape, 4), found.phase_id.reshape(shape).astype(np.int64), symmetries, None)


def _settle(path: Path, stated: dict[int, str | None], phase: str | None) -> dict[int, str]:
    """Symmetries of all phases: those stated, else that of the phase that was asked for, else of fcc."""
    if phase is None and None in stated.values():
        text = f"{path}: states no symmetry of its crystals; they are taken as {ASSUMED}: give --phase"
        warnings.warn(text, ScanWarning, stacklevel=4)
    settled = {number: symmetry or phase or ASSUMED for number, symmetry in stated.items()}
    for number, symmetry in settled.items():
        try:
            group = point_group(symmetry)
        except ScanError as error:
            raise ScanError(f"{path}: phase {number}: {error}") from None
        if phase and group != point_group(phase):
            raise ScanError(f"{path}: its phase {number} has symmetry {symmetry}, which is not that of {phase}")
    return settled


def _shape_of(found: Any) -> tuple[int, int]:
    """Rows and columns; of a single row or column, orix tells only the length."""
    if len(found.shape) == 2:
        rows, cols = found.shape
        return rows, cols
    return (found.size, 1) if found.x is None else (1, found.size)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ScanError(f"{path}: no such file")
    from orix.io import load

    try:
        with said_as_ours(path, "orix"):
            return load(path)
    except Exception as error:  # its readers raise whatever they come across
        text = f"{path}: orix cannot read it ({first_line(error)}); give an .ang or an orix .h5 file"
        raise ScanError(text) from None
