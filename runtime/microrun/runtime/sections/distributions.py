"""How far the distributions of two sets of sections are apart, and how far chance alone puts them.

All is computed from what each section contributes, so that drawing sections anew is a product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.sections.measures import MEASURES, Measure, Sample

Groups = NDArray[np.integer[Any]]
RESAMPLES = 500
HALVINGS = 40
LEVEL = 0.95
ASPECT_LATTICE = 0.01  # aspect ratios are rounded to it; lengths and areas lie on that of the cells
MEANS = ("mean", "reference_mean")
ROUNDING = 1e-9  # a value this little below an edge lies on it


class Scores(NamedTuple):
    """Numbers of one measure, (draws,) float64 each.

    Parameters
    ----------
    mean, reference_mean
        Means over all values.
    mae
        Mean absolute error of the counts a section over the first bins.
    mape
        The same in percent of the reference's count, over the bins in which it has any.
    wasserstein
        Distance of the distributions of the values, in the measure's unit.
    """

    mean: Float64
    reference_mean: Float64
    mae: Float64
    mape: Float64
    wasserstein: Float64


@dataclass(frozen=True)
class Estimate:
    """A number with the interval in which 95 % of the draws lie; NaN where it is not known."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Compared:
    """One measure of sections beside that of a reference.

    Parameters
    ----------
    scores
        Of the sections as they are: one draw.
    draws
        Of sections drawn anew, on both sides.
    floor
        Of one half of the reference beside the other half.
    empty_bins
        How many of the bins compared are empty in the reference, so that MAPE leaves them out.
    """

    scores: Scores
    draws: Scores
    floor: Scores
    empty_bins: int

    def estimate(self, name: str) -> Estimate:
        """One of `Scores` with its interval.

        Sections drawn anew differ from each other as the sections do from the truth, which adds to every distance:
        draws of distances are moved so that their middle is the distance itself.
        """
        value, draws = float(getattr(self.scores, name)[0]), getattr(self.draws, name)
        return estimate(value, draws if name in MEANS else np.maximum(draws - np.median(draws) + value, 0))

    def chance(self, name: str) -> float:
        """What one of `Scores` is between halves of the reference, on average; NaN if it cannot be halved."""
        values = getattr(self.floor, name)
        return float(values.mean()) if values.size else float("nan")


class _Shares(NamedTuple):
    """What each section contributes: sums, numbers, counts in bins (n, bins), and at lattice points (n, points)."""

    sums: Float64
    numbers: Float64
    bins: Float64
    points: Float64


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two sets that are compared.

    Parameters
    ----------
    sample
        Values of one measure.
    groups
        (n,) whole numbers, one for each section: sections of one group are drawn together. Cases, or each section
        for itself.
    """

    sample: Sample
    groups: Groups


def choose_groups(case: NDArray[np.int32]) -> Groups:
    """Groups that are drawn together: cases, or each section for itself if there is one case only.

    Parameters
    ----------
    case
        (n,) int32.
    """
    return case if len(np.unique(case)) > 1 else np.arange(len(case))


def compare_samples(
    name: str, own: Side, reference: Side, step_um: float, seed: int = 0, own_seed: int | None = None
) -> Compared:
    """Compare one measure of sections with that of a reference.

    Parameters
    ----------
    name
        One of `MEASURES`.
    own, reference
        Values and groups.
    step_um
        Edge of a cell in µm.
    seed
        Of the draws; one seed always gives the same intervals.
    own_seed
        Of the draws of `own`, where they are to be those of other conditions, with as many groups; by default they
        are independent.

    Returns
    -------
    Compared
    """
    measure, lattice = MEASURES[name], _lattice(name, step_um)
    points = np.unique(np.concatenate([np.rint(side.sample.values / lattice) for side in (own, reference)]))
    ours, theirs = (_contribute(side, measure, points, lattice) for side in (own, reference))
    widths = np.diff(points) * lattice
    generator = np.random.default_rng([seed, list(MEASURES).index(name)])
    shared = generator if own_seed is None else np.random.default_rng([own_seed, list(MEASURES).index(name), 1])
    drawn = draw_groups(own.groups, shared), draw_groups(reference.groups, generator)
    halves = halve_groups(reference.groups, generator)
    compared = theirs.bins.sum(axis=0)
    return Compared(
        _score(ours, theirs, widths, (np.ones((1, len(own.groups))), np.ones((1, len(reference.groups))))),
        _score(ours, theirs, widths, drawn),
        _score(theirs, theirs, widths, halves),
        int((compared == 0).sum()),
    )


def estimate_mean(side: Side, seed: int = 0) -> Estimate:
    """Mean of a measure over all values, with the interval of sections drawn anew.

    Parameters
    ----------
    side
        Values and groups.
    seed
        Of the draws.
    """
    sums, numbers = (np.bincount(side.sample.section, w, len(side.groups)) for w in (side.sample.values, None))
    drawn = draw_groups(side.groups, np.random.default_rng([seed, len(MEASURES)]))
    return estimate(float(sums.sum() / numbers.sum()), (drawn @ sums) / (drawn @ numbers))


def draw_groups(groups: Groups, generator: np.random.Generator) -> Float64:
    """How often each section occurs when as many groups are drawn as there are, with replacement.

    Parameters
    ----------
    groups
        (n,) whole numbers.
    generator
        Of the draws.

    Returns
    -------
    (RESAMPLES, n) float64
    """
    found, member = np.unique(groups, return_inverse=True)
    times = generator.multinomial(len(found), np.full(len(found), 1 / len(found)), RESAMPLES)
    return np.asarray(times[:, member], np.float64)


def halve_groups(groups: Groups, generator: np.random.Generator, count: int = HALVINGS) -> tuple[Float64, Float64]:
    """Random halves of the groups.

    Parameters
    ----------
    groups
        (n,) whole numbers.
    generator
        Of the draws.
    count
        Of halvings.

    Returns
    -------
    one, other : (count, n) float64
        1 for the sections of each half; no rows if there is one group only.
    """
    found, member = np.unique(groups, return_inverse=True)
    if len(found) < 2:
        return np.empty((0, len(groups))), np.empty((0, len(groups)))
    order = generator.permuted(np.tile(np.arange(len(found)), (count, 1)), axis=1)
    half = len(found) // 2
    one = (order < half)[:, member]
    other = ((order >= half) & (order < 2 * half))[:, member]
    return one.astype(np.float64), other.astype(np.float64)


def estimate(value: float, draws: Float64) -> Estimate:
    """A number with its interval.

    Parameters
    ----------
    value
        The number.
    draws
        (draws,) float64; those that are NaN do not count.
    """
    known = draws[np.isfinite(draws)]
    if not known.size:
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(known, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(value, float(low), float(high))


def average(compared: Sequence[Compared]) -> Compared:
    """Mean over conditions of all numbers, draw by draw.

    Parameters
    ----------
    compared
        One of each condition, at least one.
    """

    def mean_of(each: Sequence[Scores]) -> Scores:
        return Scores(*(np.mean(values, axis=0) for values in zip(*each, strict=True)))

    floors = [one.floor for one in compared if one.floor.mae.size]
    return Compared(
        mean_of([one.scores for one in compared]),
        mean_of([one.draws for one in compared]),
        mean_of(floors) if floors else compared[0].floor,
        sum(one.empty_bins for one in compared),
    )


def count_in_bins(sample: Sample, measure: Measure, shape: tuple[int, int]) -> Float64:
    """Values of each section in the measure's bins.

    Parameters
    ----------
    sample
        Values.
    measure
        Where the bins are.
    shape
        (sections, bins); values beyond the last bin are not counted.

    Returns
    -------
    (sections, bins) float64
    """
    at = np.floor((sample.values - measure.first_edge) / measure.bin_width + ROUNDING).astype(np.int64)
    inside = at < shape[1]
    return _table(sample.section[inside], at[inside], shape)


def _lattice(name: str, step_um: float) -> float:
    return ASPECT_LATTICE if name == "aspect" else step_um**2 if name == "area_um2" else step_um


def _contribute(side: Side, measure: Measure, points: Float64, lattice: float) -> _Shares:
    sample, count = side.sample, len(side.groups)
    at = np.searchsorted(points, np.rint(sample.values / lattice))
    return _Shares(
        np.asarray(np.bincount(sample.section, sample.values, count), np.float64),
        np.bincount(sample.section, minlength=count).astype(np.float64),
        count_in_bins(sample, measure, (count, measure.compared)),
        _table(sample.section, at, (count, len(points))),
    )


def _table(rows: NDArray[Any], cols: NDArray[Any], shape: tuple[int, int]) -> Float64:
    counted = np.bincount(rows.astype(np.int64) * shape[1] + cols, minlength=shape[0] * shape[1])
    return counted.reshape(shape).astype(np.float64)


def _score(own: _Shares, reference: _Shares, widths: Float64, weights: tuple[Float64, Float64]) -> Scores:
    ours, theirs = weights
    bins = ours @ own.bins / ours.sum(axis=1, keepdims=True)
    expected = theirs @ reference.bins / theirs.sum(axis=1, keepdims=True)
    error, known = np.abs(bins - expected), expected > 0
    relative = np.where(known, error / np.where(known, expected, 1), 0).sum(axis=1)
    apart = np.abs(_shares_up_to(ours @ own.points) - _shares_up_to(theirs @ reference.points))
    return Scores(
        ours @ own.sums / (ours @ own.numbers),
        theirs @ reference.sums / (theirs @ reference.numbers),
        error.mean(axis=1),
        100 * relative / np.maximum(known.sum(axis=1), 1),
        apart[:, :-1] @ widths,
    )


def _shares_up_to(counts: Float64) -> Float64:
    shares: Float64 = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    return shares
