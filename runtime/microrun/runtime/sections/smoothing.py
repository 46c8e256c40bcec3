"""Drawn sections smoothed: a cell that differs from most around it is noise of the drawing, not a grain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OWN = 0.5  # by which a cell's own orientation counts more, so that a tie changes nothing


def smooth_orientations(orientation: NDArray[np.int8], passes: int) -> NDArray[np.int8]:
    """Orientations after each cell has taken that of most of its 3×3 cells, some times.

    Parameters
    ----------
    orientation
        (n, rows, cols) int8, 0 or more.
    passes
        How often; 0 gives the same again.

    Returns
    -------
    (n, rows, cols) int8
        At ties a cell keeps its own, or takes the one of lowest number if its own is not among them.
    """
    for _ in range(passes):
        orientation = np.stack([_smooth_once(section) for section in orientation])
    return orientation


def _smooth_once(section: NDArray[np.int8]) -> NDArray[np.int8]:
    rows, cols = section.shape
    known = np.unique(section)
    padded = np.pad(section, 1, mode="edge") == known[:, None, None]
    votes = sum(
        padded[:, row : row + rows, col : col + cols].astype(np.float32) for row in range(3) for col in range(3)
    ) + np.float32(OWN) * (section == known[:, None, None])
    return np.asarray(known[np.argmax(votes, axis=0)], np.int8)
