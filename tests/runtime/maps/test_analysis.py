"""Reading latents: segments, spread and clusters, against slow twins and maps whose answer is known."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_latents import SCANS, make_contents, make_origin, write_contents, write_features
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.maps import analysis
from microrun.runtime.maps.analysis import (
    Analysis,
    AnalysisRequest,
    analyse_latents,
    cluster_features,
    latent_spread,
    measure_distances,
    split_distances,
)
from microrun.runtime.maps.features import measure_structure, principal_colours
from microrun.runtime.scans.lattice import neighbour_pairs
from microrun.runtime.scans.scan import Scan

Float64 = NDArray[np.float64]
SHAPE = (12, 15)
NOISE = 0.05


def three_regions(noise: float = NOISE, size: int = 6) -> tuple[Float64, NDArray[np.int64]]:
    """Latents of three regions (left 0, right top 1, right bottom 2) with noise, and the regions."""
    rng = np.random.default_rng(0)
    row, col = np.indices(SHAPE)
    regions = np.where(col < 7, 0, np.where(row < 4, 1, 2))
    centres = np.array([[0, 0, 1], [1, 0, 0], [0, 2, 0]]).repeat(2, axis=1)[:, :size]
    return centres[regions] + noise * rng.standard_normal((*SHAPE, size)), regions


def analyse(path: Path, request: AnalysisRequest = AnalysisRequest(clusters=3)) -> Analysis:  # noqa: B008
    with open_latents(path) as latents:
        return analyse_latents(latents, request)


def read_features(path: Path) -> Float64:
    """Latents as an analysis sees them."""
    with open_latents(path) as latents:
        values = latents.latents.astype(np.float64)
        values[~latents.written | latents.flags] = np.nan
    return values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_features(tmp_path / "scan.latents.h5", three_regions()[0])


# --- segments


def test_three_regions_are_three_segments(path: Path) -> None:
    found = analyse(path)
    assert_array_equal(found.segments, three_regions()[1])
    assert 4 * NOISE < found.threshold < 1


@pytest.mark.parametrize(("threshold", "segments"), [(1e-9, 180), (1e9, 1), (0.9, 3)])
def test_a_threshold_may_be_given(path: Path, threshold: float, segments: int) -> None:
    found = analyse(path, AnalysisRequest(threshold))
    assert found.threshold == threshold
    assert found.segments.max() + 1 == segments


@given(st.floats(-3, 3), st.floats(0.5, 4), st.floats(0.05, 0.95), st.integers(0, 99))
def test_distances_are_split_between_their_two_groups(scale: float, ratio: float, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = max(12, int(200 * share))  # the search starts at the 5th and the 95th percentile
    low = 10**scale * rng.uniform(0.9, 1.1, min(count, 188))
    high = 10 ** (scale + ratio) * rng.uniform(0.9, 1.1, 200 - len(low))
    found = split_distances(np.concatenate([low, high, [0.0, np.nan]]))
    assert low.max() < found < high.min()


def test_scaling_latents_scales_the_threshold(tmp_path: Path, path: Path) -> None:
    other = write_features(tmp_path / "scaled.h5", 1000 * three_regions()[0])
    assert analyse(other).threshold == pytest.approx(1000 * analyse(path).threshold, rel=1e-4)
    assert_array_equal(analyse(other).segments, analyse(path).segments)


def test_one_boundary_in_a_large_map_is_found(tmp_path: Path) -> None:
    features = 0.01 * np.random.default_rng(0).standard_normal((40, 40, 3))
    features[:2, :2] += 5
    found = analyse(write_features(tmp_path / "a.h5", features))
    assert found.segments[1, 1] != found.segments[1, 2]


@pytest.mark.parametrize("features", [np.ones((4, 5, 3)), np.ones((1, 1, 3)), np.arange(3.0).reshape(1, 1, 3)])
def test_where_nothing_differs_there_is_nothing_to_segment(tmp_path: Path, features: Float64) -> None:
    with pytest.raises(LatentsError, match="do not differ"):
        analyse(write_features(tmp_path / "a.h5", features))


# --- spread


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_the_spread_is_the_mean_distance_to_the_neighbours(tmp_path: Path, scan: Scan) -> None:
    path = write_contents(tmp_path / "a.h5", make_origin(scan), make_contents(scan))
    features = read_features(path)
    flat, pairs = features.reshape(-1, features.shape[2]), neighbour_pairs(scan)
    expected = np.full(len(flat), np.nan)
    for point in range(len(flat)):
        beside = [int(pair.sum()) - point for pair in pairs if point in pair]
        distances = [np.sqrt(((flat[point] - flat[other]) ** 2).sum()) for other in beside]
        known = [distance for distance in distances if not np.isnan(distance)]
        if known:
            expected[point] = np.mean(known)
    found = analyse(path, AnalysisRequest(1.0, clusters=2)).spread
    assert_allclose(found.ravel(), expected, rtol=1e-9)
    assert_allclose(latent_spread(features, scan), found, rtol=1e-12)
    assert np.isnan(found).sum() >= 1


def test_distances_are_euclidean() -> None:
    features = np.array([[[0.0, 0], [3, 4], [np.nan, np.nan]]])
    found = measure_distances(features, Scan((1, 3), (8, 8)))
    assert_array_equal(found, [5, np.nan])


def test_the_spread_is_large_at_boundaries(path: Path) -> None:
    spread = analyse(path).spread
    assert spread[:, 6:8].min() > 2 * spread[:, :6].max()


# --- clusters


def test_clusters_are_the_regions_the_largest_first(path: Path) -> None:
    found, regions = analyse(path).clusters, three_regions()[1]
    assert_array_equal(found, np.array([0, 2, 1])[regions])
    assert (np.diff(np.bincount(found.ravel())) < 0).all()
    assert_array_equal(found, analyse(path).clusters)


def test_clusters_do_not_need_to_touch(tmp_path: Path) -> None:
    features, _ = three_regions()
    features[:, -2:] = features[:, :2]  # a piece of the left region at the right edge
    found = analyse(write_features(tmp_path / "a.h5", features))
    assert set(found.clusters[:, -2:].ravel()) == set(found.clusters[:, :2].ravel())
    assert set(found.segments[:, -2:].ravel()).isdisjoint(found.segments[:, :2].ravel())


def test_points_without_latents_are_in_no_cluster() -> None:
    features, _ = three_regions()
    valid = np.random.default_rng(0).random(SHAPE) < 0.8
    features[~valid] = np.nan
    found = cluster_features(features, valid, 3)
    assert_array_equal(found == -1, ~valid)
    assert found.max() == 2


def test_clusters_of_a_large_map_are_learnt_from_a_part_of_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = analyse(path).clusters
    monkeypatch.setattr(analysis, "CLUSTER_POINTS", 40)
    assert_array_equal(analyse(path).clusters, whole)


def test_too_many_clusters_are_refused(tmp_path: Path) -> None:
    path = write_features(tmp_path / "a.h5", np.arange(12.0).reshape(2, 3, 2))
    assert set(analyse(path, AnalysisRequest(clusters=6)).clusters.ravel()) == set(range(6))
    with pytest.raises(LatentsError, match="7 clusters of 6 points with latents"):
        analyse(path, AnalysisRequest(clusters=7))


# --- what else is found


def test_features_are_ranked_and_coloured_as_by_maps(path: Path) -> None:
    found, features = analyse(path), read_features(path)
    assert_array_equal(found.structure, measure_structure(features, Scan(SHAPE, (8, 8))))
    assert_array_equal(found.colours.image, principal_colours(features))
    assert found.distance is None


def test_the_distance_to_a_point_is_measured(path: Path) -> None:
    found, features = analyse(path, AnalysisRequest(clusters=3, pick=(2, 3))), read_features(path)
    assert found.distance is not None
    for point in np.ndindex(SHAPE):
        assert found.distance[point] == pytest.approx(np.sqrt(((features[point] - features[2, 3]) ** 2).sum()))
    assert found.distance[2, 3] == 0
    assert found.distance[:, :7].max() < found.distance[:, 7:].min()


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_points_without_latents_stay_without(tmp_path: Path, scan: Scan) -> None:
    path = write_contents(tmp_path / "a.h5", make_origin(scan), make_contents(scan))
    missing = np.isnan(read_features(path)[..., 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = analyse(path, AnalysisRequest(clusters=2, pick=(0, 0)))
    assert found.distance is not None
    assert missing.sum() >= 8
    assert_array_equal(found.segments == -1, missing)
    assert_array_equal(found.clusters == -1, missing)
    assert_array_equal(np.isnan(found.distance), missing)
    assert np.isnan(found.spread[missing]).all()
    assert_array_equal(np.isnan(found.colours.image[..., 0]), missing)


# --- what is refused


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"threshold": 0.0}, "must be positive; got 0.0"),
        ({"threshold": -1.0}, "must be positive; got -1.0"),
        ({"threshold": float("nan")}, "must be positive; got nan"),
        ({"clusters": 1}, "at least 2 clusters; got 1"),
    ],
)
def test_requests_that_make_no_sense(values: dict[str, float], text: str) -> None:
    with pytest.raises(LatentsError, match=text):
        AnalysisRequest(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("pick", [(-1, 0), (0, -1), (12, 0), (0, 15)])
def test_points_beside_the_map_are_refused(path: Path, pick: tuple[int, int]) -> None:
    with pytest.raises(LatentsError, match="the map has 12×15 points, counted from 0; got") as error:
        analyse(path, AnalysisRequest(pick=pick))
    assert str(error.value).startswith(f"{path}: ")


def test_points_without_latents_are_refused(tmp_path: Path) -> None:
    scan = SCANS["square"]
    path = write_contents(tmp_path / "a.h5", make_origin(scan), make_contents(scan))
    with pytest.raises(LatentsError, match="there are no latents at 0,3"):
        analyse(path, AnalysisRequest(clusters=2, pick=(0, 3)))


def test_a_file_without_latents_is_refused(tmp_path: Path) -> None:
    scan = SCANS["square"]
    contents = make_contents(scan)
    contents.written[:] = False
    with pytest.raises(LatentsError, match="holds no latents yet"):
        analyse(write_contents(tmp_path / "a.h5", make_origin(scan), contents))
