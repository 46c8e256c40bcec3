"""Master patterns in EMsoft's files of spherical harmonics, ``.sht`` (layout: EMsoft-org/SHTfile)."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import ScanError
from microrun.training.simulate.masters.crystal import Crystal

MAGIC, SWAPPED = b"*sht", b"*SHT"
VERSION = 1
EBSD = 1
MOST_BYTES = 64 << 20  # of a file; those of the public database have at most 0.4 MB
MOST_DEGREES = 2048
INVERSION, EQUATOR, MIRROR_Y, MIRROR_BETWEEN = 1, 2, 4, 8  # symmetries that coefficients left out follow from


class Described(NamedTuple):
    """What a file says of itself.

    Parameters
    ----------
    crystal
        What it is of.
    energy_kev
        Of the beam.
    """

    crystal: Crystal
    energy_kev: float


class SphericalMaster(NamedTuple):
    """A master pattern as spherical harmonics.

    Parameters
    ----------
    crystal
        What it is of.
    energy_kev
        Of the beam.
    coefficients
        (L, L) complex128: at [m, l] that of Yₗᵐ, m ≥ 0.
    """

    crystal: Crystal
    energy_kev: float
    coefficients: NDArray[np.complex128]


def describe_sht(path: Path) -> Described:
    """Read only what a file says of itself; arguments and errors as for `read_sht`."""
    return _read(path)[1]


def read_sht(path: Path) -> SphericalMaster:
    """Read a file of the EMsoft master pattern database.

    Parameters
    ----------
    path
        The .sht file.

    Raises
    ------
    ScanError
        If it cannot be read, is another kind or version, of several crystals or of another method, or ends early.
    """
    reader, described = _read(path)
    with _cut_short(path):
        coefficients = _unpack(reader, path)
    if not np.isfinite(coefficients).all():
        raise ScanError(f"{path}: is damaged: coefficients that are not numbers; get it again")
    return SphericalMaster(*described, coefficients)


@contextlib.contextmanager
def _cut_short(path: Path) -> Iterator[None]:
    try:
        yield
    except (struct.error, IndexError):
        raise ScanError(f"{path}: ends within what it promises; get it again") from None


def _load(path: Path) -> bytes:
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror or error})") from None
    if data[:4] == SWAPPED:
        raise ScanError(f"{path}: was written on a big-endian machine, which is not read here")
    if data[:4] != MAGIC:
        raise ScanError(f"{path}: is not a master pattern of EMsoft (.sht)")
    return data


@dataclass
class _Reader:
    """Numbers and texts, one after the other."""

    data: bytes
    place: int = 0

    def numbers(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + layout, self.data, self.place)
        self.place += struct.calcsize("<" + layout)
        return found

    def text(self, length: int) -> str:
        """Text that is padded to whole words of 8 bytes."""
        self.skip(padded := -(-max(length, 0) // 8) * 8)
        return self.data[self.place - padded : self.place].rstrip(b"\0").decode("utf-8", "replace").strip()

    def skip(self, count: int) -> None:
        if count < 0 or self.place + count > len(self.data):
            raise IndexError
        self.place += count


def _read(path: Path) -> tuple[_Reader, Described]:
    """What a file says of itself, and a reader that has come to its coefficients."""
    reader = _Reader(_load(path))
    with _cut_short(path):
        described = _read_head(reader, path)
    return reader, described


def _read_head(reader: _Reader, path: Path) -> Described:
    reader.skip(4)
    major, _minor = reader.numbers("bb")
    if major != VERSION:
        raise ScanError(f"{path}: is of version {major} of EMsoft's format; version {VERSION} is read here")
    reader.skip(14)
    energy_kev, _tilt, _second, _reserved = reader.numbers("ffff")
    doi_length, notes_length = reader.numbers("hh")
    reader.text(doi_length)
    reader.text(notes_length)
    crystals, group, _ijk, _sense, modality, _vendor, simulation_bytes = reader.numbers("bBbbbbh")
    if modality != EBSD:
        raise ScanError(f"{path}: is a master pattern of another method than EBSD")
    if crystals != 1:
        raise ScanError(f"{path}: is a mean over {crystals} crystals; one is read here")
    if not 1 <= group <= 230 or not 1 <= energy_kev <= 1000:
        raise ScanError(f"{path}: is damaged: space group {group}, {energy_kev:g} keV; get it again")
    crystal = _read_crystal(reader, group)
    reader.skip(simulation_bytes)
    return Described(crystal, float(energy_kev))


def _read_crystal(reader: _Reader, group: int) -> Crystal:
    reader.skip(16)  # setting and origin
    lattice_nm = reader.numbers("6f")
    reader.skip(20)  # its rotation and weight among several
    atoms, *lengths = reader.numbers("6h")
    reader.skip(32 * max(atoms, 0))
    formula, name, structure, _references, _note = (reader.text(length) for length in lengths)
    a, b, c, alpha, beta, gamma = map(float, lattice_nm)
    return Crystal(name, formula, structure, group, (10 * a, 10 * b, 10 * c, alpha, beta, gamma))


def _unpack(reader: _Reader, path: Path) -> NDArray[np.complex128]:
    """Coefficients; those that are zero by the crystal's symmetry are not in the file."""
    degrees, fold, symmetries, count = reader.numbers("hbbi")
    if not 1 <= degrees <= MOST_DEGREES or fold < 1 or count < 0:
        raise ScanError(f"{path}: is damaged: {count} coefficients of {degrees} degrees; get it again")
    start = reader.place
    reader.skip(8 * count)
    stored = np.frombuffer(reader.data, "<f8", count, start)
    coefficients = np.zeros((degrees, degrees), complex)
    used = 0
    for m, degree, unit in _stored_orders(degrees, fold, symmetries):
        parts = 2 if unit is None else 1
        values = stored[used : used + parts * len(degree)]
        used += parts * len(degree)
        if used > count:
            break
        coefficients[m, degree] = values[::2] + 1j * values[1::2] if unit is None else values * unit
    if used != count:
        raise ScanError(
            f"{path}: is damaged: its symmetry has another number of coefficients than {count}; get it again"
        )
    return coefficients


def _stored_orders(degrees: int, fold: int, symmetries: int) -> Iterator[tuple[int, NDArray[np.int64], complex | None]]:
    """Order m, degrees of its coefficients, and the unit of their numbers: 1, i, or None for pairs of both."""
    for m in range(0, degrees, fold):
        degree = np.arange(m, degrees)
        keep = np.ones(len(degree), bool)
        if symmetries & INVERSION:
            keep &= degree % 2 == 0
        if symmetries & EQUATOR:
            keep &= (degree + m) % 2 == 0
        unit: complex | None = 1 if symmetries & MIRROR_Y else None
        if symmetries & MIRROR_BETWEEN and unit is None:
            unit = 1 if m % (2 * fold) == 0 else 1j
        yield m, degree[keep], unit
