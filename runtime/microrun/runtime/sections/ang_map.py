"""Maps of orientations written as .ang files of EDAX's OIM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from microrun.runtime.scans.ang import AngGrid
from microrun.runtime.scans.ang_head import AngPhase, format_head
from microrun.runtime.sections.grain_map import OrientationMap

LINE = "%9.5f %9.5f %9.5f %12.5f %12.5f 0.0 %6.3f 1 0 0.000"  # image quality, detector signal, fit: 0
NOT_SOLVED = 4 * np.pi  # the three angles that OIM gives to points that it could not index


def write_ang_map(path: Path, measured: OrientationMap, phase: AngPhase, notes: Sequence[str]) -> None:
    """Write a map on a square grid.

    The confidence index is 1 where a point is indexed, −1 elsewhere, where the angles are 4π.

    Parameters
    ----------
    path
        The file to make or replace.
    measured
        The map.
    phase
        Of all its points.
    notes
        Lines for a reader, of ASCII.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    rows, cols = measured.phase.shape
    step_x, step_y = measured.step_um
    indexed = measured.phase.ravel() >= 0
    angles = np.where(indexed[:, None], measured.euler.reshape(-1, 3), NOT_SOLVED)
    y, x = (place.ravel() for place in np.indices((rows, cols)))
    table = np.column_stack([angles, x * step_x, y * step_y, np.where(indexed, 1.0, -1.0)])
    grid = AngGrid((rows, cols), measured.step_um, "square", True)
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(format_head(grid, phase, notes))
        np.savetxt(file, table, LINE)
