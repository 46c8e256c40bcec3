"""SPPARKS' text dumps: the spins of all sites of a simple cubic lattice, in snapshots one after another.

A snapshot (src/dump_text.cpp of github.com/spparks/spparks) is ``ITEM: TIMESTEP`` with number and time, ``ITEM: NUMBER
OF ATOMS``, ``ITEM: BOX BOUNDS`` with three lines, and ``ITEM: ATOMS`` with the names of the columns, a line for each
site after it, in any order. The spin is called ``type``, or ``i1`` where it was asked for by that name.
"""

from __future__ import annotations

import mmap
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import VolumeError

START = b"ITEM: TIMESTEP"
HEAD = re.compile(
    rb"ITEM: TIMESTEP\s+(?P<time>[^\n]*)\nITEM: NUMBER OF ATOMS\s+(?P<sites>\d+)\s+ITEM: BOX BOUNDS[^\n]*\n"
    rb"(?:[^\n]*\n){3}ITEM: ATOMS(?P<columns>[^\n]*)\n"
)
SPINS = re.compile(r"type|site|i\d+")
AXES = ("z", "y", "x")
OFF_LATTICE = 0.01  # of a step, that a site may lie beside its place; coordinates have six digits


class Snapshot(NamedTuple):
    """The last of a dump.

    Parameters
    ----------
    spins
        (z, y, x) int64.
    time
        As the file says it.
    snapshots
        How many the file holds.
    """

    spins: NDArray[np.int64]
    time: str
    snapshots: int


def is_dump(path: Path) -> bool:
    """Whether a file begins as a text dump does."""
    with path.open("rb") as file:
        return file.read(len(START)) == START


def read_dump(path: Path) -> Snapshot:
    """Read the last snapshot of a text dump.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Snapshot
        Spins of all sites.

    Raises
    ------
    VolumeError
        If it is cut short or damaged, or its sites are no simple cubic lattice.
    OSError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            snapshots, last = _count_snapshots(content)
            head = HEAD.match(content[last : last + 4096])
            if head is None:
                raise VolumeError(
                    "expected a text dump of SPPARKS, but the head of its last snapshot is cut or damaged"
                )
            sites, columns = int(head["sites"]), head["columns"].decode(errors="replace").split()
            table = _read_table(content[last + head.end() :], sites, columns)
        return Snapshot(_lay_out(table, columns), _name_time(head["time"]), snapshots)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from None


def _count_snapshots(content: mmap.mmap) -> tuple[int, int]:
    """How many snapshots there are, and where the last one starts."""
    count, last, place = 0, 0, 0
    while place >= 0:
        count, last = count + 1, place
        place = content.find(b"\n" + START, place + 1)
    return count, last + (content[last : last + 1] == b"\n")


def _name_time(line: bytes) -> str:
    """Time of a snapshot, which follows its number."""
    return line.decode(errors="replace").split()[-1]


def _read_table(lines: bytes, sites: int, columns: list[str]) -> Float64:
    """Numbers of all sites, (sites, columns)."""
    if not columns or sites * len(columns) > len(lines):
        raise VolumeError(f"its last snapshot should hold {sites:,} sites and is cut short; leave that snapshot out")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy's of text that is no number
        try:
            numbers = np.fromstring(lines, np.float64, sep=" ")
        except (ValueError, DeprecationWarning):
            raise VolumeError("a line of its last snapshot holds what is not a number; it is damaged") from None
    if numbers.size != sites * len(columns):
        raise VolumeError(
            f"its last snapshot should hold {sites:,} sites of {len(columns)} numbers; got {numbers.size:,} numbers: "
            "it is cut short, or damaged"
        )
    return numbers.reshape(sites, len(columns))


def _lay_out(table: Float64, columns: list[str]) -> NDArray[np.int64]:
    """Spins on the lattice."""
    spin = next((name for name in columns if SPINS.fullmatch(name)), None)
    if spin is None or not set(AXES) <= set(columns):
        raise VolumeError(
            f"expected the columns type (or i1), x, y and z; got {', '.join(columns)}: dump them with "
            "`dump 1 text 1.0 FILE id site x y z`"
        )
    spins = table[:, columns.index(spin)]
    places = _find_places(np.stack([table[:, columns.index(axis)] for axis in AXES]))
    shape = places.max(axis=1) + 1
    flat = np.full(len(table), -1, np.int64)
    if shape.prod() == len(table):
        flat[np.ravel_multi_index(tuple(places), tuple(shape))] = np.arange(len(table))
    if (flat < 0).any():
        raise VolumeError(
            f"its {len(table):,} sites are not all of a simple cubic lattice of {' × '.join(map(str, shape))} (z, y, x)"
        )
    if not np.isfinite(spins).all() or (spins != np.rint(spins)).any() or spins.min() < 0:
        raise VolumeError(f"spins are whole numbers, 0 or more; its column {spin} holds others")
    laid: NDArray[np.int64] = spins[flat].astype(np.int64).reshape(shape)
    return laid


def _find_places(coordinates: Float64) -> NDArray[np.int64]:
    """Numbers of the sites along each axis, (3, sites)."""
    if not np.isfinite(coordinates).all():
        raise VolumeError("coordinates of its sites are not numbers; it is damaged")
    offsets = coordinates - coordinates.min(axis=1, keepdims=True)
    if not offsets.any():
        return np.zeros(offsets.shape, np.int64)
    step = offsets[offsets > 0].min()
    nearest = np.rint(offsets / step)
    if (np.abs(offsets - nearest * step) > OFF_LATTICE * step).any() or nearest.max() >= coordinates.shape[1]:
        raise VolumeError("its sites do not lie on a simple cubic lattice, at one distance along x, y and z")
    places: NDArray[np.int64] = nearest.astype(np.int64)
    return places
