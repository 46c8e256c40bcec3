"""EDAX's .ang: the scan grid, orientations that are not known, and the latents in columns of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microrun.runtime.convert.chosen_features import ChosenFeatures

COLUMNS = (
    "phi1", "Phi", "phi2", "x", "y", "image_quality", "confidence_index", "phase_id", "detector_signal", "pattern_fit",
)  # fmt: skip
HEADER = """\
# TEM_PIXperUM          1.000000
# WorkingDistance       0.000000
#
# Phase 1
# MaterialName  unknown
# Formula       unknown
# Info
# Symmetry              1
# LatticeConstants      1.000 1.000 1.000  90.000  90.000  90.000
# NumberFamilies        0
#
# GRID: {grid}
# XSTEP: {step_x:.6f}
# YSTEP: {step_y:.6f}
# NCOLS_ODD: {odd}
# NCOLS_EVEN: {even}
# NROWS: {rows}
#
# OPERATOR: microrun
#
# SAMPLEID:
#
# SCANID:
#
# NOTES: Start
# Latents of {name}. Orientations and phase are not known: all are written as 0 0 0, of phase 1.
# The confidence index is -1 where there is no pattern yet, or one without information; elsewhere 0.
{step_note}# NOTES: End
#
# Column names: {columns}
#
"""
STEP_NOTE = "# The step is not known: positions count in steps, not in micrometres.\n"


def write_ang(features: ChosenFeatures, path: Path) -> None:
    """Write one line for each pattern of the scan, written or not.

    Rows count from 1 in .ang files: its odd rows, those that are not shifted, are the even rows of the map.

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
    rows, cols = scan.nav_shape
    step_x, step_y = (step or 1.0 for step in scan.step_um)
    return HEADER.format(
        grid="HexGrid" if scan.grid == "hexagonal" else "SqrGrid",
        step_x=step_x,
        step_y=step_y,
        odd=cols,
        even=cols - scan.alternating,
        rows=rows,
        name=" ".join(features.latents.path.name.split()),
        step_note="" if all(scan.step_um) else STEP_NOTE,
        columns=", ".join([*COLUMNS, *features.names]),
    )
