"""Small maps of orientations as microscopes' programs write them, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64

ANG_HEADER = """\
# TEM_PIXperUM          1.000000
# OPERATOR: \tJ. Müßig
#
# Phase 1
# MaterialName  \tAustenite
# Symmetry              {symmetry}
#
# GRID: {grid}
# XSTEP: {step:.6f}
# YSTEP: {step:.6f}
#
"""
CTF_HEADER = """\
Channel Text File
Prj\tpart – Müßig
Author\t[Unknown]
JobMode\tGrid
XCells\t{cols}
YCells\t{rows}
XStep\t{step}
YStep\t{step}
AcqE1\t0
Phases\t1
3.66;3.66;3.66\t90;90;90\tIron fcc\t{laue}\t225\t\t\tsomeone
Phase\tX\tY\tBands\tError\tEuler1\tEuler2\tEuler3\tMAD\tBC\tBS
"""


def angles_of(grain: NDArray[Any], seed: int = 0) -> Float64:
    """Random Bunge angles in radians for each grain, to five decimals; (rows, cols, 3)."""
    generator = np.random.default_rng(seed)
    table = generator.uniform((0.1, 0.1, 0.1), (2 * np.pi, np.pi, 2 * np.pi), (int(grain.max()) + 1, 3))
    return np.round(table, 5)[np.maximum(grain, 0)]


def write_ang_map(
    path: Path, grain: NDArray[Any], step: float = 1.0, columns: int = 10, symmetry: str = "43", grid: str = "SqrGrid"
) -> Path:
    """Write grains in random orientations; where negative, points that were not solved, in OIM's three ways."""
    euler = angles_of(grain)
    lines = []
    for (row, col), number in np.ndenumerate(grain):
        angles, confidence = euler[row, col], 0.8
        if number < 0:
            angles, confidence = [((12.56637,) * 3, -1.0), ((0.0,) * 3, 0.0), (tuple(angles), -1.0)][(row + col) % 3]
        numbers = [*angles, col * step, row * step, 900.0, confidence, 0, 1, 1.0, 0.0, 10.0, 20.0]
        lines.append("  ".join(f"{value:.5f}" for value in numbers[:columns]))
    header = ANG_HEADER.format(step=step, symmetry=symmetry, grid=grid)
    path.write_bytes((header + "\n".join(lines) + "\n").encode("latin-1"))
    return path


def write_ctf_map(path: Path, grain: NDArray[Any], step: float = 1.0, laue: str = "11", comma: bool = False) -> Path:
    """Write grains in random orientations; where negative, points of phase 0."""
    euler = np.rad2deg(angles_of(grain))
    lines = []
    for (row, col), number in np.ndenumerate(grain):
        angles = "\t".join(f"{value:.4f}" for value in euler[row, col])
        lines.append(f"{int(number >= 0)}\t{col * step:.4f}\t{row * step:.4f}\t8\t0\t{angles}\t0.5\t90\t100")
    rows, cols = grain.shape
    text = CTF_HEADER.format(rows=rows, cols=cols, step=step, laue=laue) + "\r\n".join(lines)
    path.write_bytes((text.replace(".", ",") if comma else text).encode("cp1252", "replace"))
    return path


def blocks(rows: int, cols: int, side: int) -> NDArray[np.int32]:
    """Square grains."""
    row, col = np.mgrid[:rows, :cols] // side
    return (row * (-(-cols // side)) + col).astype(np.int32)
