"""Kernel distances by their definition, Fréchet distances against the closed form, descriptors that know no numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from section_sets import draw_cells, make_set

from microrun.runtime.array_types import Float64
from microrun.runtime.sections.grains import find_grains
from microrun.runtime.sections.inclination import find_borders
from microrun.runtime.sections.kid import (
    STEPS,
    Distance,
    average_distance,
    describe_sections,
    frechet_distance,
    kernel_distance,
    scale_features,
    share_in_one,
    squared_discrepancy,
)
from microrun.runtime.sections.measures import measure_sections


def describe(n_seeds: int, seed: int, sections: int = 60) -> Float64:
    grains = find_grains(make_set(draw_cells((sections, 40, 40), n_seeds, seed)), by_id=False)
    return describe_sections(grains, measure_sections(grains, 2.0), find_borders(grains.labels))


def distance(own: Float64, reference: Float64) -> Distance:
    return kernel_distance(*scale_features(own, reference), np.arange(len(reference)))


def test_discrepancies_by_the_definition() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=(5, 3)), generator.normal(1, 1, (7, 3))

    def kernel(x: Float64, y: Float64) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within = np.mean([kernel(one[i], one[j]) for i in range(5) for j in range(5) if i != j])
    beyond = np.mean([kernel(other[i], other[j]) for i in range(7) for j in range(7) if i != j])
    mixed = np.mean([kernel(x, y) for x in one for y in other])
    assert squared_discrepancy(one, other) == pytest.approx(within + beyond - 2 * mixed)


def test_discrepancies_have_no_bias() -> None:
    generator = np.random.default_rng(1)
    values = [squared_discrepancy(*generator.normal(size=(2, 8, 4))) for _ in range(2000)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(2000)


def test_equal_structures_are_near_and_others_far() -> None:
    reference = describe(40, 0)
    near, far = distance(describe(40, 1), reference), distance(describe(15, 2), reference)
    assert 0 < near.floor < 1
    assert abs(near.value) < near.floor
    assert far.value > 10 * near.floor
    assert near.subset_size == 50
    assert near.spread > 0
    assert distance(describe(40, 1), reference) == near


def test_too_few_sections_have_no_distance() -> None:
    assert np.isnan(distance(describe(9, 0, 3), describe(9, 1, 3)).value)
    few = distance(describe(9, 0, 6), describe(9, 1, 6))
    assert np.isfinite(few.value)
    assert np.isnan(few.floor)
    assert np.isnan(few.spread)  # of subsets that are all there is


def test_cases_stay_in_one_half() -> None:
    generator = np.random.default_rng(5)
    case = np.repeat(np.arange(6), 8)
    reference = generator.normal(size=(6, 3))[case] + 0.1 * generator.normal(size=(48, 3))
    floors = [kernel_distance(reference, reference, groups).floor for groups in (case, np.arange(48))]
    assert floors[0] > 5 * abs(floors[1])
    assert np.isnan(kernel_distance(reference, reference, np.zeros(48, int)).floor)


def test_spreads_and_floors_that_are_not_known_do_not_hide_those_that_are() -> None:
    nothing = float("nan")
    mean = average_distance([Distance(1, 0.2, 50, nothing), Distance(3, nothing, 20, 4)])
    assert mean == Distance(2, 0.2, 20, 4)
    assert average_distance([Distance(nothing, nothing, 0, nothing)]) is None


def test_frechet_distances_are_those_of_the_closed_form() -> None:
    generator = np.random.default_rng(2)
    one, other = generator.normal(size=(40, 6)), generator.normal(0.5, 2, (30, 6))
    first, second = np.cov(one.T), np.cov(other.T)
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet_distance(one, other) == pytest.approx(expected)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_two_point_shares_by_hand() -> None:
    labels = np.array([[[0, 0, 1, 1], [0, 0, 0, 1]]], np.int32)
    assert share_in_one(labels, 2, 1)[0] == pytest.approx(4 / 6)
    assert share_in_one(labels, 1, 1)[0] == pytest.approx(3 / 4)
    assert share_in_one(labels, 2, 9)[0] == share_in_one(labels, 2, 3)[0] == 0


def test_descriptors_know_neither_numbers_nor_orientations() -> None:
    cells = draw_cells((5, 40, 40), 30, 3)
    moved = np.random.default_rng(0).permutation(20).astype(np.int8)[cells]
    described = []
    for each in (cells, moved):
        grains = find_grains(make_set(each), by_id=False)
        described.append(describe_sections(grains, measure_sections(grains, 2.0), find_borders(grains.labels)))
    np.testing.assert_allclose(*described, atol=1e-12)
    assert described[0].shape == (5, 4 + 2 * len(STEPS) + 2)


def test_features_that_do_not_vary_are_left_out() -> None:
    generator = np.random.default_rng(4)
    reference = np.column_stack([generator.normal(5, 2, 50), np.full(50, 3.0)])
    ours, theirs = scale_features(reference + 1, reference)
    assert theirs.shape == (50, 1)
    assert (theirs.mean(), theirs.std()) == (pytest.approx(0, abs=1e-12), pytest.approx(1))
    np.testing.assert_allclose(ours - theirs, 1 / reference[:, 0].std())
