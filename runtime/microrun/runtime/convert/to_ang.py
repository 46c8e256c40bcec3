"""EDAX's .ang: the scan grid, orientations that are not known, and the latents in columns of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microrun.runtime.convert.chosen_features import ChosenFeatures
from microrun.runtime.scans.ang import AngGrid
from microrun.runtime.scans.ang_head import COLUMNS, AngPhase, format_head

UNKNOWN_STEP = "The step is not known: positions count in steps, not in micrometres."


def write_ang(features: ChosenFeatures, path: Path) -> None:
    """Write one line for each pattern of the scan, written or not.

    Parameters
    ----------
    features
        What to write.
    path
        The file to make.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    # The orientation is 0 0 0, and image quality, detector signal and fit are 0.
    line = "0.00000 0.00000 0.00000 %.6f %.6f 0.0 %.3f 1 0 0.000" + " %.9g" * len(features.numbers) + "\n"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_ang_head(features))
        for piece in features.pieces():
            points = piece.exists
            confidence = np.where(piece.written & ~piece.flags, 0, -1)
            table = np.column_stack([piece.x[points], piece.y[points], confidence[points], piece.values[points]])
            file.writelines(line % tuple(numbers.tolist()) for numbers in table)


def _ang_head(features: ChosenFeatures) -> str:
    scan = features.scan
    step_x, step_y = scan.spacing
    grid = AngGrid(scan.nav_shape, (step_x, step_y), scan.grid, not scan.alternating, scan.first_shifted)
    notes = [
        f"Latents of {' '.join(features.latents.path.name.split())}. Orientations and phase are not known: all are "
        "written as 0 0 0, of phase 1.",
        "The confidence index is -1 where there is no pattern yet, or one without information; elsewhere 0.",
        *([] if all(scan.step_um) else [UNKNOWN_STEP]),
    ]
    return format_head(grid, AngPhase(), notes, [*COLUMNS, *features.names])
