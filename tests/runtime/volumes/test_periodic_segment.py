"""Grains of periodic volumes: joined across opposite faces, and files that say so."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import segmentation_oracles as oracles
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.unlike import count_unstable
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.axes import parse_axes, wraps_of
from microrun.runtime.volumes.segment import Components, Given, SegmentOptions, segment, write_labels
from microrun.runtime.volumes.volume import Volume, open_volume

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5))
AXES = ["z", "y", "x", "zy", "zx", "yx", "zyx"]


def components(values: NDArray[np.int64], neighbours: int, axes: str) -> NDArray[np.int32]:
    """Connected voxels of one value: those of the volume laid out three times along periodic axes, folded back."""
    wraps = wraps_of(axes)
    tiled = oracles.components(np.tile(values, [3 if wrap else 1 for wrap in wraps]), neighbours)
    names = np.arange(tiled.max() + 1)
    folded = tiled.reshape(
        [part for side, wrap in zip(values.shape, wraps, strict=True) for part in (3 if wrap else 1, side)]
    )
    copies = np.moveaxis(folded, (0, 2, 4), (0, 1, 2)).reshape(-1, *values.shape)
    for _ in range(len(names)):
        before = names.copy()
        for place in np.argwhere(values >= 0):
            group = names[copies[(slice(None), *place)]]
            for name in group:
                names[names == name] = group.min()
        if (names == before).all():
            break
    return oracles.number_by_first(np.where(values >= 0, names[copies[0]], -1))


@given(SHAPES, st.integers(0, 2**32), st.sampled_from([6, 26]), st.sampled_from(AXES), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_grains_go_on_at_opposite_faces_however_the_volume_is_cut(
    shape: tuple[int, int, int], seed: int, neighbours: Components, axes: str, planes: int
) -> None:
    values = np.random.default_rng(seed).integers(-1, 4, shape)
    values[0, 0, 0] = 0
    labels = np.empty(shape, np.int32)
    options = SegmentOptions(components=neighbours, periodic=axes)
    summary = segment(Volume(values, "volume", positive=True), options, labels, 2, planes)
    assert_array_equal(labels, components(values, neighbours, axes))
    assert summary.grains == labels.max() + 1


@pytest.mark.parametrize("axes", AXES)
def test_tiny_grains_are_counted_and_absorbed_across_faces(axes: str) -> None:
    values = np.zeros((6, 6, 6), np.int8)
    pairs = {"z": ((0, 3, 3), (-1, 3, 3)), "y": ((3, 0, 3), (3, -1, 3)), "x": ((3, 3, 0), (3, 3, -1))}
    for pair in pairs.values():
        for voxel in pair:
            values[voxel] = 1
    labels = np.empty(values.shape, np.int32)
    summary = segment(Volume(values, "v"), SegmentOptions(components=6, min_voxels=2, periodic=axes), labels)
    assert summary.grains == 1 + len(axes)  # of two voxels, one at each of two faces
    for axis, (one, other) in pairs.items():
        assert labels[one] == labels[other]
        assert (labels[one] == labels[0, 0, 0]) == (axis not in axes)


def test_values_that_are_grains_already_are_one_each_and_stay() -> None:
    values = np.array([[[128, 5, 5, 5, 5, 128, 129, 3]]])
    labels = np.empty(values.shape, np.int32)
    given = Given(128, values == 129)
    summary = segment(Volume(values, "v"), SegmentOptions(components=6, min_voxels=3), labels, given=given)
    assert labels.tolist() == [[[0, 1, 1, 1, 1, 0, 2, 2]]]
    assert summary.grains == 3


def test_dbscan_is_not_periodic() -> None:
    with pytest.raises(VolumeError, match="joined across periodic faces as components"):
        SegmentOptions(2.0, periodic="z")
    for wrong in ("q", "zz", "z;y"):
        with pytest.raises(VolumeError, match="periodic axes are z, y and x"):
            SegmentOptions(components=6, periodic=wrong)
    assert [parse_axes(text) for text in ("x, z", "all", "", "yxz")] == ["zx", "zyx", "", "zyx"]


@pytest.mark.parametrize(
    ("stated", "axes"),
    [(True, "zyx"), (False, ""), ("yx", "yx"), ("nonsense", ""), (3, ""), (np.ones(3), ""), (None, "")],
)
def test_a_file_states_its_periods_and_its_voxel(tmp_path: Path, stated: object, axes: str) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["grain_id"] = np.zeros((2, 2, 2), np.int32)
        if stated is not None:
            file["grain_id"].attrs.update(periodic=stated, voxel_um=1.5)
    with open_volume(tmp_path / "v.h5") as volume:
        assert (volume.periodic, volume.voxel_um) == (axes, None if stated is None else 1.5)
        write_labels(volume, SegmentOptions(components=6, periodic=axes), tmp_path / "out.h5")
    with open_volume(tmp_path / "out.h5") as volume:
        assert (volume.periodic, volume.voxel_um) == (axes, None if stated is None else 1.5)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf, True, "1.5"])
def test_a_voxel_of_no_length_is_not_stated(tmp_path: Path, wrong: object) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["grain_id"] = np.zeros((2, 2, 2), np.int32)
        file["grain_id"].attrs["voxel_um"] = wrong
    with open_volume(tmp_path / "v.h5") as volume:
        assert volume.voxel_um is None


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_faces_are_read_as_planes_are(axis: int) -> None:
    values = np.arange(60).reshape(3, 4, 5) - 5
    volume = Volume(values, "v", inside=values % 7 > 0, positive=True)
    for place in (0, -1):
        assert_array_equal(volume.read_face(axis, place), volume.read(0, 3).take(place, axis))


def test_relaxed_grains_are_smoother_and_hang_together_and_given_voxels_stay() -> None:
    rng = np.random.default_rng(2)
    values = np.repeat(np.repeat(np.repeat(rng.integers(0, 128, (3, 3, 3)), 6, 0), 6, 1), 6, 2).astype(np.int16)
    rough = rng.random(values.shape) < 0.1
    values[rough] = np.roll(values, 1, axis=0)[rough]
    mask = np.zeros(values.shape, bool)
    mask[0, 4:8, 4:8] = True
    values[mask] = 128
    labels = {}
    for sweeps in (0, 52):
        labels[sweeps] = np.empty(values.shape, np.int32)
        options = SegmentOptions(components=6, min_voxels=27, relax=sweeps)
        segment(Volume(values, "v"), options, labels[sweeps], given=Given(128, mask))
    assert count_unstable(labels[52], (0, 18))[0] < 0.5 * count_unstable(labels[0], (0, 18))[0]
    assert len(np.unique(labels[52][mask])) == 1 and (labels[52] == labels[52][0, 5, 5]).sum() >= mask.sum()
    pieces = np.empty(values.shape, np.int32)
    apart = segment(Volume(labels[52], "v"), SegmentOptions(components=6), pieces)
    assert apart.grains == labels[52].max() + 1 and np.bincount(pieces.ravel()).min() >= 16


def test_only_components_are_relaxed() -> None:
    with pytest.raises(VolumeError, match="relaxed of grains that are components"):
        SegmentOptions(2.0, relax=3)
    with pytest.raises(VolumeError, match="0 sweeps"):
        SegmentOptions(components=6, relax=-1)
