"""EDAX's .ang files written line by line, knowing nothing of orix's own writer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HEADER = """\
# TEM_PIXperUM          1.000000
# x-star                0.413900
# y-star                0.729100
# z-star                0.486200
#
# Phase 1
# MaterialName      Nickel
# Formula           Ni
# Symmetry          43
# LatticeConstants  3.520 3.520 3.520  90.000  90.000  90.000
# NumberFamilies    0
#
# GRID: {grid}
# XSTEP: 0.500000
# YSTEP: 0.500000
# NCOLS_ODD: {cols}
# NCOLS_EVEN: {cols}
# NROWS: {rows}
#
"""


def random_angles(count: int) -> NDArray[np.float64]:
    """Bunge's Euler angles in radians, as a file with five decimals states them."""
    rng = np.random.default_rng(0)
    return np.round(rng.uniform((0, 0, 0), (2 * np.pi, np.pi, 2 * np.pi), (count, 3)), 5)


def write_ang(path: Path, shape: tuple[int, int], missing: Sequence[int] = (), hexagonal: bool = False) -> Path:
    """Write a file as EDAX's OIM does; a confidence index of −1 stands for no solution."""
    rows, cols = shape
    y, x = (0.5 * values.ravel() for values in np.indices(shape))
    x = x + 0.25 * (np.indices(shape)[0].ravel() % 2) * hexagonal
    lines = [
        f"  {a:.5f}  {b:.5f}  {c:.5f}  {x[n]:.5f}  {y[n]:.5f}  900.0  {-1 if n in missing else 0.8:.3f}  0  1  1.000"
        for n, (a, b, c) in enumerate(random_angles(rows * cols))
    ]
    header = HEADER.format(grid="HexGrid" if hexagonal else "SqrGrid", rows=rows, cols=cols)
    path.write_text(header + "\n".join(lines) + "\n")
    return path


def write_two_grains(path: Path, share: float, missing: int = 0) -> Path:
    """A map of 20×50 points: a share of one orientation, the rest of another, the first ones missing."""
    y, x = (0.5 * values.ravel() for values in np.indices((20, 50)))
    lines = []
    for n in range(1000):
        angles = "0.50000  0.60000  0.70000" if n % 50 < 50 * share else "1.50000  1.00000  0.20000"
        confidence = -1 if n < missing else 0.8
        lines.append(f"  {angles}  {x[n]:.5f}  {y[n]:.5f}  900.0  {confidence:.3f}  0  1  1.000\n")
    path.write_text(HEADER.format(grid="SqrGrid", rows=20, cols=50) + "".join(lines))
    return path
