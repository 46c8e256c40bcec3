"""`microrun segment` as users run it."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import segmentation_oracles as oracles
from command_line import Microrun, check_refused
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

SCALE = ("--value-scale", 30)


@pytest.fixture
def values() -> NDArray[np.float32]:
    return oracles.random_grains((14, 12, 16), 20)


@pytest.fixture
def volume(tmp_path: Path, values: NDArray[np.float32]) -> Path:
    path = tmp_path / "volume.npy"
    np.save(path, values)
    return path


def test_a_volume_is_segmented(microrun: Microrun, tmp_path: Path, volume: Path, values: NDArray[np.float32]) -> None:
    out = tmp_path / "labels.npy"
    ran = microrun("segment", volume, "--out", out, *SCALE)
    assert ran.code == 0, ran
    expected = oracles.sklearn_dbscan(values, 1.9, 15, 30)
    assert_array_equal(np.load(out), expected)
    assert f"grains {expected.max() + 1}" in ran.said
    assert f"noise {(expected < 0).sum():,} of 2,688 voxels" in ran.said
    assert re.search(r"time [\d.e-]+ s: [\d.]+ Mvoxel/s, after [\d.]+ s to start", ran.said)
    assert "outside" not in ran.said
    assert str(out) in ran.said


def test_grains_of_a_part_are_cleaned(
    microrun: Microrun, tmp_path: Path, volume: Path, values: NDArray[np.float32]
) -> None:
    out, part = tmp_path / "labels.h5", tmp_path / "part.npy"
    inside = np.indices(values.shape)[2] < 10
    np.save(part, inside)
    ran = microrun(
        "segment", volume, "--out", out, *SCALE, "--part", part, "--fill", "--min-voxels", 40,
        "--eps", 1.8, "--min-samples", 10,
    )  # fmt: skip
    assert ran.code == 0, ran
    found = oracles.sklearn_dbscan(np.where(inside, values, np.nan), 1.8, 10, 30)
    with h5py.File(out) as file:
        assert_array_equal(file["grain_id"], oracles.absorb(oracles.fill(found, inside), 40))
    assert "outside 1,008 voxels" in ran.said


def test_labels_become_connected_components(microrun: Microrun, tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(-1, 3, (8, 9, 10))
    with h5py.File(tmp_path / "colours.h5", "w") as file:
        file["colour"], file["other"] = colours, colours
    ran = microrun(
        "segment", tmp_path / "colours.h5", "--dataset", "colour", "--out", tmp_path / "labels.npy",
        "--components", 6,
    )  # fmt: skip
    assert ran.code == 0, ran
    assert_array_equal(np.load(tmp_path / "labels.npy"), oracles.components(colours, 6))


def test_labels_are_replaced_only_when_told(
    microrun: Microrun, tmp_path: Path, volume: Path, values: NDArray[np.float32]
) -> None:
    out = tmp_path / "labels.npy"
    out.write_bytes(b"mine")
    check_refused(microrun("segment", volume, "--out", out, *SCALE), out, "--overwrite")
    assert out.read_bytes() == b"mine"
    assert microrun("segment", volume, "--out", out, *SCALE, "--overwrite").code == 0
    assert np.load(out).shape == values.shape


def test_the_volume_itself_is_never_replaced(microrun: Microrun, volume: Path, values: NDArray[np.float32]) -> None:
    ran = microrun("segment", volume, "--out", volume, *SCALE, "--overwrite")
    check_refused(ran, volume, "is the file that is read")
    assert_array_equal(np.load(volume), values)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--value-scale"),
        ([*SCALE, "--eps", 2], "below 2"),
        ([*SCALE, "--min-samples", 0], "min_samples"),
        (["--components", 7], "6 or 26"),
        ([*SCALE, "--part", "nowhere.npy"], "nowhere.npy: no such file"),
    ],
)
def test_bad_options_are_one_line(
    microrun: Microrun, tmp_path: Path, volume: Path, arguments: list[object], said: str
) -> None:
    check_refused(microrun("segment", volume, "--out", tmp_path / "labels.npy", *arguments), said)
    assert not (tmp_path / "labels.npy").exists()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full((3, 3, 3), np.nan), "no voxel has a value"),
        (np.zeros((3, 3)), "three dimensions"),
        (np.zeros((3, 3, 3), complex), "complex128"),
    ],
)
def test_bad_volumes_are_one_line(microrun: Microrun, tmp_path: Path, array: NDArray[np.float64], said: str) -> None:
    path = tmp_path / "bad.npy"
    np.save(path, array)
    check_refused(microrun("segment", path, "--out", tmp_path / "labels.npy", *SCALE), path, said)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.npy"]


def test_a_missing_data_set_is_one_line(microrun: Microrun, tmp_path: Path) -> None:
    path = tmp_path / "volume.h5"
    with h5py.File(path, "w") as file:
        file["value"] = np.zeros((3, 3, 3))
    ran = microrun("segment", path, "--dataset", "grain", "--out", tmp_path / "labels.npy", *SCALE)
    check_refused(ran, path, "no data set grain", "value")
