"""Grains of sections: what hangs together, without the smallest, and with no cell left out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.colouring import label_grains
from microrun.runtime.sections.section_set import SectionSet
from microrun.runtime.volumes.cleaning import absorb_grains

Labels = NDArray[np.int32]
SMALLEST_UM = 4.0


@dataclass(frozen=True, eq=False)
class SectionGrains:
    """Grains of all sections of a set.

    Parameters
    ----------
    labels
        (n, rows, cols) int32, 0, 1, … through all sections: no number occurs in two of them.
    section
        (grains,) int32, the section that each grain lies in.
    filled
        (n,) float64, share of the cells of each section without an orientation, which took that of the nearest cell.
    removed
        (n,) float64, share of the cells of each section in grains that were too small and joined a neighbour.
    n_removed
        Number of these grains, in all sections.
    """

    labels: Labels
    section: NDArray[np.int32]
    filled: NDArray[np.float64]
    removed: NDArray[np.float64]
    n_removed: int


def find_grains(sections: SectionSet, by_id: bool, smallest_um: float = SMALLEST_UM) -> SectionGrains:
    """Find the grains of sections.

    A grain is what hangs together by the sides of its cells and has one orientation, or one grain id. Cells without
    either take that of the nearest cell first. Grains below a size join the neighbour with the longest common border,
    the smallest first.

    Parameters
    ----------
    sections
        A set.
    by_id
        Whether grain ids tell grains apart, which a set must have then, rather than orientations. Two grains of one
        orientation that touch are one without them: of twenty random orientations, every twentieth border is lost.
    smallest_um
        Diameter of the circle of the smallest area that a grain may have, in µm.

    Returns
    -------
    SectionGrains
    """
    values = sections.grain if by_id and sections.grain is not None else sections.orientation
    count, rows, cols = values.shape
    labels, section = np.empty(values.shape, np.int32), []
    filled, removed = np.zeros(count), np.zeros(count)
    least = math.ceil(smallest_um**2 * math.pi / 4 / sections.step_um**2)
    first = n_removed = 0
    for number in range(count):
        filled[number] = (values[number] < 0).mean()
        plane = labels[number : number + 1]
        grains = label_grains(fill_nearest(values[number])[None], False, plane)
        sizes = np.bincount(plane.ravel(), minlength=grains)
        removed[number] = sizes[sizes < least].sum() / (rows * cols)
        remaining = absorb_grains(plane, grains, least)
        n_removed += grains - remaining
        plane += first
        first += remaining
        section.append(np.full(remaining, number, np.int32))
    return SectionGrains(labels, np.concatenate(section), filled, removed, n_removed)


def fill_nearest(values: NDArray[Any]) -> NDArray[Any]:
    """Give cells without a value that of the nearest cell that has one.

    Parameters
    ----------
    values
        (rows, cols) of integers, negative where there is none; at least one is not.

    Returns
    -------
    (rows, cols)
        The same array if nothing is missing.
    """
    missing = values < 0
    if not missing.any():
        return values
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)])
