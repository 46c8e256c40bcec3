"""Maps that are larger than the memory: read in slabs of rows, with the results of the whole array."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from make_latents import SCANS, make_contents, make_origin, write_contents, write_features
from numpy.testing import assert_allclose, assert_array_equal

from microrun.runtime.latents.reader import open_latents
from microrun.runtime.maps import analysis, stored_features
from microrun.runtime.maps.analysis import (
    Analysis,
    AnalysisRequest,
    analyse_latents,
    measure_distances,
    split_distances,
)
from microrun.runtime.maps.features import measure_structure, principal_colours
from microrun.runtime.maps.stored_features import StoredFeatures, row_slabs
from microrun.runtime.pictures.latent_maps import draw_features, draw_montage, draw_overview
from microrun.runtime.pictures.panels import MOST_SIDE, draw_labels, make_panels, show
from microrun.runtime.scans.lattice import neighbour_pairs
from microrun.runtime.scans.scan import Scan


def analyse(path: Path) -> Analysis:
    with open_latents(path) as latents:
        return analyse_latents(latents, AnalysisRequest(1.0, clusters=2, pick=(0, 0)))


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_a_map_in_slabs_is_analysed_as_the_whole_map(
    tmp_path: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_contents(tmp_path / "a.h5", make_origin(scan), make_contents(scan))
    whole = analyse(path)
    monkeypatch.setattr(stored_features, "SLAB_VALUES", 1)
    found = analyse(path)
    with open_latents(path) as latents:
        assert len(list(row_slabs(latents.shape))) > 1
    assert_allclose(found.structure, whole.structure, rtol=1e-12)
    assert_allclose(found.colours.image, whole.colours.image, atol=1e-9)
    assert_allclose(found.spread, whole.spread, rtol=1e-12)
    assert_array_equal(found.segments, whole.segments)
    assert_array_equal(found.clusters, whole.clusters)
    assert found.distance is not None and whole.distance is not None
    assert_array_equal(found.distance, whole.distance)


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_neighbours_in_different_slabs_are_neighbours(scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).standard_normal((*scan.nav_shape, 3))
    flat, pairs = features.reshape(-1, 3), neighbour_pairs(scan)
    expected = np.linalg.norm(flat[pairs[:, 0]] - flat[pairs[:, 1]], axis=1)
    monkeypatch.setattr(stored_features, "SLAB_VALUES", 1)
    assert_allclose(np.sort(measure_distances(features, scan)), np.sort(expected), rtol=1e-12)


def test_features_far_from_zero_keep_their_structure_in_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    features = 1e6 + np.random.default_rng(0).standard_normal((40, 9, 4))
    scan = Scan((40, 9), (8, 8))
    structure, colours = measure_structure(features, scan), principal_colours(features)
    monkeypatch.setattr(stored_features, "SLAB_VALUES", 1)
    assert_allclose(measure_structure(features, scan), structure, rtol=1e-6)
    assert_allclose(principal_colours(features), colours, atol=1e-6)


def test_maps_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).standard_normal((12, 10, 5)).astype(np.float32)
    monkeypatch.setattr(stored_features, "SLAB_VALUES", 1)
    monkeypatch.setattr(stored_features, "HELD_VALUES", 2 * 120)
    with open_latents(write_features(tmp_path / "a.h5", features)) as latents:
        found = list(StoredFeatures(latents).maps([4, 0, 3]))
        pictures = [np.asarray(axis.images[0].get_array()) for axis in draw_features(latents, [4, 0, 3]).axes[:3]]
    for image, picture, number in zip(found, pictures, [4, 0, 3], strict=True):
        assert_array_equal(image, features[..., number])
        assert_array_equal(picture, features[..., number])


def test_a_large_map_is_never_in_memory_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).standard_normal((250, 400, 24)).astype(np.float32)
    path = write_features(tmp_path / "a.h5", features)
    monkeypatch.setattr(stored_features, "SLAB_VALUES", 1 << 15)
    monkeypatch.setattr(stored_features, "HELD_VALUES", 2 * 250 * 400)
    for work in (draw_overview, lambda latents: analyse_latents(latents, AnalysisRequest(pick=(0, 0)))):
        with open_latents(path) as latents:
            work(latents)  # imports what it needs
            tracemalloc.start()
            try:
                work(latents)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert peak < features.astype(np.float64).nbytes


def test_the_threshold_of_many_pairs_is_found_in_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    distances = np.concatenate([rng.uniform(0.9, 1.1, 6000), rng.uniform(9, 11, 4000), [np.nan, 0]])
    whole = split_distances(distances)
    monkeypatch.setattr(analysis, "SPLIT_PAIRS", 500)
    assert split_distances(distances) == split_distances(distances) == pytest.approx(whole, rel=0.02)


def test_large_maps_are_thinned_where_they_are_drawn() -> None:
    side = 3 * MOST_SIDE
    scan = Scan((side, 4), (8, 8))
    _, (axis,) = make_panels(scan, 1)
    image = np.arange(4.0 * side).reshape(side, 4)
    shown = show(axis, scan, image)
    assert_array_equal(shown.get_array(), image[::3])
    assert tuple(shown.get_extent()) == (0, 4, side, 0)
    draw_labels(axis, scan, np.zeros((side, 4), int), "labels")
    assert axis.images[-1].get_array().shape == (MOST_SIDE, 4, 3)


def test_montages_of_maps_with_gaps(tmp_path: Path) -> None:
    scan = SCANS["square"]
    path = write_contents(tmp_path / "a.h5", make_origin(scan), make_contents(scan))
    with open_latents(path) as latents:
        assert len(draw_montage(latents).axes) >= latents.shape[2]
