"""Orientations that others found: .ang files of EDAX, and orix's own .h5 files."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import ScanError
from microrun.runtime.scans.scan import Scan


def read_orientations(path: Path) -> tuple[Float64, NDArray[np.bool_]]:
    """Read a map of orientations on a square grid.

    Parameters
    ----------
    path
        An .ang file or one that orix wrote.

    Returns
    -------
    rotations : (rows, cols, 4) float64
        Unit quaternions; identity where not indexed.
    valid : (rows, cols) bool
        True where indexed.

    Raises
    ------
    ScanError
        If orix cannot read it, or it is no full map.
    """
    found = _load(path)
    shape = _shape_of(found)
    best = found.rotations.data.reshape(found.size, -1, 4)[:, 0]
    if len(best) != shape[0] * shape[1]:
        raise ScanError(f"{path}: holds {len(best)} orientations, which are no full map of {shape[0]}×{shape[1]}")
    valid = (found.phase_id >= 0).reshape(shape)
    return np.where(valid[..., None], best.reshape(*shape, 4), (1.0, 0.0, 0.0, 0.0)), valid


def load_orientations(path: Path, scan: Scan) -> tuple[Float64, NDArray[np.bool_]]:
    """Read the orientations of a scan.

    Parameters
    ----------
    path
        As `read_orientations` takes it.
    scan
        Whose map it must be.

    Returns
    -------
    rotations : (rows, cols, 4) float64
        Unit quaternions; identity where not indexed.
    valid : (rows, cols) bool
        True where indexed.

    Raises
    ------
    ScanError
        If orix cannot read it, or the map has another shape than the scan.
    """
    rotations, valid = read_orientations(path)
    if valid.shape != scan.nav_shape:
        raise ScanError(f"{path}: is a map of {valid.shape[0]}×{valid.shape[1]}; the scan has {scan.nav_shape}")
    return rotations, valid


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
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # about symmetries that it guesses
            return load(path)
    except Exception as error:  # its readers raise whatever they come across
        raise ScanError(f"{path}: orix cannot read it ({error}); give an .ang or an orix .h5 file") from None
