"""DBSCAN on the lattice against scikit-learn, the textbook and scipy: label arrays, not just partitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import segmentation_oracles as oracles
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.borders import fill_once, finish_slab
from microrun.kernels.neighbourhood import Rule, component_rule, dbscan_rule, largest_difference
from microrun.kernels.segmentation import Slab, cluster_slab

SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7))
# 1, 5/4 and √2 make ties with the values of `draw_volume`: 1² + (3/4)² is (5/4)².
EPS = st.one_of(st.sampled_from([0.5, 1.0, 1.25, math.sqrt(2), 1.5, 1.9]), st.floats(0.01, 1.999))
SEEDS = st.integers(0, 2**32 - 1)
SAMPLES = st.one_of(st.integers(1, 4), st.integers(1, 30))
FLOATS = st.sampled_from([np.float32, np.float64])


def label(values: NDArray[Any], rule: Rule) -> NDArray[np.int32]:
    """Label a volume in one piece."""
    beyond = np.full(values.shape[1:], np.nan, values.dtype)
    nobody = np.full(values.shape[1:], -1, np.int32)
    labels = np.empty(values.shape, np.int32)
    slab = Slab(values, beyond, beyond)
    clusters, points = cluster_slab(slab, rule, labels)
    assert points == np.isfinite(values).sum()
    finish_slab(slab, (nobody, nobody), rule, np.arange(clusters), labels)
    return labels


def draw_volume(shape: tuple[int, int, int], seed: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Few values with many ties, or many without; some of them with holes. Never without any point."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.6:
        values = rng.integers(0, rng.integers(1, 9), shape) * rng.choice([0.25, 0.75, 1.0])
    else:
        values = rng.normal(0, rng.choice([0.3, 1.0]), shape)
    values[rng.random(shape) < rng.choice([0, 0.1, 0.4, 0.7])] = rng.choice([np.nan, np.inf])
    values.flat[rng.integers(values.size)] = 0
    return values.astype(dtype)


@given(SHAPES, SEEDS, EPS, SAMPLES, st.sampled_from([1.0, 0.5, 0.7]), FLOATS)
@example((7, 7, 7), 1, 1.9, 15, 1.0, np.float32)
def test_labels_are_those_of_scikit_learn(
    shape: tuple[int, int, int], seed: int, eps: float, min_samples: int, scale: float, dtype: Any
) -> None:
    values = draw_volume(shape, seed, dtype)
    ours = label(values, dbscan_rule(eps, min_samples, scale))
    assert_array_equal(ours, oracles.sklearn_dbscan(values, eps, min_samples, scale))


@given(SHAPES, SEEDS, st.floats(1e-200, 2, exclude_max=True), SAMPLES)
@example((3, 3, 3), 5, math.sqrt(3), 4)
def test_labels_are_those_of_the_textbook(shape: tuple[int, int, int], seed: int, eps: float, samples: int) -> None:
    values = draw_volume(shape, seed)
    assert_array_equal(label(values, dbscan_rule(eps, samples, 1)), oracles.dbscan(values, eps, samples, 1))


@pytest.mark.parametrize("min_samples", [1, 8, 15, 20])
@pytest.mark.parametrize("scale", [20.0, 60.0])
def test_grains_are_found_as_scikit_learn_finds_them(min_samples: int, scale: float) -> None:
    values = oracles.random_grains((24, 20, 33), 60, seed=min_samples)
    ours = label(values, dbscan_rule(1.9, min_samples, scale))
    assert ours.max() > 10
    assert (ours == -1).any() or min_samples == 1
    assert_array_equal(ours, oracles.sklearn_dbscan(values, 1.9, min_samples, scale))


@pytest.mark.parametrize("offset", [place for place in np.ndindex(3, 3, 3) if place != (1, 1, 1)])
def test_the_largest_difference_is_close_and_the_next_double_is_not(offset: tuple[int, int, int]) -> None:
    values = np.full((3, 3, 3), np.nan)
    values[1, 1, 1] = 0
    largest = largest_difference(sum((at - 1) ** 2 for at in offset), 1.9 * 1.9)
    for difference, expected in ((largest, 0), (math.nextafter(largest, 2), -1)):
        values[offset] = difference
        assert label(values, dbscan_rule(1.9, 2, 1))[offset] == expected


def test_no_link_is_lost_where_only_one_path_joins_a_cluster() -> None:
    rng = np.random.default_rng(8)
    rule = dbscan_rule(1.9, 1, 1)
    for shape in [(1, 2, 3), (2, 1, 3), (2, 2, 2), (2, 2, 4)] * 500:
        values = rng.choice([np.nan, 0, 0.7, 1.2, 1.5, 2, 3], shape)
        values.flat[0] = 0
        assert_array_equal(label(values, rule), oracles.dbscan(values, 1.9, 1, 1))


def test_a_border_voxel_goes_to_the_lowest_cluster_of_cores_and_never_to_a_border() -> None:
    # Voxel 3 is no core and beside two clusters; voxel 7 is beside a border voxel only.
    values = np.array([0.0, 0, 0, 0.9, 1.8, 1.8, 2.7, 3.6]).reshape(1, 1, 8)
    ours = label(values, dbscan_rule(1.35, 3, 1))
    assert_array_equal(ours, oracles.dbscan(values, 1.35, 3, 1))
    border = label(np.array([0.0, 0, 0, 0.9, 1.8, 1.8, 1.8]).reshape(1, 1, 7), dbscan_rule(1.35, 4, 1))
    assert (border == -1).all()


@given(SHAPES, SEEDS, st.sampled_from([6, 26]))
def test_components_are_those_of_scipy(shape: tuple[int, int, int], seed: int, neighbours: int) -> None:
    colours = np.random.default_rng(seed).integers(0, 3, shape).astype(np.float32)
    assert_array_equal(label(colours, component_rule(neighbours)), oracles.components(colours, neighbours))


@given(SHAPES, SEEDS)
def test_noise_takes_the_majority_of_six(shape: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(shape) < 0.5, -1, rng.integers(0, 4, shape)).astype(np.int32)
    noise = np.flatnonzero(labels < 0)
    chosen = np.empty(noise.size, np.int32)
    fill_once(labels, noise, (False, False, False), chosen)
    expected = oracles.fill_round(labels, labels < 0)
    assert_array_equal(chosen, expected.reshape(-1)[noise])
