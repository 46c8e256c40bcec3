"""Errors of histograms by hand, distances against scipy, intervals and floors that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from microrun.runtime.sections.distributions import (
    HALVINGS,
    RESAMPLES,
    Side,
    average,
    choose_groups,
    compare_samples,
    count_in_bins,
    draw_groups,
    estimate_mean,
    halve_groups,
)
from microrun.runtime.sections.measures import MEASURES, Sample


def make_side(values: object, section: object, groups: int | None = None) -> Side:
    section = np.asarray(section, np.int32)
    return Side(Sample(np.asarray(values, float), section), np.arange(groups or section.max() + 1))


def draw_side(seed: int, sections: int = 40, mean: float = 6, lattice: float = 2.0) -> Side:
    generator = np.random.default_rng(seed)
    values = 1 + lattice * generator.poisson(mean, (sections, 50))
    return make_side(values.ravel(), np.repeat(np.arange(sections), 50))


def test_bins_begin_with_their_edges() -> None:
    sample = Sample(
        np.array([0.0, 9.999, 10.0, 49.9, 50.0, 2.0, 10 - 1e-12]), np.array([0, 0, 0, 0, 0, 1, 1], np.int32)
    )
    counts = count_in_bins(sample, MEASURES["horizontal_um"], (3, 5))
    np.testing.assert_array_equal(counts, [[2, 1, 0, 0, 1], [1, 1, 0, 0, 0], [0] * 5])


def test_errors_by_hand() -> None:
    own = make_side([2, 12, 14, 22, 60], [0, 0, 1, 1, 1])  # a section: 0.5, 1, 0.5, 0, 0
    reference = make_side([4, 6, 12, 44], [0, 0, 0, 0])  # 2, 1, 0, 0, 1
    compared = compare_samples("horizontal_um", own, reference, 2.0)
    assert compared.scores.mae[0] == pytest.approx((1.5 + 0 + 0.5 + 0 + 1) / 5)
    assert compared.scores.mape[0] == pytest.approx(100 * (0.75 + 0 + 1) / 3)
    assert compared.empty_bins == 2
    assert (compared.scores.mean[0], compared.scores.reference_mean[0]) == (22, 16.5)


@pytest.mark.parametrize("name", ["horizontal_um", "area_um2", "aspect"])
def test_distances_are_those_of_scipy(name: str) -> None:
    lattice = {"horizontal_um": 1.0, "area_um2": 1.0, "aspect": 0.01}[name]
    own, reference = draw_side(0, 30, 6, lattice), draw_side(1, 20, 7, lattice)
    compared = compare_samples(name, own, reference, 1.0)
    expected = wasserstein_distance(own.sample.values, reference.sample.values)
    assert compared.scores.wasserstein[0] == pytest.approx(expected, rel=1e-9)


def test_the_draws_are_those_of_sections_drawn_anew() -> None:
    own, reference = draw_side(0, 5), draw_side(1, 4)
    compared = compare_samples("horizontal_um", own, reference, 1.0, seed=3)
    generator = np.random.default_rng([3, 0])
    times = [draw_groups(side.groups, generator)[7].astype(int) for side in (own, reference)]
    values = [
        np.concatenate([np.repeat(side.sample.values[side.sample.section == n], k) for n, k in enumerate(times_of)])
        for side, times_of in zip((own, reference), times, strict=True)
    ]
    assert compared.draws.mean[7] == pytest.approx(values[0].mean())
    assert compared.draws.wasserstein[7] == pytest.approx(wasserstein_distance(*values))


def test_a_set_beside_itself_differs_in_nothing_and_the_floor_says_what_chance_does() -> None:
    side = draw_side(2)
    compared = compare_samples("vertical_um", side, side, 2.0)
    assert compared.scores.mae[0] == compared.scores.mape[0] == compared.scores.wasserstein[0] == 0
    other = compare_samples("vertical_um", draw_side(3), side, 2.0)
    shifted = compare_samples("vertical_um", draw_side(3, mean=9), side, 2.0)
    for name in ("mae", "mape", "wasserstein"):
        assert 0 < compared.chance(name) < 30
        assert other.estimate(name).value < 2 * other.chance(name)
        assert shifted.estimate(name).low > 2 * shifted.chance(name)


def test_intervals_hold_the_number_and_shrink_with_sections() -> None:
    widths = []
    for sections in (10, 160):
        compared = compare_samples("vertical_um", draw_side(4, sections), draw_side(5, sections), 2.0)
        mean = compared.estimate("mean")
        assert mean.low < mean.value < mean.high
        widths.append(mean.high - mean.low)
    assert widths[1] < widths[0] / 2.5  # as one over the root of their number


def test_means_alone_have_the_same_interval_as_beside_a_reference() -> None:
    side = draw_side(4, 30)
    alone, beside = estimate_mean(side), compare_samples("vertical_um", side, side, 1.0).estimate("mean")
    assert alone.value == pytest.approx(beside.value)
    assert alone.low == pytest.approx(beside.low, rel=0.01)


def test_one_seed_gives_the_same_numbers() -> None:
    one, same, other = (
        compare_samples("vertical_um", draw_side(0), draw_side(1), 2.0, seed).draws.mae for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_cases_are_drawn_whole() -> None:
    case = np.array([4, 4, 9, 9, 9], np.int32)
    np.testing.assert_array_equal(choose_groups(case), case)
    np.testing.assert_array_equal(choose_groups(case[:2]), [0, 1])
    times = draw_groups(case, np.random.default_rng(0))
    assert times.shape == (RESAMPLES, 5)
    np.testing.assert_array_equal(times[:, 0], times[:, 1])
    np.testing.assert_array_equal(times[:, 0] + times[:, 2], 2)


def test_halves_share_no_case() -> None:
    one, other = halve_groups(np.array([0, 0, 1, 2, 3, 4, 4]), np.random.default_rng(0))
    assert one.shape == (HALVINGS, 7)
    assert (one * other == 0).all()
    np.testing.assert_array_equal(one[:, 0], one[:, 1])
    assert halve_groups(np.zeros(3, int), np.random.default_rng(0))[0].shape == (0, 3)


def test_a_single_section_has_no_floor() -> None:
    compared = compare_samples("aspect", draw_side(0, lattice=0.5), make_side([1.0, 2.0], [0, 0]), 2.0)
    assert np.isnan(compared.chance("mae"))


def test_means_over_conditions() -> None:
    pairs = [(draw_side(0), draw_side(1)), (draw_side(2, mean=8), draw_side(3))]
    each = [compare_samples("horizontal_um", own, reference, 2.0, n) for n, (own, reference) in enumerate(pairs)]
    both = average(each)
    assert both.estimate("mae").value == pytest.approx(np.mean([one.estimate("mae").value for one in each]))
    assert both.empty_bins == sum(one.empty_bins for one in each)
    assert both.draws.mae.shape == (RESAMPLES,)
