"""Segmentation of whole volumes: any cut, any number of threads, any file; and files that fail meanwhile."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import segmentation_oracles as oracles
from disk import full_disk
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import OutputError, VolumeError
from microrun.runtime.files.output import name_beside
from microrun.runtime.volumes import slabs
from microrun.runtime.volumes.segment import SegmentOptions, Summary, segment, write_labels
from microrun.runtime.volumes.slabs import read_slab
from microrun.runtime.volumes.volume import Volume, open_volume

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 6))
SEEDS = st.integers(0, 2**32 - 1)
GRAINS = SegmentOptions(value_scale=30.0, min_samples=12)
COMPONENTS = SegmentOptions(components=6)


@pytest.fixture(scope="module")
def values() -> NDArray[np.float32]:
    return oracles.random_grains((23, 18, 20), 40)


@pytest.fixture(scope="module")
def expected(values: NDArray[np.float32]) -> NDArray[np.int32]:
    return oracles.sklearn_dbscan(values, 1.9, 12, 30.0)


def label(
    values: NDArray[Any], options: SegmentOptions, threads: int = 1, planes: int | None = None, **kwargs: Any
) -> tuple[NDArray[np.int32], Summary]:
    labels = np.full(values.shape, 99, np.int32)
    return labels, segment(Volume(values, "volume", **kwargs), options, labels, threads, planes)


def watched(values: NDArray[Any], on_read: Callable[[], None]) -> NDArray[Any]:
    """Values that call a function whenever some of them are read."""

    class Watched(NDArray[Any] if TYPE_CHECKING else np.ndarray):
        def __getitem__(self, planes: Any) -> Any:
            on_read()
            return np.asarray(self)[planes]

    return values.view(Watched)


@pytest.mark.parametrize("planes", [1, 2, 5, 22, 23, None])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_neither_slabs_nor_threads_show(
    values: NDArray[np.float32], expected: NDArray[np.int32], planes: int | None, threads: int
) -> None:
    labels, summary = label(values, GRAINS, threads, planes)
    assert_array_equal(labels, expected)
    assert summary[:4] == (expected.max() + 1, expected.size, (expected < 0).sum(), 0)


@given(SHAPES, SEEDS, st.floats(0.6, 1.999), st.integers(1, 12), st.integers(1, 4))
def test_slabs_are_merged_exactly(
    shape: tuple[int, int, int], seed: int, eps: float, min_samples: int, planes: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 0.5, 1, 3, np.nan], shape, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    values.flat[0] = 0
    labels, _ = label(values, SegmentOptions(1.0, eps, min_samples), 2, planes)
    assert_array_equal(labels, oracles.dbscan(values, eps, min_samples, 1.0))


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8", "u1", "i2", "i4", "i8"])
def test_every_type_of_number_is_read(values: NDArray[np.float32], dtype: str) -> None:
    typed = (values * 60).astype(dtype)
    labels, _ = label(typed, SegmentOptions(0.5), 2)
    assert labels.max() > 5
    assert_array_equal(labels, oracles.sklearn_dbscan(typed, 1.9, 15, 0.5))


def test_voxels_outside_a_part_are_no_points(values: NDArray[np.float32]) -> None:
    inside = np.indices(values.shape).sum(axis=0) < 40
    labels, summary = label(values, GRAINS, inside=inside)
    assert_array_equal(labels, oracles.sklearn_dbscan(np.where(inside, values, np.nan), 1.9, 12, 30.0))
    assert summary.outside == (~inside).sum()
    assert summary.noise == (labels[inside] < 0).sum() > 0


@pytest.mark.parametrize("neighbours", [6, 26])
@pytest.mark.parametrize("planes", [1, 4, None])
def test_components_of_labels(neighbours: Any, planes: int | None) -> None:
    colours = np.random.default_rng(3).integers(-1, 3, (12, 11, 13))
    labels, summary = label(colours, SegmentOptions(components=neighbours), 2, planes, positive=True)
    assert_array_equal(labels, oracles.components(colours, neighbours))
    assert summary.outside == (colours < 0).sum() == (labels < 0).sum()


def test_filling_leaves_what_is_outside_and_absorbing_counts_filled_voxels(values: NDArray[np.float32]) -> None:
    inside = np.indices(values.shape).sum(axis=0) % 20 > 3
    labels, summary = label(values, SegmentOptions(30.0, min_samples=12, fill=True, min_voxels=50), 2, inside=inside)
    masked = np.where(inside, values, np.nan)
    filled = oracles.fill(oracles.sklearn_dbscan(masked, 1.9, 12, 30.0), inside)
    assert_array_equal(labels, oracles.absorb(filled, 50))
    assert summary.grains == labels.max() + 1
    assert (labels[~inside] == -1).all()


def test_slabs_leave_only_a_few_planes_in_memory() -> None:
    values = np.zeros((200, 100, 100), np.int8)
    label(values[:2], COMPONENTS, threads=2, planes=1)  # kernels are compiled or loaded
    labels = np.empty(values.shape, np.int32)
    tracemalloc.start()
    segment(Volume(values, "volume"), COMPONENTS, labels, threads=2, planes=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.size  # one int32 plane of each slab would be four times that


def test_more_grains_than_labels_can_number_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values, out = np.arange(4.0).repeat(6).reshape(4, 2, 3), tmp_path / "labels.npy"
    monkeypatch.setattr(slabs, "MOST_GRAINS", 4)
    assert write_labels(Volume(values, "cube"), COMPONENTS, out).grains == 4
    monkeypatch.setattr(slabs, "MOST_GRAINS", 3)
    with pytest.raises(VolumeError, match=r"^cube: 4 grains are more than the 3 that 32-bit labels can number; cut"):
        write_labels(Volume(values, "cube"), COMPONENTS, out)


@pytest.mark.parametrize("source", ["npy", "fortran", "chunked", "contiguous"])
@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_files_give_the_same_labels(
    tmp_path: Path, values: NDArray[np.float32], expected: NDArray[np.int32], source: str, suffix: str
) -> None:
    path, out = tmp_path / "volume.npy", tmp_path / f"labels{suffix}"
    if source in ("npy", "fortran"):
        np.save(path, values if source == "npy" else np.asfortranarray(values))
    else:
        path = path.with_suffix(".h5")
        with h5py.File(path, "w") as file:
            chunks = (5, 7, 8) if source == "chunked" else None
            file.create_dataset("grown/value", data=values, chunks=chunks)
            file["mask"] = np.zeros((3, 4))
    with open_volume(path) as volume:
        summary = write_labels(volume, GRAINS, out, threads=2)
    assert_array_equal(read_labels(out), expected)
    assert read_labels(out).dtype == np.int32
    assert summary.grains == expected.max() + 1
    assert {file.name for file in tmp_path.iterdir()} == {path.name, out.name}


def read_labels(path: Path) -> NDArray[np.int32]:
    if path.suffix == ".npy":
        return np.load(path)
    with h5py.File(path) as file:
        assert '"min_samples": 12' in file["grain_id"].attrs["options"]
        labels: NDArray[np.int32] = file["grain_id"][()]
        return labels


@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_a_full_disk_leaves_the_old_labels(tmp_path: Path, values: NDArray[np.float32], suffix: str) -> None:
    out = tmp_path / f"labels{suffix}"
    out.write_bytes(b"old")
    with full_disk(20_000), pytest.raises(OutputError, match=r"labels.* cannot be written"):
        write_labels(Volume(values, "volume"), GRAINS, out)
    assert out.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room is taken on POSIX systems only")
@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_labels_have_their_room_before_the_first_value_is_read(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"labels{suffix}"
    taken: list[tuple[int, int]] = []

    def note_room() -> None:
        stat = name_beside(out).stat()
        taken.append((stat.st_blocks * 512, stat.st_size))

    values = watched(np.zeros((64, 64, 64), np.int8), note_room)
    write_labels(Volume(values, "volume"), COMPONENTS, out)
    assert taken[0][0] >= taken[0][1] >= 4 * values.size


def test_labels_are_npy_or_hdf5(tmp_path: Path, values: NDArray[np.float32]) -> None:
    with pytest.raises(OutputError, match=r"labels\.tif: .*\.npy or \.h5"):
        write_labels(Volume(values, "volume"), GRAINS, tmp_path / "labels.tif")


def test_a_volume_without_values_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    empty = np.full((4, 5, 6), np.nan, np.float16)
    with pytest.raises(VolumeError, match=r"cube\.npy: no voxel has a value"):
        write_labels(Volume(empty, "cube.npy"), GRAINS, tmp_path / "labels.npy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs --value-scale"),
        ({"value_scale": 1.0, "eps": 2.5}, "below 2"),
        ({"value_scale": -1.0}, "positive number"),
        ({"components": 18}, "6 or 26"),
        ({"components": 6, "value_scale": 100.0}, "need no value scale"),
        ({"value_scale": 1.0, "min_voxels": -1}, "smallest grain .* got -1"),
    ],
)
def test_options_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(VolumeError, match=said):
        SegmentOptions(**options)


def test_a_damaged_chunk_is_the_fault_of_the_volume_and_not_of_the_labels(tmp_path: Path) -> None:
    path, out = tmp_path / "volume.h5", tmp_path / "labels.h5"
    values = np.random.default_rng(0).integers(0, 99, (12, 20, 20))
    with h5py.File(path, "w") as file:
        data = file.create_dataset("grown/value", data=values, chunks=(4, 20, 20), compression="gzip")
        chunk = data.id.get_chunk_info(1)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset + chunk.size // 2)
        raw.write(bytes(64))
    with open_volume(path) as volume:
        assert_array_equal(volume.read(0, 4), values[:4])
        for read in (volume.read, partial(read_slab, volume)):
            with pytest.raises(VolumeError, match=r"volume\.h5:grown/value: cannot be read \(.+\)"):
                read(3, 5)
        with pytest.raises(VolumeError, match=r"volume\.h5:grown/value: cannot be read \(.+\)"):
            write_labels(volume, GRAINS, out)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_read_a_second_time_is_not_passed_over(values: NDArray[np.float32]) -> None:
    reads = iter([None])

    def read_once() -> None:
        if next(reads, "again") == "again":
            raise OSError("the disk is gone")

    labels = np.empty(values.shape, np.int32)
    with pytest.raises(VolumeError, match=r"^volume: cannot be read \(the disk is gone\)"):
        segment(Volume(watched(values, read_once), "volume"), GRAINS, labels, threads=2, planes=len(values))
