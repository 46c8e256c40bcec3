"""Distances of sets of sections by their descriptors: KID without bias, and FID on a network's features.

The kernel distance (KID; Bińkowski et al., "Demystifying MMD GANs", ICLR 2018) is an unbiased estimate for any number
of sections. The Fréchet distance (FID; Heusel et al., NeurIPS 2017) is not: of fewer sections than features most of it
is bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.sections.distributions import Groups, halve_groups
from microrun.runtime.sections.grains import Labels, SectionGrains
from microrun.runtime.sections.inclination import Borders
from microrun.runtime.sections.measures import Sample, mean_by_section

STEPS = (1, 2, 4, 8)  # cells, at which two points are asked for one grain
SUBSETS = 100
SUBSET_SIZE = 50
FEWEST = 4  # sections on either side
DEGREE = 3
LEVEL = 0.95


@dataclass(frozen=True)
class Distance:
    """A kernel distance.

    Parameters
    ----------
    value
        Mean over subsets; NaN where there are too few sections.
    spread
        Standard deviation over subsets; NaN where these are all sections of a side, which then adds nothing to it.
    subset_size
        Sections of either side in each subset.
    floor
        What 95 % of random halves of the reference's groups stay below among themselves; NaN where it is too small.
    """

    value: float
    spread: float
    subset_size: int
    floor: float


def describe_sections(grains: SectionGrains, measured: Mapping[str, Sample], borders: Borders) -> Float64:
    """Descriptors of the physics of each section; they know no numbers of grains and no orientations.

    Parameters
    ----------
    grains
        From `find_grains`.
    measured
        From `measure_sections`.
    borders
        From `find_borders`.

    Returns
    -------
    (n, d) float64
        Logarithms of the mean intercepts, of the mean area and of the mean aspect ratio; roots of the shares of pairs
        of cells in one grain at `STEPS` to the right and downwards; direction of the borders as cosine and sine of
        the double angle times coherence.
    """
    count = len(grains.labels)
    means = [np.log(mean_by_section(sample, count)) for sample in measured.values()]
    pairs = [np.sqrt(share_in_one(grains.labels, axis, step)) for axis in (2, 1) for step in STEPS]
    sums = borders.sums()
    total = np.maximum(sums[:, 0] + sums[:, 1], 1e-300)
    return np.stack([*means, *pairs, (sums[:, 0] - sums[:, 1]) / total, 2 * sums[:, 2] / total], axis=1)


def share_in_one(labels: Labels, axis: int, step: int) -> Float64:
    """Share of pairs of cells at a distance that lie in one grain, (n,) float64.

    Parameters
    ----------
    labels
        (n, rows, cols) int32.
    axis
        2 to the right, 1 downwards.
    step
        Distance in cells; a longer one than the section has gives its longest.
    """
    step = min(step, labels.shape[axis] - 1)
    moved = np.moveaxis(labels, axis, 2)
    shares: Float64 = (moved[:, :, step:] == moved[:, :, : moved.shape[2] - step]).mean(axis=(1, 2))
    return shares


def kernel_distance(own: Float64, reference: Float64, groups: Groups, seed: int = 0) -> Distance:
    """Kernel distance between two sets of features.

    Parameters
    ----------
    own, reference
        (n, d), (m, d) float64.
    groups
        (m,) whole numbers: sections of the reference of one group stay in one half.
    seed
        Of the subsets and halves.

    Returns
    -------
    Distance
    """
    if not reference.shape[1] or min(len(own), len(reference)) < FEWEST:
        return Distance(float("nan"), float("nan"), 0, float("nan"))
    generator = np.random.default_rng([seed, 4])
    size = min(len(own), len(reference), SUBSET_SIZE)
    values = [
        squared_discrepancy(generator.permutation(own)[:size], generator.permutation(reference)[:size])
        for _ in range(SUBSETS)
    ]
    spread = float(np.std(values)) if size < min(len(own), len(reference)) else float("nan")
    halves = zip(*halve_groups(groups, generator, SUBSETS), strict=True)
    floors = [
        squared_discrepancy(reference[one > 0], reference[other > 0])
        for one, other in halves
        if min(one.sum(), other.sum()) >= FEWEST
    ]
    floor = float(np.quantile(floors, LEVEL)) if floors else float("nan")
    return Distance(float(np.mean(values)), spread, size, floor)


def average_distance(distances: Sequence[Distance]) -> Distance | None:
    """Mean of distances that are known, and of their spreads and floors; None if none is.

    Parameters
    ----------
    distances
        One of each condition.
    """
    known = [one for one in distances if np.isfinite(one.value)]
    if not known:
        return None
    value, spread, floor = (
        float(np.mean(finite)) if (finite := [x for x in values if np.isfinite(x)]) else float("nan")
        for values in zip(*((one.value, one.spread, one.floor) for one in known), strict=True)
    )
    return Distance(value, spread, min(one.subset_size for one in known), floor)


def scale_features(own: Float64, reference: Float64) -> tuple[Float64, Float64]:
    """Features of both by the mean and the spread of the reference, without those that do not vary in it.

    Parameters
    ----------
    own, reference
        (n, d), (m, d) float64.
    """
    middle, spread = reference.mean(axis=0), reference.std(axis=0)
    varied = spread > 1e-12 * (1 + np.abs(reference).max(axis=0))
    ours, theirs = (((one - middle)[:, varied] / spread[varied]) for one in (own, reference))
    return ours, theirs


def squared_discrepancy(one: Float64, other: Float64) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy, with the kernel (x·y / d + 1)³.

    Parameters
    ----------
    one, other
        (n, d), (m, d) float64, two rows at least.
    """
    n, m = len(one), len(other)
    within = sum(
        (kernel.sum() - np.trace(kernel)) / (count * (count - 1))
        for kernel, count in ((_kernel(one, one), n), (_kernel(other, other), m))
    )
    return float(within - 2 * _kernel(one, other).mean())


def frechet_distance(one: Float64, other: Float64) -> float:
    """Fréchet distance of two normal distributions with the means and covariances of two sets of features.

    The trace of the root of the product of the covariances is the sum of the singular values of the product of the
    centred features, which is small where sections are fewer than features.

    Parameters
    ----------
    one, other
        (n, d), (m, d) float64, two rows at least.
    """
    means = one.mean(axis=0) - other.mean(axis=0)
    first, second = ((x - x.mean(axis=0)) / np.sqrt(len(x) - 1) for x in (one, other))
    shared = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(means @ means + (first**2).sum() + (second**2).sum() - 2 * shared)


def _kernel(one: Float64, other: Float64) -> Float64:
    kernel: Float64 = (one @ other.T / one.shape[1] + 1) ** DEGREE
    return kernel
