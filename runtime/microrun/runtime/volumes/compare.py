"""Distributions of grain measures compared with those of a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.volumes.measure import MEASURES, Grains

BINS = 20
PSEUDO_COUNT = 0.5


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
    kl, kl_by_chance
        `kl_divergence` and `chance_divergence`, in nats; None without a reference.
    wasserstein
        Earth mover's distance, in units of the measure; None without a reference.
    """

    measure: str
    median: float
    mean: float
    reference_median: float | None = None
    reference_mean: float | None = None
    kl: float | None = None
    kl_by_chance: float | None = None
    wasserstein: float | None = None


def collect_measures(measured: Sequence[Grains]) -> dict[str, Float64]:
    """Join the grains of several volumes.

    Parameters
    ----------
    measured
        Grains of each volume.

    Returns
    -------
    dict of str to (n,) float64
        Each of `MEASURES`, in its units, without what is not known of a grain.
    """
    joined = {}
    for name in MEASURES:
        values = np.concatenate([np.asarray(getattr(grains, name), np.float64) for grains in measured])
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
    from scipy.stats import wasserstein_distance

    rows = []
    for name, own in values.items():
        theirs = np.empty(0) if reference is None else reference[name]
        if not own.size:
            continue
        row = Comparison(name, float(np.median(own)), float(own.mean()))
        if theirs.size:
            row = Comparison(
                name, row.median, row.mean, float(np.median(theirs)), float(theirs.mean()),
                kl_divergence(name, own, theirs), chance_divergence(name, own, theirs),
                float(wasserstein_distance(own, theirs)),
            )  # fmt: skip
        rows.append(row)
    return rows


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
    edges = bin_edges(measure, values, reference)
    p, q = (np.histogram(sample, edges)[0] + PSEUDO_COUNT for sample in (values, reference))
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


def chance_divergence(measure: str, values: Float64, reference: Float64) -> float:
    """Divergence that two samples of one distribution show on average, to first order of their sizes.

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
    bins = len(bin_edges(measure, values, reference)) - 1
    return (bins - 1) / 2 * (1 / values.size + 1 / reference.size)


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
