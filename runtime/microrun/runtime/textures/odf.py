"""Orientation distribution functions as text tables: phi1, Phi, phi2 in degrees, and a density or a weight.

MTEX writes densities on a regular grid of angles. A cell of such a grid holds less of all orientations the nearer Phi
is to 0, so that a density counts times its cell's volume; orientations are drawn anywhere within the cell. A table
whose fourth column is called a weight, or whose angles are no full grid, is one of orientations as they are.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import TextureError, first_line
from microrun.runtime.sections.grain_map import to_quaternions
from microrun.runtime.textures.crystal import Crystal, find_laue_group, settle_crystal
from microrun.runtime.textures.rotations import multiply, to_euler

COLUMNS = "phi1, Phi, phi2 in degrees and a density or weight"
TURNS = (60.0, 90.0, 120.0, 180.0, 360.0)  # after which a grid may begin anew, and name its first angle again
ORTHOTROPIC = np.eye(4)  # half turns about the sample's axes
FEW_DEG = 6.3  # below which all angles may be radians
NEARLY_DEG = 5.0  # that a cell may reach beyond 90°


class Cells(NamedTuple):
    """Cells of a grid: where they begin and end, (n, 3) float64 in degrees, and what they hold, (n,) float64."""

    low: Float64
    high: Float64
    sizes: Float64


@dataclass(frozen=True, eq=False)
class Table:
    """Orientations with their shares.

    Parameters
    ----------
    crystal
        Whose they are.
    low, high
        (n, 3) float64, cells of phi1, Phi, phi2 in degrees; equal where orientations are taken as they are.
    share
        (n,) float64, sum 1.
    orthotropic
        Whether the table is the quarter of a distribution that half turns about the sample's axes repeat.
    notes
        What was found, for people.
    """

    crystal: Crystal
    low: Float64
    high: Float64
    share: Float64
    orthotropic: bool
    notes: list[str]

    def draw(self, count: int, generator: np.random.Generator) -> Float64:
        """Draw as `Texture.draw` does."""
        ends = np.cumsum(self.share)
        cells = np.minimum(np.searchsorted(ends, generator.random(count) * ends[-1], "right"), len(ends) - 1)
        within = generator.random((count, 3))
        low, high = np.deg2rad(self.low[cells]), np.deg2rad(self.high[cells])
        euler = low + within * (high - low)
        heights = np.cos(low[:, 1]) + within[:, 1] * (np.cos(high[:, 1]) - np.cos(low[:, 1]))
        euler[:, 1] = np.where(low[:, 1] < high[:, 1], np.arccos(np.clip(heights, -1, 1)), euler[:, 1])
        rotations = to_quaternions(euler)
        if self.orthotropic:
            rotations = multiply(ORTHOTROPIC[generator.integers(0, 4, count)], rotations)
        return to_euler(rotations)


def read_table(path: Path, phase: str | None) -> Table:
    """Read a distribution of orientations.

    Parameters
    ----------
    path
        A text file with four columns or more; lines that begin with %, # or a letter are its header.
    phase
        The crystals, where the file does not state them, as `settle_crystal` takes it.

    Returns
    -------
    Table

    Raises
    ------
    TextureError
        If it cannot be read, is in other angles, names no known symmetry where it states one, or its values are
        negative, not finite or all 0.
    """
    header, table = _load(path)
    angles, values = table[:, :3], table[:, 3]
    _check(path, header, angles, values)
    text, stated = _find_group(header, "crystal")
    if text and not (stated or phase):
        raise TextureError(f"{path}: its crystal symmetry, {text!r}, names no known point group; give it with --phase")
    crystal = settle_crystal(str(path), stated, phase)
    weights = "weight" in header.lower()
    cells = None if weights else _find_cells(angles)
    if cells is None:
        kind = "by their weights" if weights else "on no full grid: their values are taken as weights"
        notes, low, high = [f"{len(values):,} orientations {kind}"], angles, angles
    else:
        low, high, sizes = cells
        mean = float(values @ sizes / sizes.sum())
        notes = [f"{len(values):,} densities on a grid, on average {mean:.3g} times those without texture"]
        values = values * sizes
    if angles.max() < FEW_DEG and len(angles) > 1:
        notes.append(f"all angles are below {FEW_DEG:g}: they are taken as degrees")
    orthotropic = _is_quarter(header, cells)
    if orthotropic:
        notes.append("a quarter of the distribution: repeated by half turns about x, y and z")
    return Table(crystal, low, high, values / values.sum(), orthotropic, notes)


def _find_group(header: str, whose: str) -> tuple[str, str | None]:
    """What a header says of a symmetry, and the point group in it: in quotes or brackets, before a comma, or alone."""
    line = re.search(rf"{whose} symmetry:?[ \t]*(.*)", header, re.IGNORECASE)
    text = line[1].strip() if line else ""
    parts = (part.partition(",")[0].strip() for part in re.split(r"[\"'()\[\]]", text))
    return text, next((part for part in parts if part and _is_group(part)), None)


def _is_group(text: str) -> bool:
    try:
        find_laue_group("", text)
    except TextureError:
        return False
    return True


def _load(path: Path) -> tuple[str, Float64]:
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise TextureError(f"{path}: cannot be read ({error.strerror})") from None
    start = next((n for n, line in enumerate(lines) if re.match(r"\s*[-+.\d]", line)), len(lines))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are no lines, which is said below
            table = np.loadtxt((re.sub(r"[,;\t]", " ", line) for line in lines[start:]), comments=("%", "#"), ndmin=2)
    except ValueError as error:
        raise TextureError(f"{path}: expected columns {COLUMNS} ({first_line(error)})") from None
    if table.size == 0 or table.shape[1] < 4:
        raise TextureError(f"{path}: expected columns {COLUMNS}; got {table.shape[1] if table.size else 'no'} columns")
    return "\n".join(lines[:start]), table


def _check(path: Path, header: str, angles: Float64, values: Float64) -> None:
    if re.search(r"\balpha\b", header, re.IGNORECASE):
        raise TextureError(f"{path}: is in Matthies' angles alpha, beta, gamma; export it with the option 'Bunge'")
    if not np.isfinite(angles).all() or angles[:, 1].min() < 0 or angles[:, 1].max() > 180:
        raise TextureError(
            f"{path}: expected columns {COLUMNS}, Phi from 0 to 180; got Phi up to {angles[:, 1].max():g}"
        )
    with np.errstate(over="ignore"):
        total = values.sum()
    if not np.isfinite(total):
        raise TextureError(f"{path}: does not normalise: its densities are not all finite")
    if values.min() < 0:
        count = int((values < 0).sum())
        raise TextureError(
            f"{path}: {count:,} densities are negative, the lowest {values.min():g}; set them to 0 first"
        )
    if not total > 0:
        raise TextureError(f"{path}: does not normalise: all of its densities are 0")


def _find_cells(angles: Float64) -> Cells | None:
    """Cells around the orientations of a full grid with even steps; None if it is none."""
    found = [np.unique(np.round(column, 4), return_inverse=True) for column in angles.T]
    axes, places = [values for values, _ in found], [place.ravel() for _, place in found]
    sides = [len(values) for values in axes]
    if min(sides) < 2 or np.prod(sides) != len(angles):
        return None
    if len(np.unique(np.ravel_multi_index(places, sides))) != len(angles):
        return None
    if any(np.ptp(np.diff(values)) > 0.01 * (values[1] - values[0]) for values in axes):
        return None
    ends = [_divide_polar(values) if n == 1 else _divide_turn(values) for n, values in enumerate(axes)]
    low, high = (
        np.stack([ends[n][side][place] for n, place in enumerate(places)], axis=1).astype(np.float64) for side in (0, 1)
    )
    heights = np.cos(np.deg2rad(low[:, 1])) - np.cos(np.deg2rad(high[:, 1]))
    return Cells(low, high, (high[:, 0] - low[:, 0]) * heights * (high[:, 2] - low[:, 2]))


def _divide_turn(values: Float64) -> tuple[Float64, Float64]:
    """Where the cells around values of phi1 or phi2 begin and end; half as wide where both ends are named."""
    half = (values[1] - values[0]) / 2
    low, high = values - half, values + half
    span = values[-1] - values[0]
    if min(abs(span - turn) for turn in TURNS) < half / 10:
        low[0], high[-1] = values[0], values[-1]
    return low, high


def _divide_polar(values: Float64) -> tuple[Float64, Float64]:
    """Where the cells around values of Phi begin and end: between 0 and 90°, or 180°."""
    half = (values[1] - values[0]) / 2
    last = next((end for end in (90.0, 180.0) if abs(values[-1] - end) < half / 10), 180.0)
    return np.maximum(values - half, 0), np.minimum(values + half, last)


def _is_quarter(header: str, cells: Cells | None) -> bool:
    """Whether half turns about the sample's axes repeat the table: the header says so, or its grid ends at 90°."""
    _, stated = _find_group(header, "specimen")
    if stated:
        return stated in ("mmm", "222")
    return cells is not None and 80 < float(cells.high[:, 0].max()) <= 90 + NEARLY_DEG
