"""Sections of printed metal with the laser's power and speed, and the HDF5 file that holds them.

The file's attribute ``format`` says what it is. Sections across the tracks are in the group ``across``, those along
them in ``along``. A group holds the data sets ``orientation``, ``grain`` (not always), ``power_w``, ``speed_m_s``,
``case`` and ``euler`` of `SectionSet`, and its attributes ``step_um``, ``origin`` and ``details`` (JSON).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import SectionsError
from microrun.runtime.files.disk import check_room
from microrun.runtime.files.hdf5 import hdf5_errors, open_hdf5
from microrun.runtime.files.kinds import check_kind
from microrun.runtime.files.output import written_beside
from microrun.runtime.json_text import UNREADABLE, parse_object

Plane = Literal["across", "along"]
PLANES: tuple[Plane, ...] = ("across", "along")
ORIGINS = ("simulation", "sample", "emulated experiment", "measured")
STEP_UM = 2.0
FORMAT = "microrun sections 1"
LARGEST = 1 << 31  # cells of one plane: 200,000 sections of 100×100
CHUNK = 64  # sections
ARRAYS = {"orientation": "i", "grain": "i", "power_w": "f", "speed_m_s": "f", "case": "i", "euler": "f"}
OPTIONAL = "grain"
HATCH = "hatch_um"  # the detail that holds the distance of tracks


@dataclass(frozen=True, eq=False)
class SectionSet:
    """Sections of one plane, each with the power and speed that made it.

    Row 0 is the top of the picture, towards which the part is built. Columns run to the right: across the tracks, or
    along them with the laser travelling to the right.

    Parameters
    ----------
    orientation
        (n, rows, cols) int8: a row of `euler`; −1 where nothing is indexed, or there is no material.
    grain
        (n, rows, cols) int32 grain ids, unique within a case, −1 exactly where `orientation` is; None where only
        orientations are known.
    power_w, speed_m_s
        (n,) float64, power of the laser in W and its speed in m/s, more than 0.
    case
        (n,) int32, the specimen or simulation that a section was cut from, 0 or more. Sets are split by case, since
        sections of one case resemble each other.
    euler
        (n_orientations, 3) float64 Bunge angles phi1, Phi, phi2 in radians, at most 127.
    plane
        "across" or "along" the tracks.
    step_um
        Edge of a cell in µm.
    origin
        One of `ORIGINS`.
    details
        Settings, seed, model and the like, for a reader. "hatch_um" is the distance of tracks, where it is known.

    Raises
    ------
    SectionsError
        If shapes, types or values do not fit, there is no section, or one holds no orientation at all.
    """

    orientation: NDArray[np.int8]
    grain: NDArray[np.int32] | None
    power_w: Float64
    speed_m_s: Float64
    case: NDArray[np.int32]
    euler: Float64
    plane: Plane = "across"
    step_um: float = STEP_UM
    origin: str = "simulation"
    details: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_choices(self)
        _check_cells(self)
        _check_labels(self)

    def __len__(self) -> int:
        """Count the sections."""
        return len(self.orientation)

    def take(self, chosen: ArrayLike) -> SectionSet:
        """Give some of the sections, in the order asked for.

        Parameters
        ----------
        chosen
            (m,) numbers of sections, or (n,) bool.

        Raises
        ------
        SectionsError
            If none is chosen.
        """
        rows = np.arange(len(self))[np.asarray(chosen)]
        grain = None if self.grain is None else self.grain[rows]
        return dataclasses.replace(
            self, orientation=self.orientation[rows], grain=grain, power_w=self.power_w[rows],
            speed_m_s=self.speed_m_s[rows], case=self.case[rows],
        )  # fmt: skip


def write_sections(path: Path, sets: Sequence[SectionSet]) -> None:
    """Write sections, beside and renamed.

    Parameters
    ----------
    path
        The HDF5 file to make or replace.
    sets
        One set, or one of each plane.

    Raises
    ------
    SectionsError
        If there is no set, or two of one plane.
    OutputError
        If it cannot be written; a file that was there before still is.
    """
    planes = [one.plane for one in sets]
    if not planes or len(set(planes)) < len(planes):
        raise SectionsError(f"{path}: a file holds one set of sections a plane; got {', '.join(planes) or 'none'}")
    with written_beside(path) as beside, hdf5_errors():
        check_room(beside, sum(one.orientation.nbytes for one in sets))
        with h5py.File(beside, "w") as file:
            file.attrs["format"] = FORMAT
            for one in sets:
                _write_group(file.create_group(one.plane), one)


def read_sections(path: Path, plane: Plane = "across") -> SectionSet:
    """Read the sections of a plane.

    Parameters
    ----------
    path
        From `write_sections`.
    plane
        "across" or "along".

    Raises
    ------
    SectionsError
        If it is no such file, damaged, or contains no sections of this plane.
    """
    with _opened(path) as file:
        try:
            if plane not in file:
                held = ", ".join(name for name in PLANES if name in file) or "none"
                raise SectionsError(f"contains no sections {plane} the tracks, only: {held}; choose with --plane")
            return _read_group(file[plane], plane)
        except SectionsError as error:
            raise SectionsError(f"{path}: {error}") from None
        except (OSError, RuntimeError, *UNREADABLE, MemoryError) as error:
            raise SectionsError(f"{path}: cannot be read, it is damaged ({error})") from None


def held_planes(path: Path) -> tuple[Plane, ...]:
    """Planes of which a file holds sections, one at least.

    Raises
    ------
    SectionsError
        If it is no file of sections, or holds none.
    """
    with _opened(path) as file:
        held = tuple(plane for plane in PLANES if plane in file)
    if not held:
        raise SectionsError(f"{path}: contains no sections, neither across nor along")
    return held


def is_sections_file(path: Path) -> bool:
    """Whether a file says that it holds sections."""
    try:
        with open_hdf5(path) as file:
            return bool(file.attrs.get("format") == FORMAT)
    except (OSError, RuntimeError, ValueError):
        return False


def find_hatch(sections: SectionSet) -> float | None:
    """Distance of the tracks in µm that details state, by itself or among the settings of a simulation.

    Parameters
    ----------
    sections
        A set of any origin.
    """
    return _search({name: _decode(text) for name, text in sections.details.items()})


def _decode(text: str) -> object:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    return text


def _search(entry: object) -> float | None:
    if not isinstance(entry, dict):
        return None
    value = entry.get(HATCH)
    if isinstance(value, int | float) and 0 < value < np.inf:
        return float(value)
    return next((found for part in entry.values() if (found := _search(part)) is not None), None)


def _opened(path: Path) -> h5py.File:
    if not path.is_file():
        raise SectionsError(f"{path}: no such file")
    try:
        file = open_hdf5(path)
        kind = file.attrs.get("format")
    except (OSError, RuntimeError) as error:
        check_kind(path, "sections", SectionsError)
        raise SectionsError(f"{path}: is not an HDF5 file, or a damaged one ({error})") from None
    if kind != FORMAT:
        file.close()
        check_kind(path, "sections", SectionsError)
        came = f"is {kind!r}" if isinstance(kind, str) else "does not say what it is"
        raise SectionsError(f"{path}: expected sections (format {FORMAT!r}), but this file {came}")
    return file


def _write_group(group: h5py.Group, one: SectionSet) -> None:
    group.attrs.update(step_um=one.step_um, origin=one.origin, details=json.dumps(dict(one.details)))
    for name in ARRAYS:
        values = getattr(one, name)
        if values is None:
            continue
        if values.ndim < 3:
            group.create_dataset(name, data=values)
            continue
        chunks = (min(CHUNK, len(values)), *values.shape[1:])
        settings = {"shuffle": True, "compression": "gzip", "compression_opts": 2, "fletcher32": True}
        group.create_dataset(name, data=values, chunks=chunks, **settings)


def _read_group(group: h5py.Group, plane: Plane) -> SectionSet:
    for name, kind in ARRAYS.items():
        held = group.get(name)
        if held is None and name == OPTIONAL:
            continue
        if not isinstance(held, h5py.Dataset) or held.dtype.kind != kind:
            raise SectionsError(f"{plane}/{name} is missing, or not of {'numbers' if kind == 'f' else 'whole numbers'}")
        if held.size > LARGEST:
            raise SectionsError(f"{plane}/{name} has {held.size:,} values; at most {LARGEST:,} are read")
    arrays: dict[str, Any] = {name: group[name][()] for name in ARRAYS if name in group}
    details = parse_object(group.attrs["details"])
    return SectionSet(
        **{"grain": None, **arrays}, plane=plane, step_um=float(group.attrs["step_um"]),
        origin=str(group.attrs["origin"]), details={str(name): str(text) for name, text in details.items()},
    )  # fmt: skip


def _check_choices(sections: SectionSet) -> None:
    if sections.plane not in PLANES:
        raise SectionsError(f"a plane is across or along; got {sections.plane!r}")
    if sections.origin not in ORIGINS:
        raise SectionsError(f"the origin of sections is one of {', '.join(ORIGINS)}; got {sections.origin!r}")
    if not 0 < sections.step_um < np.inf:
        raise SectionsError(f"the step of sections is more than 0 µm; got {sections.step_um:g}")


def _check_cells(sections: SectionSet) -> None:
    orientation, grain, euler = sections.orientation, sections.grain, sections.euler
    if orientation.ndim != 3 or not orientation.size or orientation.dtype != np.int8:
        raise SectionsError(f"orientations are (n, rows, cols) int8; got {orientation.shape} {orientation.dtype}")
    if euler.ndim != 2 or euler.shape[1] != 3 or not 0 < len(euler) < 128 or euler.dtype != np.float64:
        raise SectionsError(f"Euler angles are (1 to 127, 3) float64; got {euler.shape} {euler.dtype}")
    if not np.isfinite(euler).all():
        raise SectionsError("Euler angles are not all finite numbers")
    low, high = int(orientation.min()), int(orientation.max())
    if low < -1 or high >= len(euler):
        raise SectionsError(f"orientations run from −1 to {len(euler) - 1}, the last of the table; got {low} to {high}")
    empty = np.flatnonzero(orientation.max(axis=(1, 2)) < 0)
    if empty.size:
        raise SectionsError(f"section {empty[0]} is empty: no cell has an orientation; leave it out")
    if grain is None:
        return
    if grain.shape != orientation.shape or grain.dtype != np.int32:
        raise SectionsError(f"grain ids are {orientation.shape} int32 as orientations; got {grain.shape} {grain.dtype}")
    if grain.min() < -1 or not np.array_equal(grain < 0, orientation < 0):
        raise SectionsError("grain ids are −1 exactly where orientations are; they differ")


def _check_labels(sections: SectionSet) -> None:
    count = len(sections.orientation)
    for name, unit in (("power_w", "W"), ("speed_m_s", "m/s")):
        values = getattr(sections, name)
        if values.shape != (count,) or values.dtype != np.float64:
            raise SectionsError(
                f"{name} holds a float64 for each of {count} sections; got {values.shape} {values.dtype}"
            )
        wrong = np.flatnonzero(~((values > 0) & np.isfinite(values)))
        if wrong.size:
            raise SectionsError(f"{name} is more than 0 {unit}; section {wrong[0]} has {values[wrong[0]]:g}")
    case = sections.case
    if case.shape != (count,) or case.dtype != np.int32 or case.min() < 0:
        raise SectionsError(f"case holds an int32 from 0 for each of {count} sections; got {case.shape} {case.dtype}")
