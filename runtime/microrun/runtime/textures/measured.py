"""Textures and misorientations of measured maps: .ang, .ctf, and orix's own .h5 files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import ScanError, SectionsError, TextureError
from microrun.runtime.maps.orientation_file import read_stated
from microrun.runtime.scans.ang_points import read_ang_map
from microrun.runtime.scans.lattice import Pairs, neighbour_pairs
from microrun.runtime.scans.scan import Scan
from microrun.runtime.sections.text_maps import read_ctf
from microrun.runtime.textures.crystal import Crystal, settle_crystal
from microrun.runtime.textures.rotations import to_euler

SUFFIXES = (".ang", ".ctf", ".h5", ".hdf5")


class Points(NamedTuple):
    """Points of a map: Bunge angles (n, 3) in radians, phases (n,), negative where not indexed, neighbours (m, 2)."""

    euler: Float64
    phase: NDArray[np.int64]
    exists: NDArray[np.bool_]
    pairs: Pairs


@dataclass(frozen=True, eq=False)
class MeasuredMap:
    """The points of a map that are of its most frequent phase.

    Parameters
    ----------
    source
        The file.
    crystal
        Of that phase.
    euler
        (n, 3) float64 Bunge angles in radians of all points.
    indexed
        (n,) bool, True for points of the phase.
    pairs
        (m, 2) neighbouring points.
    notes
        What was left out.
    """

    source: Path
    crystal: Crystal
    euler: Float64
    indexed: NDArray[np.bool_]
    pairs: Pairs
    notes: list[str] = field(default_factory=list)

    def draw(self, count: int, generator: np.random.Generator) -> Float64:
        """Draw as `Texture.draw` does: every point is equally likely, so that grains count by their area."""
        points = np.flatnonzero(self.indexed)
        drawn: Float64 = self.euler[points[generator.integers(0, len(points), count)]]
        return drawn


def read_map(path: Path, phase: str | None) -> MeasuredMap:
    """Read a map of orientations.

    Parameters
    ----------
    path
        An .ang of a square or hexagonal grid, a .ctf, or an .h5 that orix wrote.
    phase
        The crystals, where the file does not state them, as `settle_crystal` takes it.

    Returns
    -------
    MeasuredMap

    Raises
    ------
    TextureError
        If it cannot be read, no point is indexed, or it states other crystals.
    """
    try:
        points, symmetries = _read(path)
    except (ScanError, SectionsError) as error:
        raise TextureError(str(error)) from None
    numbers, counts = np.unique(points.phase[points.phase >= 0], return_counts=True)
    if not len(numbers):
        raise TextureError(f"{path}: no point is indexed, so that it has no orientations to take")
    number = int(numbers[counts.argmax()])
    crystal = settle_crystal(str(path), symmetries.get(number), phase)
    total, used = int(points.exists.sum()), int(counts.max())
    notes = [f"{used:,} of {total:,} points; {total - int(counts.sum()):,} not indexed"]
    if len(numbers) > 1:
        notes.append(f"{int(counts.sum()) - used:,} points of other phases than number {number} are left out")
    return MeasuredMap(path, crystal, points.euler, points.phase == number, points.pairs, notes)


def _read(path: Path) -> tuple[Points, dict[int, str | None]]:
    suffix = path.suffix.lower()
    if suffix == ".ang":
        found = read_ang_map(path)
        grid = found.grid
        scan = Scan(
            grid.nav_shape, (1, 1), grid=grid.grid, alternating=not grid.full_rows, first_shifted=grid.first_shifted
        )
        return _flatten(found.euler, found.phase, scan), dict(found.symmetries)
    if suffix == ".ctf":
        cubic = read_ctf(path)
        shape = (cubic.phase.shape[0], cubic.phase.shape[1])
        return _flatten(cubic.euler, cubic.phase, Scan(shape, (1, 1))), dict.fromkeys(range(256), "m-3m")
    oriented = read_stated(path)
    shape = (oriented.phase.shape[0], oriented.phase.shape[1])
    euler = to_euler(oriented.rotations * [1, -1, -1, -1])  # orix turns the crystal's axes into the sample's
    return _flatten(euler, oriented.phase, Scan(shape, (1, 1))), dict(oriented.symmetries)


def _flatten(euler: Float64, phase: NDArray[Any], scan: Scan) -> Points:
    exists = scan.exists().ravel()
    return Points(euler.reshape(-1, 3), phase.ravel().astype(np.int64), exists, neighbour_pairs(scan))
