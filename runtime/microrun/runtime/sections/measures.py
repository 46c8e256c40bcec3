"""What is measured of the grains of sections: intercepts of every line, areas, aspect ratios.

`docs/sections-measures.md` says how each number is defined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.sections.grains import Labels, SectionGrains

CELL_VARIANCE = 1 / 12  # of the points of a cell along each axis


@dataclass(frozen=True)
class Measure:
    """How one number is named and counted.

    Parameters
    ----------
    title, short
        Name and unit, for people.
    first_edge, bin_width
        Where the first bin of its histogram begins, and the width of all, in its unit.
    compared
        Number of bins from the first that MAE and MAPE take.
    """

    title: str
    short: str
    first_edge: float
    bin_width: float
    compared: int


MEASURES: Mapping[str, Measure] = {
    "horizontal_um": Measure("horizontal intercept, µm", "horizontal, µm", 0.0, 10.0, 5),
    "vertical_um": Measure("vertical intercept, µm", "vertical, µm", 0.0, 10.0, 5),
    "area_um2": Measure("grain area, µm²", "area, µm²", 0.0, 800.0, 5),
    "aspect": Measure("aspect ratio", "aspect", 1.0, 0.5, 10),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """Values of one measure in many sections.

    Parameters
    ----------
    values
        (k,) float64, in the measure's unit.
    section
        (k,) int32, the section that each comes from.
    """

    values: Float64
    section: NDArray[np.int32]


def measure_sections(grains: SectionGrains, step_um: float) -> dict[str, Sample]:
    """Measure all grains of sections.

    Intercepts that the frame cuts count as they are, so that those of a line add up to its length; grains that the
    frame cuts count with what is seen of them.

    Parameters
    ----------
    grains
        From `find_grains`.
    step_um
        Edge of a cell in µm.

    Returns
    -------
    dict of str to Sample
        One for each of `MEASURES`.
    """
    sizes, aspects = measure_shapes(grains.labels, len(grains.section))
    return {
        "horizontal_um": measure_intercepts(grains.labels, step_um),
        "vertical_um": measure_intercepts(grains.labels.transpose(0, 2, 1), step_um),
        "area_um2": Sample(sizes * step_um**2, grains.section),
        "aspect": Sample(aspects, grains.section),
    }


def measure_intercepts(labels: NDArray[Any], step_um: float) -> Sample:
    """Lengths of the runs of one label along every row.

    Parameters
    ----------
    labels
        (n, rows, cols) of integers; its transpose gives the runs along columns.
    step_um
        Edge of a cell in µm.

    Returns
    -------
    Sample
        Lengths in µm, row by row.
    """
    count, rows, cols = labels.shape
    begins = np.ones((count, rows, cols), np.bool_)
    np.not_equal(labels[:, :, 1:], labels[:, :, :-1], out=begins[:, :, 1:])
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=begins.size)
    return Sample(lengths * float(step_um), (starts // (rows * cols)).astype(np.int32))


def measure_shapes(labels: Labels, n_grains: int) -> tuple[Float64, Float64]:
    """Sizes and aspect ratios of grains.

    The aspect ratio is that of the ellipse with the grain's second moments, which are those of its cells as squares:
    one cell alone has 1, and a row of n cells has n.

    Parameters
    ----------
    labels
        (n, rows, cols) int32 from 0 to n_grains − 1, each of which occurs.
    n_grains
        Number of grains.

    Returns
    -------
    cells : (n_grains,) float64
    aspect : (n_grains,) float64
        The longer axis over the shorter, 1 or more.
    """
    flat = labels.ravel()
    row, col = (np.broadcast_to(one, labels.shape).ravel() for one in np.ogrid[tuple(map(slice, labels.shape))][1:])
    cells = np.bincount(flat, minlength=n_grains).astype(np.float64)

    def mean_of(weights: NDArray[np.int64]) -> Float64:
        return np.bincount(flat, weights, n_grains) / cells

    down, right = mean_of(row), mean_of(col)
    rows = mean_of(row * row) - down**2 + CELL_VARIANCE
    cols = mean_of(col * col) - right**2 + CELL_VARIANCE
    mixed = mean_of(row * col) - down * right
    middle, spread = (rows + cols) / 2, np.hypot((rows - cols) / 2, mixed)
    return cells, np.sqrt((middle + spread) / np.maximum(middle - spread, CELL_VARIANCE))


def mean_by_section(sample: Sample, count: int) -> Float64:
    """Mean of a measure in each section, (count,) float64.

    Parameters
    ----------
    sample
        Values; each section has one at least.
    count
        Number of sections.
    """
    totals = np.bincount(sample.section, sample.values, count)
    means: Float64 = totals / np.bincount(sample.section, minlength=count)
    return means
