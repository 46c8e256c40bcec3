"""Which way grains lean, by the structure tensor of their borders, and how deep columnar grains reach.

Angles count from the build direction, and are positive where grains lean to the right on their way up. `docs/
sections-measures.md` says what is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.label_gradients import label_tensors
from microrun.runtime.array_types import Float64
from microrun.runtime.sections.distributions import Estimate, Groups, draw_groups, estimate
from microrun.runtime.sections.grains import Labels

AT_ONCE = 64  # sections
SIGMA, RADIUS = 1.0, 3  # cells: of the Gaussian whose derivative finds borders, and of its window
QUARTER_WINDOW = 1 / 8  # of a track, around a quarter, is averaged
BAND = 8  # columns whose tensors are added up
SMOOTHED = 5  # rows whose tensors are added up
LEAST_SHARE = 0.5  # of the variance of the rows that a change must explain
LEAST_CONTRAST = 0.15  # of the anisotropy, above it and below
LEAST_ROWS = 8  # on either side of it


@dataclass(frozen=True, eq=False)
class Borders:
    """Sums of the structure tensors of sections: right × right, up × up, right × up of the gradients.

    Parameters
    ----------
    upper, lower
        (n, cols, 3) float64, of every column of the upper and of the lower half.
    bands
        (n, rows, bands, 3) float64, of every row, in bands of eight columns. Cells within 3 of the frame have no
        tensor.
    """

    upper: Float64
    lower: Float64
    bands: Float64

    def sums(self) -> Float64:
        """Of all cells of each section, (n, 3) float64."""
        total: Float64 = self.bands.sum(axis=(1, 2))
        return total

    def take(self, chosen: NDArray[Any]) -> Borders:
        """Those of some sections."""
        return Borders(self.upper[chosen], self.lower[chosen], self.bands[chosen])


@dataclass(frozen=True)
class Leaning:
    """How grains of one condition lean.

    Parameters
    ----------
    angle
        In degrees.
    coherence
        From 0, where borders run all ways, to 1, where they are parallel.
    """

    angle: Estimate
    coherence: float


def find_borders(labels: Labels) -> Borders:
    """Sum the structure tensors of the borders of grains, with derivatives of a Gaussian of one cell.

    Parameters
    ----------
    labels
        (n, rows, cols) int32; more than 6 rows and columns.

    Returns
    -------
    Borders
    """
    at = np.arange(-RADIUS, RADIUS + 1.0)
    bell = np.exp(-(at**2) / (2 * SIGMA**2))
    bell /= bell.sum()
    slope = bell * at / SIGMA**2
    count, rows, cols = labels.shape[0], labels.shape[1] - 2 * RADIUS, labels.shape[2] - 2 * RADIUS
    starts = np.arange(0, cols, BAND)
    found = Borders(*(np.empty((count, *size, 3)) for size in ((cols,), (cols,), (rows, len(starts)))))
    for first in range(0, count, AT_ONCE):
        part = slice(first, first + AT_ONCE)
        tensors = np.empty((len(labels[part]), rows, cols, 3))
        label_tensors(labels[part], np.outer(bell, slope), np.outer(slope, bell), tensors)
        tensors[..., 2] *= -1  # rows run down
        found.upper[part] = tensors[:, : rows // 2].sum(axis=1)
        found.lower[part] = tensors[:, rows // 2 :].sum(axis=1)
        found.bands[part] = np.add.reduceat(tensors, starts, axis=2)
    return found


def lean_of(tensor: Float64) -> Float64:
    """Angle of the borders from the build direction.

    Parameters
    ----------
    tensor
        (…, 3) float64, sums of structure tensors.

    Returns
    -------
    (…) float64
        Degrees from −90 to 90.
    """
    right, up, mixed = np.moveaxis(tensor, -1, 0)
    angle: Float64 = np.rad2deg(-0.5 * np.arctan2(2 * mixed, right - up))
    return angle


def measure_along(borders: Borders, groups: Groups, seed: int = 0) -> Leaning:
    """How grains lean in sections along the tracks (θ2): positive towards where the laser travels.

    Parameters
    ----------
    borders
        Of sections of one condition.
    groups
        (n,) whole numbers, cases that are drawn together.
    seed
        Of the draws.

    Returns
    -------
    Leaning
        The angle of the summed tensor; its interval from sections drawn anew.
    """
    sums = borders.sums()
    drawn = draw_groups(groups, np.random.default_rng([seed, 1])) @ sums
    return _leaning(sums.sum(axis=0), drawn)


def measure_across(borders: Borders, track_cells: float, groups: Groups, seed: int = 0) -> Leaning | None:
    """How grains lean at a quarter of a track's width, towards its axis, in sections across (θ1).

    Where the tracks' axes are is found from the upper half of a section, by the phase of the lean along its columns,
    and the lean is taken from the lower half; then the other way around. So noise does not align with itself.

    Parameters
    ----------
    borders
        Of sections of one condition.
    track_cells
        Distance of the tracks in cells.
    groups
        (n,) whole numbers, cases that are drawn together.
    seed
        Of the draws.

    Returns
    -------
    Leaning or None
        None if the sections are narrower than a track.
    """
    upper, lower = borders.upper, borders.lower
    if upper.shape[1] + 2 * RADIUS < track_cells:
        return None
    sums = _fold(_axis(upper, track_cells), lower, track_cells) + _fold(_axis(lower, track_cells), upper, track_cells)
    drawn = draw_groups(groups, np.random.default_rng([seed, 2])) @ sums
    return _leaning(sums.sum(axis=0), drawn)


def _axis(columns: Float64, track_cells: float) -> Float64:
    """Column of an axis in each section, (n,): left of it grains lean to the right, right of it to the left."""
    turn = 2j * np.pi * np.arange(columns.shape[1]) / track_cells
    first = (columns[..., 2] * np.exp(-turn)).sum(axis=1)
    # −mixed leans to the right; with it −sin(2π (x − axis) / track), whose first part has this phase.
    phase = np.angle(first) + np.pi / 2
    axis: Float64 = -phase / (2 * np.pi) * track_cells
    return axis


def _fold(axis: Float64, columns: Float64, track_cells: float) -> Float64:
    """Tensors at a quarter of the track on both sides of the axis, the right side mirrored, (n, 3)."""
    at = (np.arange(columns.shape[1]) - axis[:, None]) / track_cells
    at = at - np.rint(at)  # from −1/2 to 1/2 of a track
    near = np.abs(np.abs(at) - 0.25) < QUARTER_WINDOW / 2
    mirrored = columns.copy()
    mirrored[..., 2] *= np.where(at > 0, -1, 1)
    return np.asarray((mirrored * near[..., None]).sum(axis=1))


def _leaning(total: Float64, drawn: Float64) -> Leaning:
    angle = float(lean_of(total))
    around = (lean_of(drawn) - angle + 90) % 180 - 90  # ±90° are one direction
    spread = np.hypot(total[0] - total[1], 2 * total[2])
    return Leaning(estimate(angle, angle + around), float(spread / max(total[0] + total[1], 1e-300)))


def measure_depth(borders: Borders, groups: Groups, step_um: float, seed: int = 0) -> Estimate:
    """Depth below the top down to which grains are columnar, with equiaxed ones below.

    The tensors of all sections are added up, row by row, in bands of columns. Where grains lean the same way in every
    section their sum is anisotropic, where they are equiaxed it is not. Two constants are fitted to the mean
    anisotropy of the rows, above and below a depth.

    Parameters
    ----------
    borders
        Of sections of one condition, with the tracks at the same columns.
    groups
        (n,) whole numbers, cases that are drawn together.
    step_um
        Edge of a cell in µm.
    seed
        Of the draws.

    Returns
    -------
    Estimate
        In µm; NaN where no depth parts columnar from equiaxed.
    """
    drawn = np.tensordot(draw_groups(groups, np.random.default_rng([seed, 3])), borders.bands, 1)
    found = [_change(_anisotropy(sums)) for sums in (borders.bands.sum(axis=0), *drawn)]
    depths = np.array([np.nan if row is None else (row + RADIUS) * step_um for row in found])
    return estimate(float(depths[0]), depths[1:] if np.isfinite(depths[0]) else depths[:0])


def _anisotropy(sums: Float64) -> Float64:
    """Mean over the bands of a row of how parallel the borders around it are, from 0 to 1; (rows,)."""
    padded = np.pad(sums, ((SMOOTHED // 2 + 1, SMOOTHED // 2), (0, 0), (0, 0))).cumsum(axis=0)
    right, up, mixed = np.moveaxis(padded[SMOOTHED:] - padded[:-SMOOTHED], -1, 0)
    mean: Float64 = (np.hypot(right - up, 2 * mixed) / np.maximum(right + up, 1e-300)).mean(axis=1)
    return mean


def _change(profile: Float64) -> int | None:
    """First row below the change, None where there is none."""
    rows = len(profile)
    if rows < 2 * LEAST_ROWS:
        return None
    sizes = np.arange(LEAST_ROWS, rows - LEAST_ROWS + 1)
    above = np.cumsum(profile - profile.mean())[sizes - 1]
    gained = above**2 * rows / (sizes * (rows - sizes))
    best = int(sizes[gained.argmax()])
    contrast = profile[:best].mean() - profile[best:].mean()
    explained = gained.max() >= LEAST_SHARE * ((profile - profile.mean()) ** 2).sum()
    return best if explained and contrast >= LEAST_CONTRAST else None
