"""The scans in an HDF5 file of other vendors: groups at its top, each with EBSD/Data in it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from microrun.runtime.errors import ScanError, first_line
from microrun.runtime.files.hdf5 import open_hdf5
from microrun.runtime.json_text import UNREADABLE

SHOWN = 8  # names in one line
PLACES = 16  # of a data set, by which copies are known


def scan_names(path: Path) -> list[str]:
    """Names of the scans in a file, in its order.

    Parameters
    ----------
    path
        Any file.

    Returns
    -------
    list of str
        Empty for a file of another kind.

    Raises
    ------
    ScanError
        If the file is damaged.
    """
    if not h5py.is_hdf5(path):
        return []
    with _opened(path) as file:
        return [name for name in file if isinstance(file.get(f"{name}/EBSD/Data"), h5py.Group)]


def choose_scan(path: Path, asked: str | None) -> str | None:
    """Choose one of the scans in a file.

    Parameters
    ----------
    path
        Any file.
    asked
        Its name, or None where there is but one, or copies of one.

    Returns
    -------
    str or None
        The name; None for a file whose scan has none.

    Raises
    ------
    ScanError
        If the file holds several scans and none is asked for, or none of the name that is.
    """
    names = scan_names(path)
    if asked is not None and asked not in names:
        raise ScanError(f"{path}: contains no scan named {asked!r}; it holds {_list(names) or 'one without a name'}")
    if asked is None and len(names) > 1 and not _are_one(path, names):
        raise ScanError(f"{path}: holds {len(names)} scans, {_list(names)}; say which with --scan-name")
    return asked or (names[0] if names else None)


def count_stored(path: Path, name: str, sig_shape: tuple[int, int]) -> int:
    """Whole patterns that a file holds of a scan, whatever its header promises.

    Parameters
    ----------
    path, name
        The file, and the scan in it.
    sig_shape
        (rows, cols) of the detector.

    Returns
    -------
    int
        Of the data set that holds fewest, where there are processed patterns and others.
    """
    with _opened(path) as file:
        sets = [item for item in file[f"{name}/EBSD/Data"].values() if isinstance(item, h5py.Dataset)]
        patterns = [item for item in sets if item.ndim > 2 and item.shape[-2:] == sig_shape]
        return min(int(item.size) // math.prod(sig_shape) for item in patterns)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """A file that is open; ScanError if it is damaged, also where that shows only when something of it is read."""
    try:
        with open_hdf5(path, own=False) as file:
            yield file
    except (OSError, *UNREADABLE, RuntimeError) as error:
        raise ScanError(f"{path}: cannot be read ({first_line(error)})") from None


def _are_one(path: Path, names: list[str]) -> bool:
    """Whether the scans in a file are copies of one, so that any of them may be taken: same patterns, same header."""
    with _opened(path) as file:
        first, *others = (_excerpt(file[f"{name}/EBSD"]) for name in names)
    return all(other == first for other in others)


def _excerpt(scan: h5py.Group) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Shapes and contents of what a scan's groups hold, of large data sets some of the first axis."""
    found: dict[str, tuple[tuple[int, ...], bytes]] = {}

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim:
            places = np.unique(np.linspace(0, len(item) - 1, PLACES).astype(np.int64)).tolist() if len(item) else []
            found[name] = (item.shape, b"".join(np.asarray(item[place]).tobytes() for place in places))

    for part in ("Header", "Data"):
        if part in scan:
            scan[part].visititems(take)
    return found


def _list(names: list[str]) -> str:
    text = ", ".join(map(repr, names[:SHOWN]))
    return text + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
