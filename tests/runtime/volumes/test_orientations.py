"""Orientations as an HDF5 file keeps them, and what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose
from one_line import one_line

from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.grain_volume import GrainVolume
from microrun.runtime.volumes.orientations import GrainOrientations, read_orientations, write_orientations
from microrun.runtime.volumes.volume import Volume

EULER = np.array([[0.1, 0.2, 0.3], [np.nan, np.nan, np.nan], [3.0, 2.0, 1.0]])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["grain_id"] = np.zeros((2, 2, 2), np.int32)
    return tmp_path / "v.h5"


def test_what_was_written_is_read(path: Path) -> None:
    for texture in ("first", "second"):
        write_orientations(path, "grain_id", GrainOrientations(EULER, "6/mmm", "hcp:1.6", texture))
    found = read_orientations(path, f"{path}:grain_id")
    assert found is not None
    assert_allclose(found.euler, EULER, rtol=1e-6)
    assert (found.symmetry, found.phase, found.texture) == ("6/mmm", "hcp:1.6", "second")


def test_a_file_without_them_has_none(path: Path, tmp_path: Path) -> None:
    assert read_orientations(path, f"{path}:grain_id") is None
    assert read_orientations(tmp_path / "v.npy", "v.npy") is None


@pytest.mark.parametrize(
    ("stored", "symmetry", "said"),
    [
        (np.zeros((4, 2)), "m-3m", r"euler_angles must be (grains, 3) of floats; got (4, 2) float64"),
        (np.zeros((4, 3), int), "m-3m", "of floats"),
        (np.zeros((4, 3)), "gold", "states the symmetry 'gold'; run microrun orient again"),
        (np.zeros((4, 3)), 5, "states the symmetry ''"),
    ],
)
def test_what_are_no_orientations_is_one_line(path: Path, stored: Any, symmetry: Any, said: str) -> None:
    with h5py.File(path, "r+") as file:
        file["euler_angles"] = stored
        file["euler_angles"].attrs["symmetry"] = symmetry
    with pytest.raises(VolumeError) as error:
        read_orientations(path, f"{path}:grain_id")
    one_line(error, path, said)


def test_grains_without_an_orientation_are_named() -> None:
    def find(labels: list[int], orientations: GrainOrientations | None) -> np.ndarray:
        volume = GrainVolume(Volume(np.array(labels).reshape(1, 1, -1), "l"), orientations=orientations)
        return volume.find_euler(volume.count_voxels())

    given = GrainOrientations(EULER, "m-3m")
    assert_allclose(find([0, 2, -1], given), [[0.1, 0.2, 0.3], [0, 0, 0], [3, 2, 1]])
    for labels, number in (([0, 1, 2], 1), ([0, 2, 3], 3)):
        with pytest.raises(VolumeError, match=f"l: grain {number} has no orientation; run microrun orient again"):
            find(labels, given)
    with pytest.raises(VolumeError, match="l: its grains have no orientations; give them with microrun orient"):
        find([0], None)
