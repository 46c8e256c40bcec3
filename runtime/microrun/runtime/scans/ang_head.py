"""Headers of .ang files as EDAX's OIM writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microrun.runtime.scans.ang import AngGrid

COLUMNS = (
    "phi1", "Phi", "phi2", "x", "y", "image_quality", "confidence_index", "phase_id", "detector_signal", "pattern_fit",
)  # fmt: skip
HEAD = """\
# TEM_PIXperUM          1.000000
# WorkingDistance       0.000000
#
# Phase 1
# MaterialName  {phase.name}
# Formula       {phase.formula}
# Info
# Symmetry              {phase.symmetry}
# LatticeConstants      {edge:.3f} {edge:.3f} {edge:.3f}  90.000  90.000  90.000
# NumberFamilies        0
#
# GRID: {kind}
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
{notes}# NOTES: End
#
# Column names: {columns}
#
"""


@dataclass(frozen=True)
class AngPhase:
    """The only phase of a file.

    Parameters
    ----------
    name, formula
        For people.
    symmetry
        EDAX's number of the Laue group: 43 is m-3m, 1 is triclinic.
    edge_angstrom
        Of its cubic cell, in Å.
    """

    name: str = "unknown"
    formula: str = "unknown"
    symmetry: int = 1
    edge_angstrom: float = 1.0


def format_head(grid: AngGrid, phase: AngPhase, notes: Sequence[str], columns: Sequence[str] = COLUMNS) -> str:
    """Header of a file of one phase.

    Parameters
    ----------
    grid
        Of the points. Rows count from 1 in .ang files: odd rows there are even ones of the map.
    phase
        What number 1 stands for.
    notes
        Lines for a reader.
    columns
        Names of the values of a point.
    """
    rows, cols = grid.nav_shape
    shorter = cols - (not grid.full_rows)
    return HEAD.format(
        phase=phase,
        edge=phase.edge_angstrom,
        kind="HexGrid" if grid.grid == "hexagonal" else "SqrGrid",
        step_x=grid.step_um[0],
        step_y=grid.step_um[1],
        odd=shorter if grid.first_shifted else cols,
        even=cols if grid.first_shifted else shorter,
        rows=rows,
        notes="".join(f"# {note}\n" for note in notes),
        columns=", ".join(columns),
    )
