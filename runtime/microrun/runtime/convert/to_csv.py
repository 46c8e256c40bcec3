"""CSV: one line for each written pattern."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microrun.runtime.convert.chosen_features import ChosenFeatures
from microrun.runtime.scans.part import all_of


def write_csv(features: ChosenFeatures, path: Path) -> None:
    """Write row, col, x, y, flag and the latents of every pattern that is written.

    Rows and columns are those of the scan, also where the latents are of a part of it. The columns of x and y are
    named after their units: "x_um", or "x_steps" where the step is not known.
    Nine digits give float32 back exactly.

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
    x, y = (unit.replace("µ", "u") for unit in features.units)
    part = features.origin.part or all_of(features.scan.nav_shape)
    line = "%d,%d,%.12g,%.12g,%d" + ",%.9g" * len(features.numbers) + "\n"
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(",".join(["row", "col", f"x_{x}", f"y_{y}", "flag", *features.names]) + "\n")
        for piece in features.pieces():
            rows, cols = np.nonzero(piece.written)
            points = rows, cols
            on_scan = part.rows[0] + (piece.rows.start + rows) * part.every, part.cols[0] + cols * part.every
            columns = (*on_scan, piece.x[points], piece.y[points], piece.flags[points])
            table = np.column_stack([*columns, piece.values[points]])
            file.writelines(line % tuple(numbers.tolist()) for numbers in table)
