"""Distributions of grain measures compared with those of a reference, and with what chance makes of the reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.volumes.measure import MEASURES, Grains

HEADLINE = ("volume_um3", "c_over_a", "nearest_um", "neighbours", "sphericity")
BINS = 20
PSEUDO_COUNT = 0.5
SEED = 15
DRAWS = (100, 400)  # fewer of many grains, such that they take a second or two
DRAWN_GRAINS = 4_000_000
CERTAIN = 0.99  # of the draws stay below what is beyond chance
FEW = 20  # grains; of fewer any two distributions are alike within chance
LITTLE = 0.03  # nats beyond chance, as of a normal distribution shifted by a quarter of its width


class Distances(NamedTuple):
    """How far two distributions are apart.

    Parameters
    ----------
    kl
        `kl_divergence`, in nats.
    wasserstein
        Earth mover's distance, in units of the measure.
    ks
        Kolmogorov-Smirnov: the largest difference of their cumulated shares.
    """

    kl: float
    wasserstein: float
    ks: float


@dataclass(frozen=True)
class Comparison:
    """One measure of grains beside that of a reference.

    Parameters
    ----------
    measure
        One of `MEASURES`.
    median, mean
        Those of the grains, in units of the measure.
    reference_median, reference_mean
        Those of the reference; None without one.
    kl, wasserstein, ks
        `Distances`; None without a reference.
    kl_by_chance, wasserstein_by_chance, ks_by_chance
        Their means over draws of as many grains from the reference; None without one.
    kl_limit, ks_limit
        What 99 of 100 such draws stay below; None without a reference.
    fewest
        Grains of the side that has fewer; None without a reference.
    """

    measure: str
    median: float
    mean: float
    reference_median: float | None = None
    reference_mean: float | None = None
    kl: float | None = None
    kl_by_chance: float | None = None
    kl_limit: float | None = None
    wasserstein: float | None = None
    wasserstein_by_chance: float | None = None
    ks: float | None = None
    ks_by_chance: float | None = None
    ks_limit: float | None = None
    fewest: int | None = None

    @property
    def verdict(self) -> str:
        """What the distances mean, in words; empty without a reference."""
        if self.kl is None or self.ks is None:
            return ""
        assert self.kl_limit is not None and self.ks_limit is not None
        assert self.kl_by_chance is not None and self.ks_by_chance is not None
        if self.kl <= self.kl_limit and self.ks <= self.ks_limit:
            assert self.fewest is not None
            few = f", but {self.fewest} whole {'grains say' if self.fewest > 1 else 'grain says'} little"
            return f"as the reference, within chance{few if self.fewest < FEW else ''}"
        ratios = [
            distance / chance
            for distance, chance in ((self.kl, self.kl_by_chance), (self.ks, self.ks_by_chance))
            if chance > 0
        ]
        times = f"{max(ratios, default=math.inf):.1f} times chance{self._shift}"
        return f"differs{' a little' * (self.kl - self.kl_by_chance <= LITTLE)}: {times}"

    @property
    def _shift(self) -> str:
        """By how much the mean is off."""
        return f", mean {self.mean / self.reference_mean - 1:+.1%}" if self.reference_mean else ""


def collect_measures(measured: Sequence[Grains], interior: bool = False) -> dict[str, Float64]:
    """Join the grains of several volumes.

    Parameters
    ----------
    measured
        Grains of each volume.
    interior
        Whether to leave out grains that may be cut.

    Returns
    -------
    dict of str to (n,) float64
        Each of `MEASURES`, in its units, without what is not known of a grain.
    """
    joined = {}
    for name in MEASURES:
        values = np.concatenate(
            [np.asarray(getattr(one, name), np.float64)[one.interior | (not interior)] for one in measured]
        )
        joined[name] = values[np.isfinite(values)]
    return joined


def compare_measures(values: Mapping[str, Float64], reference: Mapping[str, Float64] | None) -> list[Comparison]:
    """Compare distributions, measure by measure.

    Parameters
    ----------
    values, reference
        Measures from `collect_measures`; without a reference medians and means are all.

    Returns
    -------
    list of Comparison
        One for each measure that is known of a grain.
    """
    rows = []
    for name, own in values.items():
        theirs = np.empty(0) if reference is None else reference[name]
        if not own.size:
            continue
        row = Comparison(name, float(np.median(own)), float(own.mean()))
        if theirs.size:
            distances = measure_distances(name, own, theirs)
            chance, limit = draw_by_chance(name, own, theirs)
            row = Comparison(
                name, row.median, row.mean, float(np.median(theirs)), float(theirs.mean()),
                distances.kl, chance.kl, limit.kl, distances.wasserstein, chance.wasserstein,
                distances.ks, chance.ks, limit.ks, min(own.size, theirs.size),
            )  # fmt: skip
        rows.append(row)
    return rows


def measure_distances(measure: str, values: Float64, reference: Float64) -> Distances:
    """Distances of grains from a reference.

    Parameters
    ----------
    measure
        One of `MEASURES`.
    values, reference
        (n,), (m,) float64, finite.

    Returns
    -------
    Distances
        All of them.
    """
    scale = _Scale(measure, values, reference)
    return scale.distances(scale.count(values), scale.count(reference))


def draw_by_chance(measure: str, values: Float64, reference: Float64) -> tuple[Distances, Distances]:
    """Distances that chance makes: between draws from the reference, as many grains as there are on both sides.

    Parameters
    ----------
    measure
        One of `MEASURES`.
    values, reference
        (n,), (m,) float64, finite.

    Returns
    -------
    mean, limit
        Means over the draws, and what 99 of 100 of them stay below. The same for the same grains.
    """
    rng = np.random.default_rng(SEED)
    scale = _Scale(measure, values, reference)
    places = np.searchsorted(scale.points, reference)
    draws = int(np.clip(DRAWN_GRAINS / (values.size + reference.size), *DRAWS))
    found = np.empty((draws, len(Distances._fields)))
    for draw in range(draws):
        one, two = (
            np.bincount(places[rng.integers(reference.size, size=size)], minlength=scale.points.size)
            for size in (values.size, reference.size)
        )
        found[draw] = scale.distances(one, two)
    return Distances(*found.mean(axis=0).tolist()), Distances(*np.quantile(found, CERTAIN, axis=0).tolist())


class _Scale:
    """All values that occur in two samples, and the bins that they fall into."""

    def __init__(self, measure: str, values: Float64, reference: Float64) -> None:
        edges = bin_edges(measure, values, reference)
        self.points = np.unique(np.concatenate([values, reference]))
        self._bins = np.minimum(np.searchsorted(edges, self.points, side="right") - 1, len(edges) - 2)
        self._n_bins = len(edges) - 1

    def count(self, sample: Float64) -> NDArray[np.int64]:
        """How often each of the values occurs in a sample."""
        counts: NDArray[np.int64] = np.bincount(np.searchsorted(self.points, sample), minlength=self.points.size)
        return counts

    def distances(self, one: NDArray[np.int64], two: NDArray[np.int64]) -> Distances:
        """Distances of two samples by how often each value occurs in them."""
        p, q = (np.bincount(self._bins, counts, self._n_bins) + PSEUDO_COUNT for counts in (one, two))
        p, q = p / p.sum(), q / q.sum()
        apart = np.abs(np.cumsum(one) / one.sum() - np.cumsum(two) / two.sum())
        wasserstein = (apart[:-1] * np.diff(self.points)).sum()
        return Distances(float((p * np.log(p / q)).sum()), float(wasserstein), float(apart.max()))


def kl_divergence(measure: str, values: Float64, reference: Float64) -> float:
    """Kullback-Leibler divergence of grains from a reference, Σ p ln(p / q), in nats.

    p are the shares of the grains and q those of the reference in common bins (`bin_edges`) over the range of both,
    as GrainPaint (Hoffman et al.) takes the divergence of what was generated from SPPARKS. It is 0 for equal
    distributions, and not symmetric.

    Every bin of both gets half a count more (the prior of Jeffreys), so that the divergence is finite and a bin that
    is empty by chance costs little. GrainPaint's code differs in four ways. It adds 10⁻¹⁰ to densities instead, with
    which one grain in an empty bin costs 20 nats times its share. It draws 10,000 new grains from a smoothed density
    first, which blurs both and hides how few grains there are. Its divergence of aspect ratios is summed over a
    rectangle between the ratios of the first two grains, not over all. And it takes its moments of voxel centres,
    where a flat grain has c = 0. Its numbers (0.056 for volumes) are therefore a scale, not a measure to the digit.

    Parameters
    ----------
    measure
        One of `MEASURES`.
    values, reference
        (n,), (m,) float64, finite.

    Returns
    -------
    float
        0 or more, in nats.
    """
    return measure_distances(measure, values, reference).kl


def bin_edges(measure: str, values: Float64, reference: Float64) -> Float64:
    """Edges of common bins: of equal ratio for volumes, of whole numbers for neighbours, else of equal width.

    Parameters
    ----------
    measure
        One of `MEASURES`.
    values, reference
        (n,), (m,) float64, finite.

    Returns
    -------
    (bins + 1,) float64
        Edges, ascending, in units of the measure; all values lie between the first and the last.
    """
    both = np.concatenate([values, reference])
    low, high = float(both.min()), float(both.max())
    if measure == "neighbours":
        step = -(-(int(high - low) + 1) // BINS)
        return np.arange(low - 0.5, high + step, step)
    if low == high:
        return np.array([low / 2, 2 * low + 1])
    return np.geomspace(low, high, BINS + 1) if measure == "volume_um3" else np.linspace(low, high, BINS + 1)
