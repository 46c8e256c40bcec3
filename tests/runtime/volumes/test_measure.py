"""Grain statistics against one grain after the other, scikit-image and formulas; and what is no volume of grains."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import voxel_oracles as oracles
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.measure import Grains, measure_file, measure_grains

VORONOI = oracles.voronoi((14, 16, 18), 40, 0)


def same(one: Grains, other: Grains) -> bool:
    return all(np.array_equal(value, vars(other)[name], equal_nan=True) for name, value in vars(one).items())


def check_against_oracle(labels: NDArray[np.integer], voxel_um: float) -> None:
    grains = measure_grains(labels, voxel_um)
    assert_array_equal(grains.grain_id, np.unique(labels[labels >= 0]))
    for n, label in enumerate(grains.grain_id):
        expected = oracles.measure_grain(labels, int(label))
        assert_allclose(grains.volume_um3[n], expected.voxels * voxel_um**3)
        assert_allclose(grains.centroid_um[n], expected.centroid * voxel_um)
        assert_allclose(grains.semi_axes_um[n], expected.semi_axes * voxel_um, rtol=1e-9)
        assert_allclose(grains.surface_um2[n], expected.faces * voxel_um**2)
        assert grains.neighbours[n] == expected.neighbours
        assert grains.touches_boundary[n] == expected.touches_boundary
    if len(grains.grain_id) > 1:
        assert_allclose(grains.nearest_um, oracles.nearest_distances(grains.centroid_um), atol=1e-12)


@given(arrays(np.int32, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(-1, 4)), st.sampled_from([1.0, 0.25]))
def test_every_grain_is_what_its_voxels_are(labels: NDArray[np.int32], voxel_um: float) -> None:
    if labels.max() >= 0:
        check_against_oracle(labels, voxel_um)


def test_polyhedra_are_what_their_voxels_are() -> None:
    check_against_oracle(VORONOI, 2.0)


def test_moments_are_those_of_scikit_image() -> None:
    from skimage.measure import regionprops_table

    names = ("label", "area", "centroid", "axis_major_length", "equivalent_diameter_area")
    table = regionprops_table(VORONOI + 1, properties=names)
    grains = measure_grains(VORONOI)
    assert_array_equal(table["label"] - 1, grains.grain_id)
    assert_array_equal(table["area"], grains.volume_um3)
    assert_allclose(table["equivalent_diameter_area"], grains.diameter_um)
    for axis in range(3):
        assert_allclose(table[f"centroid-{axis}"] + 0.5, grains.centroid_um[:, axis])
    # Its voxels are points; ours have a variance of 1/12.
    assert_allclose((table["axis_major_length"] / 2) ** 2 + 5 / 12, grains.semi_axes_um[:, 0] ** 2)


@pytest.mark.parametrize("threads", [1, 2, 3, 14, 99])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    assert same(measure_grains(VORONOI, 0.3, threads), measure_grains(VORONOI, 0.3, 1))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", ">i4"])
def test_any_integers_are_labels(dtype: str) -> None:
    assert same(measure_grains(VORONOI.astype(dtype)), measure_grains(VORONOI))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_labels_may_reach_the_largest_number_of_their_type(dtype: str) -> None:
    labels = np.arange(np.iinfo(dtype).max + 1).astype(dtype).reshape(1, 1, -1)
    assert same(measure_grains(labels), measure_grains(labels.astype(np.int64)))


def test_far_apart_labels_are_kept() -> None:
    labels = np.where(VORONOI == 3, -7, VORONOI.astype(np.int64) * 10**15)
    grains = measure_grains(labels)
    expected = measure_grains(np.where(VORONOI == 3, -1, VORONOI))
    assert_array_equal(grains.grain_id, expected.grain_id.astype(np.int64) * 10**15)
    for name in ("volume_um3", "centroid_um", "semi_axes_um", "neighbours", "surface_um2"):
        assert_array_equal(getattr(grains, name), getattr(expected, name))


def test_an_ellipsoid_has_its_axes() -> None:
    z, y, x = (np.indices((60, 60, 60)) + 0.5) - 30
    labels = np.where((z / 12) ** 2 + (y / 27) ** 2 + (x / 18) ** 2 < 1, 0, -1)
    grains = measure_grains(labels, 0.5)
    assert_allclose(grains.semi_axes_um, [[13.5, 9, 6]], rtol=0.01)
    assert_allclose((grains.b_over_a, grains.c_over_a, grains.c_over_b), [[2 / 3], [4 / 9], [2 / 3]], rtol=0.01)
    assert_allclose(grains.diameter_um, 2 * (13.5 * 9 * 6) ** (1 / 3), rtol=0.01)
    assert_allclose(grains.centroid_um, 15)
    assert np.isnan(grains.nearest_um).all()
    assert not grains.touches_boundary.any()


def test_single_voxels_are_round_and_flat_grains_have_an_extent() -> None:
    labels = np.array([[[0, 1, 1, 1, 1]]])
    grains = measure_grains(labels)
    assert_allclose(grains.b_over_a, [1, 0.25])
    assert_allclose(grains.c_over_b, [1, 1])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((3, 3), int), "integer labels (z, y, x)"),
        (np.zeros((3, 3, 3)), "float64 (3, 3, 3)"),
        (np.zeros((3, 3, 3), bool), "bool"),
        (np.full((3, 3, 3), -1), "no grains"),
        (np.zeros((3, 0, 3), int), "no grains"),
    ],
)
def test_what_is_no_volume_of_labels_is_refused(labels: NDArray[np.generic], said: str, tmp_path: Path) -> None:
    path = tmp_path / "volume.npy"
    np.save(path, labels)
    with pytest.raises(VolumeError) as error:
        measure_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "name", ["none.npy", "text.npy", "empty.npy", "short.npy", "cut.npy", "text.h5", "empty.h5", "a.png"]
)
def test_files_that_are_no_volumes_are_refused(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", VORONOI)
    (tmp_path / "short.npy").write_bytes((tmp_path / "short.npy").read_bytes()[:500])
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00\x0f\x00{'descr': '<i4\n")
    for text in ("text.npy", "text.h5", "a.png"):
        (tmp_path / text).write_text("no volume")
    (tmp_path / "empty.npy").touch()
    h5py.File(tmp_path / "empty.h5", "w").close()
    with pytest.raises(VolumeError, match=name.replace(".", r"\.")):
        measure_file(tmp_path / name)


def test_volumes_of_segment_and_of_simulations_are_found(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        file["grain_id"] = VORONOI
        file["values"] = VORONOI.astype(np.float32)
    assert list(measure_file(tmp_path / "labels.h5")) == ["grain_id"]
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file["volume_0001"], file["volume_0000"] = VORONOI, VORONOI[:7]
    measured = measure_file(tmp_path / "set.h5", 3.0)
    assert list(measured) == ["volume_0000", "volume_0001"]
    assert same(measured["volume_0001"], measure_grains(VORONOI, 3.0))


def test_grains_that_go_on_at_the_opposite_face_are_cut(tmp_path: Path) -> None:
    labels = np.zeros((4, 4, 12), np.int32)
    labels[..., 2:10] = 1
    with h5py.File(tmp_path / "periodic.h5", "w") as file:
        file["volume_0000"] = labels
        file["volume_0000"].attrs["periodic"] = True
    (grains,) = measure_file(tmp_path / "periodic.h5").values()
    assert_array_equal(grains.volume_um3, [32, 128, 32])
    assert_array_equal(grains.centroid_um[:, 2], [1, 6, 11])
