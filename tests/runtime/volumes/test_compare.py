"""Distances between distributions of grain measures, against formulas."""

from __future__ import annotations

import numpy as np
import pytest
import voxel_oracles as oracles
from numpy.testing import assert_allclose

from microrun.runtime.volumes.compare import (
    bin_edges,
    chance_divergence,
    collect_measures,
    compare_measures,
    kl_divergence,
)
from microrun.runtime.volumes.measure import MEASURES, measure_grains

VORONOI = oracles.voronoi((14, 16, 18), 40, 0)
RNG = np.random.default_rng(1)


def test_equal_distributions_are_0_apart() -> None:
    values = collect_measures([measure_grains(VORONOI)])
    for row in compare_measures(values, values):
        assert (row.kl, row.wasserstein) == (0, 0)
        assert (row.median, row.mean) == (row.reference_median, row.reference_mean)


def test_divergence_is_that_of_the_shares() -> None:
    values, reference = np.repeat([0.05, 0.95], [30, 10]), np.repeat([0.05, 0.95], [10, 30])
    p, q = (np.r_[first, np.full(18, 0.5), last] / 50 for first, last in ((30.5, 10.5), (10.5, 30.5)))
    assert_allclose(kl_divergence("b_over_a", values, reference), (p * np.log(p / q)).sum())


@pytest.mark.parametrize(("sigma", "shift"), [(1.0, 0.5), (0.7, 1.0)])
def test_divergence_of_many_grains_nears_the_formula(sigma: float, shift: float) -> None:
    values, reference = RNG.lognormal(shift, sigma, 200_000), RNG.lognormal(0, sigma, 200_000)
    exact = shift**2 / (2 * sigma**2)
    assert_allclose(kl_divergence("volume_um3", values, reference), exact, rtol=0.06)
    backward = kl_divergence("volume_um3", reference, values)
    assert_allclose(backward, exact, rtol=0.06)


def test_divergence_has_a_direction() -> None:
    wide, narrow = RNG.uniform(0, 1, 5000), RNG.uniform(0, 0.5, 5000)
    assert_allclose(kl_divergence("b_over_a", narrow, wide), np.log(2), rtol=0.05)
    assert kl_divergence("b_over_a", wide, narrow) > 2


def test_chance_explains_the_divergence_of_samples_of_one_distribution() -> None:
    pairs = [RNG.uniform(0, 1, (2, 300)) for _ in range(200)]
    found = np.mean([kl_divergence("b_over_a", *pair) for pair in pairs])
    assert_allclose(found, chance_divergence("b_over_a", *pairs[0]), rtol=0.15)


def test_wasserstein_is_the_shift() -> None:
    values = {"diameter_um": np.arange(10.0)}
    (row,) = compare_measures(values, {"diameter_um": np.arange(10.0) + 3})
    assert row.wasserstein == pytest.approx(3)
    (alone,) = compare_measures(values, None)
    assert (alone.median, alone.mean, alone.kl, alone.wasserstein) == (4.5, 4.5, None, None)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("pair", [([3.0], [3.0]), ([1.0, 2.0], [55.0]), ([0.001], [1e6]), ([7.0, 9.0], [8.0])])
def test_bins_hold_all_of_both(measure: str, pair: tuple[list[float], list[float]]) -> None:
    values, reference = (np.round(side) + 1 if measure == "neighbours" else np.array(side) for side in pair)
    edges = bin_edges(measure, values, reference)
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= 22
    for sample in (values, reference):
        assert np.histogram(sample, edges)[0].sum() == len(sample)
    assert np.isfinite(kl_divergence(measure, values, reference))


def test_a_single_grain_has_no_nearest() -> None:
    values = collect_measures([measure_grains(np.zeros((3, 3, 3), int))])
    assert not values["nearest_um"].size
    rows = compare_measures(values, collect_measures([measure_grains(VORONOI)]))
    assert [row.measure for row in rows] == [name for name in MEASURES if name != "nearest_um"]
