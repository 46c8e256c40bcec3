"""Distances between distributions of grain measures, against formulas."""

from __future__ import annotations

import numpy as np
import pytest
import voxel_oracles as oracles
from numpy.testing import assert_allclose
from scipy.stats import ks_2samp, wasserstein_distance

from microrun.runtime.volumes.compare import (
    Comparison,
    bin_edges,
    collect_measures,
    compare_measures,
    draw_by_chance,
    kl_divergence,
    measure_distances,
)
from microrun.runtime.volumes.measure import MEASURES, measure_grains

VORONOI = oracles.voronoi((14, 16, 18), 40, 0)
RNG = np.random.default_rng(1)


def test_equal_distributions_are_0_apart() -> None:
    values = collect_measures([measure_grains(VORONOI)])
    for row in compare_measures(values, values):
        assert (row.kl, row.wasserstein, row.ks) == (0, 0, 0)
        assert row.verdict == "as the reference, within chance"
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


@pytest.mark.parametrize("measure", ["b_over_a", "neighbours", "volume_um3"])
def test_chance_explains_the_distances_of_samples_of_one_distribution(measure: str) -> None:
    rng = np.random.default_rng(5)
    pairs = [(np.rint(rng.gamma(9, 2, 300)) + 1, np.rint(rng.gamma(9, 2, 900)) + 1) for _ in range(60)]
    found = [measure_distances(measure, *pair) for pair in pairs]
    chance, limit = draw_by_chance(measure, *pairs[0])
    assert_allclose(np.mean(found, axis=0), chance, rtol=0.25)
    assert np.mean([one.kl <= limit.kl for one in found]) > 0.9
    assert draw_by_chance(measure, *pairs[0]) == (chance, limit)


@pytest.mark.parametrize("measure", ["b_over_a", "neighbours"])
def test_distances_are_those_of_scipy(measure: str) -> None:
    values, reference = np.rint(RNG.normal(12, 3, 170)), np.rint(RNG.normal(13, 3, 230))
    found = measure_distances(measure, values, reference)
    assert_allclose(found.wasserstein, wasserstein_distance(values, reference))
    assert_allclose(found.ks, ks_2samp(values, reference).statistic)


def test_verdicts_say_how_far_beyond_chance() -> None:
    rng = np.random.default_rng(2)
    reference = {"c_over_a": rng.normal(0.7, 0.1, 4000)}

    def judge(shift: float) -> Comparison:
        (row,) = compare_measures({"c_over_a": rng.normal(0.7 + shift, 0.1, 2000)}, reference)
        return row

    assert judge(0).verdict == "as the reference, within chance"
    assert judge(0.015).verdict.startswith("differs a little: ")
    assert "times chance, mean +" in judge(0.015).verdict
    assert judge(0.05).verdict.startswith("differs: ")
    for count, said in ((20, ""), (19, ", but 19 whole grains say little"), (1, ", but 1 whole grain says little")):
        (few,) = compare_measures({"c_over_a": np.full(count, 0.7)}, {"c_over_a": np.full(30, 0.7)})
        assert few.verdict == f"as the reference, within chance{said}"
    (alone,) = compare_measures({"c_over_a": reference["c_over_a"]}, None)
    assert alone.verdict == ""


def test_cut_grains_can_be_left_out() -> None:
    grains = measure_grains(VORONOI)
    inside = collect_measures([grains, grains], interior=True)
    assert len(inside["sphericity"]) == 2 * np.count_nonzero(~grains.touches_boundary) > 0
    assert len(collect_measures([grains])["sphericity"]) == 40


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
