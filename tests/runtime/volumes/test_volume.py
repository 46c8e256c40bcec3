"""Volumes in memory and in files: what they tell, how they are read, and what is no volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.volume import Volume, open_volume

LABELS = np.random.default_rng(0).integers(-1, 9, (4, 5, 6), np.int32)


@pytest.fixture(params=["labels.npy", "labels.h5"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Labels in either kind of file."""
    path = tmp_path / request.param
    if path.suffix == ".npy":
        np.save(path, LABELS)
    else:
        with h5py.File(path, "w") as file:
            file["grain_id"] = LABELS
    return path


def test_a_volume_tells_what_it_is(path: Path) -> None:
    with open_volume(str(path)) as volume:
        assert (volume.shape, volume.dtype) == ((4, 5, 6), np.int32)
        where = str(path) if path.suffix == ".npy" else f"{path}:grain_id"
        assert repr(volume) == f"Volume({where}: 4 × 5 × 6 int32)"


def test_a_volume_is_an_array_of_what_is_stored(path: Path) -> None:
    with open_volume(path, positive=True) as volume:
        assert np.asarray(volume).dtype == np.int32
        assert_array_equal(np.asarray(volume), LABELS)
        assert_array_equal(np.asarray(volume, np.float32), LABELS.astype(np.float32))
        assert_array_equal(volume[1], LABELS[1])
        assert_array_equal(volume[1:3, :, 2], LABELS[1:3, :, 2])
        copy = np.array(volume)
        copy[:] = 7
        assert_array_equal(np.asarray(volume), LABELS)


def test_planes_are_read_without_what_is_outside(path: Path, tmp_path: Path) -> None:
    inside = np.indices(LABELS.shape)[2] < 4
    np.save(tmp_path / "part.npy", inside)
    with open_volume(path, part=tmp_path / "part.npy", positive=True) as volume:
        planes = volume.read(1, 3)
        assert planes.dtype == volume.read_dtype == np.float64  # float32 does not hold every int32
        assert_array_equal(planes, np.where(inside & (LABELS >= 0), LABELS, np.nan)[1:3])


@pytest.mark.parametrize(("stored", "read"), [("u1", "f4"), ("f2", "f4"), (">f4", "f4"), ("i4", "f8"), ("f8", "f8")])
def test_values_are_read_as_floats_that_hold_them(stored: str, read: str) -> None:
    volume = Volume(np.ones((2, 2, 2), stored), "ones")
    assert (volume.dtype, volume.read_dtype, volume.read(0, 1).dtype) == (stored, read, read)


def test_an_opened_file_is_closed_again(path: Path) -> None:
    volume = open_volume(path)
    volume.close()
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:  # HDF5 refuses while it is open
            file.attrs["changed"] = True
    assert "4 × 5 × 6" in repr(volume)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 5)), r"three dimensions .* got \(4, 5\)"),
        (np.zeros((4, 0, 5)), "none of them 0"),
        (np.zeros((2, 2, 2), complex), "integers or floats .* got complex128"),
        (np.zeros((2, 2, 2), bool), "integers or floats .* got bool"),
        (np.zeros((2, 2, 2), "S3"), "integers or floats"),
    ],
)
def test_what_is_no_volume_is_refused(array: NDArray[Any], said: str) -> None:
    with pytest.raises(VolumeError, match=said):
        Volume(array, "cube")


def test_masks_must_fit() -> None:
    with pytest.raises(VolumeError, match=r"mask of bool and shape \(2, 2, 2\)"):
        Volume(np.zeros((2, 2, 2)), "cube", np.ones((2, 2, 3), bool))


def test_a_data_set_must_be_named_where_there_are_several(tmp_path: Path) -> None:
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["a"] = file["b"] = np.zeros((2, 2, 2))
        file["flat"] = np.zeros(3)
    with pytest.raises(VolumeError, match=r"--dataset; .*: a, b"), open_volume(path):
        pass
    with pytest.raises(VolumeError, match=r"no data set c; .*: a, b"), open_volume(path, "c"):
        pass
    with open_volume(path, "b") as volume:
        assert volume.shape == (2, 2, 2)


@pytest.mark.parametrize("name", ["volume.npy", "volume.h5", "volume.tif"])
@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=name), open_volume(tmp_path / name):
        pass
