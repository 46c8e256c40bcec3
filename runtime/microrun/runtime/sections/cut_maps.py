"""Sections cut from maps of grains: on the lattice of all sections, with orientations that tell neighbours apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.colouring import colour_grains
from microrun.runtime.errors import SectionsError
from microrun.runtime.sections.grain_map import GrainMap
from microrun.runtime.sections.grains import fill_nearest
from microrun.runtime.sections.orientations import N_ORIENTATIONS
from microrun.runtime.sections.section_set import STEP_UM, Plane

SIDES: dict[Plane, int] = {"across": 100, "along": 64}  # cells
MOST_MISSING = 0.5  # of a section, beyond which it is left out


@dataclass(frozen=True, eq=False)
class Cut:
    """Sections of one map.

    Parameters
    ----------
    orientation
        (n, side, side) int8.
    grain
        (n, side, side) int32, ids of the map.
    left_over
        Share of the map's area in no section.
    unusable
        Number of sections that were left out, since more than half of them was not indexed.
    """

    orientation: NDArray[np.int8]
    grain: NDArray[np.int32]
    left_over: float
    unusable: int


def cut_map(measured: GrainMap, plane: Plane, source: str, seed: int) -> Cut:
    """Cut a map into sections side by side.

    The map is brought to cells of 2 µm, each with the grain of the nearest point; points without a grain take the
    nearest one. Sections begin at the surface, which is the first row with a grain in half of its points; those along
    the tracks lie there alone, those across fill the map downwards.

    Parameters
    ----------
    measured
        Grains; the build direction is up.
    plane
        "across": 100×100 cells; "along": 64×64.
    source
        The file, for messages.
    seed
        Of the orientations: neighbouring grains get different ones of the table's twenty, at random.

    Returns
    -------
    Cut

    Raises
    ------
    SectionsError
        If the map is smaller than a section, or nothing of it can be used.
    """
    cells, missing = resample(measured)
    side = SIDES[plane]
    covered = np.flatnonzero((~missing).mean(axis=1) >= 0.5)
    top = int(covered[0]) if covered.size else 0
    down = 1 if plane == "along" else (len(cells) - top) // side
    across = cells.shape[1] // side
    if len(cells) - top < side or not across:
        height, width = (n * STEP_UM for n in (len(cells) - top, cells.shape[1]))
        raise SectionsError(
            f"{source}: the map is {width:g}×{height:g} µm; a section {plane} the tracks takes "
            f"{side * STEP_UM:g}×{side * STEP_UM:g} µm"
        )
    windows = [(slice(top + side * r, top + side * (r + 1)), slice(side * c, side * (c + 1)))
               for r in range(down) for c in range(across)]  # fmt: skip
    used = [window for window in windows if missing[window].mean() <= MOST_MISSING]
    if not used:
        raise SectionsError(f"{source}: more than half of the points of every section are not indexed")
    whole = fill_nearest(np.where(missing, -1, cells))
    grain = np.stack([whole[window] for window in used])
    generator = np.random.default_rng([seed, 5])
    orientation = np.stack([choose_orientations(section, generator) for section in grain])
    left_over = 1 - len(used) * side**2 / cells.size
    return Cut(orientation, grain, left_over, len(windows) - len(used))


def resample(measured: GrainMap) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Grains on cells of 2 µm.

    Parameters
    ----------
    measured
        A map of any step.

    Returns
    -------
    grain : (rows, cols) int32
        That of the point nearest to each cell's centre.
    missing : (rows, cols) bool
        True where this point is not indexed.
    """
    grain = measured.grain
    places = [
        np.minimum(((np.arange(int(count * step / STEP_UM + 1e-6)) + 0.5) * STEP_UM / step).astype(int), count - 1)
        for count, step in zip(grain.shape, measured.step_um[::-1], strict=True)
    ]
    cells = grain[np.ix_(*places)]
    return cells, cells < 0


def choose_orientations(grain: NDArray[np.int32], generator: np.random.Generator) -> NDArray[np.int8]:
    """Give grains orientations of the table at random, so that those that touch differ.

    Parameters
    ----------
    grain
        (rows, cols) int32.
    generator
        Of the choice.

    Returns
    -------
    (rows, cols) int8 from 0 to 19

    Raises
    ------
    SectionsError
        If a grain touches so many that none is left for it.
    """
    found, numbers = np.unique(grain, return_inverse=True)
    plane = np.ascontiguousarray(numbers.reshape(1, *grain.shape), np.int32)
    chosen = np.empty(len(found), np.uint8)
    if not colour_grains(
        plane, generator.permutation(len(found)), generator.random(len(found)), N_ORIENTATIONS, chosen
    ):
        raise SectionsError(f"{N_ORIENTATIONS} orientations cannot tell the grains of a section apart")
    orientation: NDArray[np.int8] = chosen.astype(np.int8)[plane[0]]
    return orientation
