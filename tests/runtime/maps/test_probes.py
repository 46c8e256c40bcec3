"""Probes: one for what is there, nothing for what is not, and maps that are what their names say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from microrun.runtime.maps.analysis import latent_spread
from microrun.runtime.maps.indexing import MAX_FIT_DEG, Orientations
from microrun.runtime.maps.pattern_quality import measure_image_quality, measure_sharpness
from microrun.runtime.maps.probes import (
    Measured,
    area,
    measure,
    probe_area,
    probe_grains,
    probe_map,
    rotation_vectors,
    within_r2,
)
from microrun.runtime.patterns.prepared import PreparedBatch
from microrun.runtime.progress import finish
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.truth import Truth

if TYPE_CHECKING:
    from conftest import Indexed

Float64 = NDArray[np.float64]
GROUPS = np.repeat(np.arange(4), 60)


def normal(*shape: int, seed: int = 0) -> Float64:
    return np.random.default_rng(seed).standard_normal(shape)


# --- R² within groups


def test_linear_targets_are_predicted() -> None:
    inputs = normal(240, 5)
    assert within_r2(inputs, inputs @ normal(5, 2, seed=1) + 3, GROUPS) > 0.999


def test_each_group_has_a_probe_of_its_own() -> None:
    inputs = normal(240, 3)
    slopes = normal(4, 3, seed=1)[GROUPS]  # another relation in each group
    assert within_r2(inputs, (inputs * slopes).sum(axis=1)[:, None], GROUPS) > 0.99


def test_differences_between_groups_do_not_count() -> None:
    group_means = 100.0 * GROUPS[:, None]
    found = within_r2(group_means + 0.01 * normal(240, 1), group_means + normal(240, 1, seed=1), GROUPS)
    assert found < 0.05


def test_noise_predicts_nothing() -> None:
    assert within_r2(normal(240, 20), normal(240, 1, seed=1), GROUPS) < 0.05


def test_noise_in_the_targets_bounds_what_is_predicted() -> None:
    inputs = normal(2000, 1)
    targets = inputs + normal(2000, 1, seed=1)
    assert within_r2(inputs, targets, np.zeros(2000, int)) == pytest.approx(0.5, abs=0.06)


def test_missing_inputs_are_filled() -> None:
    inputs = normal(240, 2)
    targets = inputs[:, :1].copy()
    inputs[::10] = np.nan
    inputs[1::50] = np.inf
    assert 0.7 < within_r2(inputs, targets, GROUPS) < 1
    assert within_r2(np.full((240, 1), np.nan), targets, GROUPS) < 0.01


# --- area under the ROC curve


def test_the_area_of_a_perfect_score_is_one() -> None:
    labels = np.arange(100) > 70
    for scores in (np.arange(100.0), labels.astype(float)):
        assert area(scores, labels) == 1
    assert area(-np.arange(100.0), labels) == 0


def test_the_area_of_a_random_score_is_one_half() -> None:
    assert area(normal(4000), normal(4000, seed=1) > 1) == pytest.approx(0.5, abs=0.03)
    assert area(np.zeros(10), np.arange(10) > 5) == 0.5


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_area_is_the_share_of_pairs_in_the_right_order(points: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([score for score, _ in points], float), np.array([label for _, label in points])
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels] for b in scores[~labels]]
    if not pairs:
        assert np.isnan(area(scores, labels))
    else:
        assert area(scores, labels) == pytest.approx(np.mean(pairs))


def test_of_one_class_there_is_no_area() -> None:
    assert np.isnan(area(normal(10), np.zeros(10, bool)))
    assert np.isnan(area(normal(10), np.ones(10, bool)))


def test_missing_scores_are_taken_for_the_median() -> None:
    labels = np.arange(100) >= 50
    scores = np.where(np.arange(100) % 10 == 0, np.nan, np.arange(100.0))
    filled = np.where(np.isnan(scores), np.nanmedian(scores), scores)
    assert area(scores, labels) == area(filled, labels) > 0.95


def test_a_probe_is_tested_where_it_did_not_learn() -> None:
    parts = np.repeat(np.arange(20), 20)
    labels = normal(400) > 0.8
    told = np.stack([labels + 0.1 * normal(400, seed=1), normal(400, seed=2)], axis=1)
    assert area(probe_area(told, labels, parts), labels) > 0.99
    scores = probe_area(told, labels, parts)
    assert scores[labels].mean() > scores[~labels].mean()


def test_a_probe_that_learns_groups_by_heart_gains_nothing() -> None:
    groups = np.repeat(np.arange(60), 8)
    labels = groups % 4 == 0
    by_heart = normal(60, 6, seed=3)[groups] + 0.01 * normal(480, 6, seed=4)  # tells the groups, nothing of others
    assert 0.2 < area(probe_area(by_heart, labels, groups), labels) < 0.8


# --- rotations


@given(st.integers(0, 99), st.tuples(*[st.floats(-4, 4)] * 3))
def test_small_rotations_are_axis_times_angle(seed: int, degrees: tuple[float, float, float]) -> None:
    reference = Rotation.random(rng=np.random.default_rng(seed))
    cube = Rotation.from_rotvec(np.pi / 2 * np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 2, 0]]))
    equal = cube * (Rotation.from_rotvec(np.deg2rad(degrees)) * reference)
    references = np.tile(reference.as_quat(scalar_first=True), (4, 1))
    found = rotation_vectors(equal.as_quat(scalar_first=True), references, "fcc")
    assert_allclose(found, np.tile(degrees, (4, 1)), atol=1e-6)
    assert_allclose(rotation_vectors(-references, references, "fcc"), 0, atol=1e-6)


# --- measures


def test_measures_are_what_their_names_say(indexed: Indexed) -> None:
    parts = [slice(0, 20), slice(20, 25)]
    means = normal(25).astype(np.float32)
    batches = [
        PreparedBatch(indexed.patterns[part], np.zeros((1, 2), np.float32), np.zeros(1, bool), means[part])
        for part in parts
    ]
    found = finish(measure(batches, indexed.pixel_keep, indexed.indexer))
    some = indexed.patterns[:25]
    assert_allclose(found.values["sharpness"], measure_sharpness(some, indexed.pixel_keep))
    assert_allclose(found.values["image quality (Fourier)"], measure_image_quality(some, indexed.pixel_keep))
    assert_array_equal(found.values["mean intensity"], means)
    assert_allclose(found.orientations.rotations, indexed.orientations.rotations[:25], atol=1e-6)
    known = indexed.orientations.indexed[:25]
    expected = {
        "pattern quality (Hough)": indexed.orientations.quality[:25],
        "confidence": np.where(known, indexed.orientations.confidence[:25], 0),
        "fit": np.where(known, indexed.orientations.fit_deg[:25], MAX_FIT_DEG),
    }
    for name, values in expected.items():
        assert_allclose(found.values[name], values, rtol=1e-4)


def make_truth(shape: tuple[int, int], seed: int = 0) -> Truth:
    """Rows are grains, whose points are turned and blurred; particles and boundaries are scattered."""
    rng = np.random.default_rng(seed)
    count = shape[0] * shape[1]
    grains = Rotation.random(shape[0], rng)
    turned = grains[np.repeat(np.arange(shape[0]), shape[1])] * Rotation.from_rotvec(0.02 * rng.normal(size=(count, 3)))
    mixture = np.where(rng.random(shape) < 0.3, rng.uniform(0.05, 0.5, shape), 0)
    return Truth(
        rotations=turned.as_quat(scalar_first=True).reshape(*shape, 4),
        grain=np.repeat(np.arange(shape[0])[:, None], shape[1], axis=1),
        blur_px=rng.uniform(0.8, 2.4, shape),
        phase=(rng.random(shape) < 0.2).astype(np.int64),
        mixture=mixture,
        boundary=mixture > 0,
        pattern_centre=(0.4, 0.8, 0.5),
        sample_tilt=70.0,
    )


def make_measured(truth: Truth, values: dict[str, Float64]) -> Measured:
    """Measures, and orientations that are the truth but for one point that is not indexed and one that is wrong."""
    rotations = truth.rotations.reshape(-1, 4).copy()
    rotations[5] = (1, 0, 0, 0)
    bands = np.full(len(rotations), 8)
    bands[3] = 0
    zeros = np.zeros(len(rotations))
    return Measured(values, Orientations(rotations, zeros + 0.5, zeros, zeros, bands, "fcc"))


def test_grains_are_asked_for_blur_and_rotation() -> None:
    truth = make_truth((4, 60))
    blur = truth.blur_px.ravel()
    noise = normal(240, 4, seed=5)
    measured = make_measured(truth, {"blurry": blur.copy(), "noise": noise[:, 0]})
    reference = truth.rotations[:, :1].repeat(60, axis=1).reshape(-1, 4)
    turned = rotation_vectors(truth.rotations.reshape(-1, 4), reference, "fcc")
    latents = np.concatenate([turned, noise], axis=1).astype(np.float32)
    found = probe_grains(latents, measured, truth)
    assert list(found) == ["blur, R²", "rotation, R²"]
    one, other = found.values()
    assert list(one) == ["latents", "blurry", "noise", "all maps together"]
    assert list(other) == ["latents", "orientation (indexed)", "blurry", "noise"]
    assert one["blurry"] > 0.999 and one["all maps together"] > 0.99
    assert one["latents"] < 0.1 and one["noise"] < 0.1
    assert other["latents"] > 0.999
    assert 0.9 < other["orientation (indexed)"] < 0.9999  # two points are missing
    assert other["blurry"] < 0.1


def test_maps_are_asked_for_boundaries_and_particles() -> None:
    truth, scan = make_truth((12, 16)), Scan((12, 16), (8, 8))
    particle, edge = truth.phase.ravel() == 1, (truth.mixture >= 0.1).ravel()
    measured = make_measured(
        truth, {"particles": particle + 0.0, "edges": -truth.mixture.ravel(), "noise": normal(192)}
    )
    latents = np.stack([particle + 0.01 * normal(192, seed=6), normal(192, seed=7)], axis=1).astype(np.float32)
    found = probe_map(latents, measured, truth, scan)
    assert list(found) == ["boundaries, AUC", "particles, AUC"]
    one, other = found.values()
    assert one["edges"] == other["particles"] == 1
    assert other["latents"] > 0.99 and other["all maps together"] > 0.9
    assert max(other["noise"], one["noise"], one["particles"]) < 0.75
    clear = (truth.mixture == 0).ravel()
    spread = latent_spread(latents.reshape(12, 16, 2).astype(float), scan).ravel()
    assert one["latents (spread)"] == pytest.approx(area(spread[edge | clear], edge[edge | clear]))
    for name, values in measured.values.items():
        differences = area(latent_spread(values.reshape(12, 16, 1), scan).ravel()[edge | clear], edge[edge | clear])
        assert one[f"{name} (spread)"] == pytest.approx(max(differences, 1 - differences))
    assert {"KAM, up to 5°", "KAM, all angles", "all maps together (spread)"} <= set(one)
    assert one["KAM, all angles"] != one["KAM, up to 5°"]


def test_weakly_mixed_points_are_neither_boundary_nor_clear() -> None:
    truth, scan = make_truth((12, 16)), Scan((12, 16), (8, 8))
    weak = ((truth.mixture > 0) & (truth.mixture < 0.1)).ravel()
    assert weak.sum() > 3
    latents = normal(192, 2).astype(np.float32)
    values = -truth.mixture.ravel()
    found = [
        probe_map(latents, make_measured(truth, {"map": np.where(weak, odd, values)}), truth, scan)
        for odd in (-9.0, 0.0, 9.0)
    ]
    assert {one["boundaries, AUC"]["map"] for one in found} == {1.0}
