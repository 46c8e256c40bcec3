"""A table of maps with the power and speed that made them, turned into sections."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microrun.runtime.errors import SectionsError
from microrun.runtime.progress import Job, Progress
from microrun.runtime.sections.cut_maps import Cut, cut_map
from microrun.runtime.sections.grain_map import GRAIN_DEG, GrainMap, segment_map
from microrun.runtime.sections.orientations import TABLE_1
from microrun.runtime.sections.picture_maps import read_picture
from microrun.runtime.sections.section_set import HATCH, PLANES, STEP_UM, Plane, SectionSet
from microrun.runtime.sections.text_maps import read_ang, read_ctf

NEEDED = ("file", "power_w", "speed_m_s")
ONE_VALUE = ("origin", "hatch_um")  # columns that hold the same in every line
COLUMNS = (*NEEDED, "plane", "case", "step_um", *ONE_VALUE)
MEASURED = ("measured", "emulated experiment")
SUFFIXES = (".ang", ".ctf", ".png")


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Parameters
    ----------
    path
        The map.
    power_w, speed_m_s
        What made it.
    plane
        "across" or "along" the tracks.
    case
        Name of the specimen; by default every map is of its own.
    step_um
        Edge of a pixel, for pictures.
    origin
        "measured" or "emulated experiment".
    hatch_um
        Distance of the tracks, where it is known.
    """

    path: Path
    power_w: float
    speed_m_s: float
    plane: Plane
    case: str
    step_um: float | None
    origin: str
    hatch_um: float | None


@dataclass(frozen=True, eq=False)
class CutMaps:
    """Sections of all maps.

    Parameters
    ----------
    sets
        One of each plane that occurs.
    notes
        A line for each map: what was found, filled, and left out.
    """

    sets: Sequence[SectionSet]
    notes: Sequence[str]


def read_map_table(path: Path) -> list[Entry]:
    """Read which maps were made with which power and speed.

    Parameters
    ----------
    path
        A CSV file with a line of titles: file, power_w, speed_m_s, and optionally plane, case, step_um,
        origin, hatch_um. Files are relative to it.

    Raises
    ------
    SectionsError
        If the file cannot be read, a column is missing or unknown, a number is none or not more than 0, a map is
        missing or stands twice, or origins or hatches differ.
    """
    rows = _read_rows(path)
    titles = [title.strip() for title in rows[0]] if rows else []
    missing, unknown = [n for n in NEEDED if n not in titles], [t for t in titles if t not in COLUMNS]
    if missing or unknown or len(set(titles)) < len(titles):
        raise SectionsError(
            f"{path}: its first line names the columns {','.join(NEEDED)}"
            f"[,{'][,'.join(COLUMNS[len(NEEDED) :])}]; got {','.join(titles) or 'nothing'}"
        )
    entries = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(titles):
            raise SectionsError(
                f"{path}, line {number}: has {len(row)} values for {len(titles)} columns; decimals take a point"
            )
        values = dict(zip(titles, (cell.strip() for cell in row), strict=True))
        entries.append(_read_entry(path.parent, values, f"{path}, line {number}"))
    if not entries:
        raise SectionsError(f"{path}: names no maps")
    if len({entry.path for entry in entries}) < len(entries):
        raise SectionsError(f"{path}: names a map twice")
    if len({(entry.origin, entry.hatch_um) for entry in entries}) > 1:
        raise SectionsError(
            f"{path}: {' and '.join(ONE_VALUE)} are the same in every line of a table; make one of each"
        )
    return entries


def cut_maps(table: Path, seed: int = 0) -> Job[CutMaps]:
    """Turn the maps of a table into sections.

    Parameters
    ----------
    table
        As `read_map_table` takes it.
    seed
        Of the orientations that grains get; `cut_map` says how.

    Returns
    -------
    CutMaps

    Raises
    ------
    SectionsError
        If the table or a map cannot be used.
    """
    entries = read_map_table(table)
    cuts: list[Cut] = []
    notes = []
    for number, entry in enumerate(entries):
        yield Progress(number, len(entries), entry.path.name)
        found = read_map(entry.path, entry.step_um)
        cut = cut_map(found, entry.plane, str(entry.path), seed + number)
        cuts.append(cut)
        notes.append(_describe(entry, found, cut))
    yield Progress(len(entries), len(entries))
    cases = {name: number for number, name in enumerate(dict.fromkeys(entry.case for entry in entries))}
    details = {
        "maps": table.name,
        "grains": f"neighbours below {GRAIN_DEG:g}° of misorientation, or of one colour",
        "cells": f"of {STEP_UM:g} µm from the nearest point, filled where nothing was indexed",
        "orientations": f"not measured: chosen so that neighbours differ, seed {seed}",
        **({HATCH: f"{entries[0].hatch_um:g}"} if entries[0].hatch_um else {}),
    }
    sets = [_join(plane, entries, cuts, cases, details) for plane in PLANES if any(e.plane == plane for e in entries)]
    return CutMaps(sets, notes)


def read_map(path: Path, step_um: float | None = None) -> GrainMap:
    """Read the grains of a map.

    Parameters
    ----------
    path
        An .ang, .ctf or .png file.
    step_um
        Edge of a pixel in µm, for pictures.

    Raises
    ------
    SectionsError
        If it cannot be read, or is no such map.
    """
    suffix = path.suffix.lower()
    if suffix == ".png":
        return read_picture(path, step_um)
    if suffix not in SUFFIXES:
        raise SectionsError(f"{path}: maps are read from {', '.join(SUFFIXES)}")
    return segment_map(read_ang(path) if suffix == ".ang" else read_ctf(path), str(path))


def _read_rows(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            return list(csv.reader(file, delimiter=";" if ";" in first else ","))
    except (OSError, ValueError, csv.Error) as error:
        raise SectionsError(f"{path}: cannot be read as a table of maps ({error})") from None


def _read_entry(folder: Path, values: Mapping[str, str], where: str) -> Entry:
    plane = next((known for known in PLANES if known == values.get("plane", PLANES[0])), None)
    if plane is None:
        raise SectionsError(f"{where}: a plane is {' or '.join(PLANES)}; got {values['plane']!r}")
    path = folder / values["file"]
    try:
        there = path.is_file()
    except OSError:  # a name that is too long
        there = False
    if not there:
        raise SectionsError(f"{where}: there is no map {path}")
    power, speed = (_positive(values[name], f"{where}: {name}") for name in NEEDED[1:])
    step, hatch = (_positive(values[n], f"{where}: {n}") if values.get(n) else None for n in ("step_um", "hatch_um"))
    origin = values.get("origin") or MEASURED[0]
    if origin not in MEASURED:
        raise SectionsError(f"{where}: an origin is {' or '.join(MEASURED)}; got {origin!r}")
    return Entry(path, power, speed, plane, values.get("case") or values["file"], step, origin, hatch)


def _positive(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        decimals = "; decimals take a point" if "," in text else ""
        raise SectionsError(f"{where} is a number more than 0; got {text!r}{decimals}")
    return value


def _describe(entry: Entry, found: GrainMap, cut: Cut) -> str:
    rows, cols = found.grain.shape
    step_x, step_y = found.step_um
    steps = f"{step_x:.4g}" if math.isclose(step_x, step_y, rel_tol=1e-3) else f"{step_x:.4g}×{step_y:.4g}"
    unusable = f", {cut.unusable} left out (mostly not indexed)" if cut.unusable else ""
    return (
        f"{entry.path.name}: {cols * step_x:.4g}×{rows * step_y:.4g} µm in steps of {steps} µm, "
        f"{found.grain.max() + 1:,} grains, {found.not_indexed:.1%} not indexed and filled; "
        f"{len(cut.grain)} sections {entry.plane}{unusable}, {cut.left_over:.0%} of the map left over"
    )


def _join(
    plane: Plane, entries: Sequence[Entry], cuts: Sequence[Cut], cases: Mapping[str, int], details: Mapping[str, str]
) -> SectionSet:
    parts = [(entry, cut) for entry, cut in zip(entries, cuts, strict=True) if entry.plane == plane]
    counts = [len(cut.grain) for _, cut in parts]
    firsts = np.cumsum([0, *(int(cut.grain.max()) + 1 for _, cut in parts)])[:-1]
    grain = [cut.grain + np.int32(first) for (_, cut), first in zip(parts, firsts, strict=True)]
    return SectionSet(
        np.concatenate([cut.orientation for _, cut in parts]),
        np.concatenate(grain).astype(np.int32),
        np.repeat([entry.power_w for entry, _ in parts], counts),
        np.repeat([entry.speed_m_s for entry, _ in parts], counts),
        np.repeat([cases[entry.case] for entry, _ in parts], counts).astype(np.int32),
        TABLE_1,
        plane,
        STEP_UM,
        parts[0][0].origin,
        details,
    )
