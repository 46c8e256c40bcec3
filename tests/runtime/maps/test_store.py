"""The store of conventional maps: whole or not there, also on a full disk."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from disk import full_disk
from numpy.testing import assert_array_equal

from microrun.runtime.errors import OutputError
from microrun.runtime.maps.conventional import PhysicsMaps
from microrun.runtime.maps.store import write_physics
from microrun.runtime.scans.scan import Scan

SCAN = Scan((3, 4), (8, 9), grid="hexagonal", step_um=(1.0, 0.866))
MAPS = PhysicsMaps(*np.random.default_rng(0).random((3, 3, 4)), grains=np.arange(12).reshape(3, 4))


def test_maps_are_stored_by_their_names(tmp_path: Path) -> None:
    write_physics(tmp_path / "scan.physics.h5", SCAN, MAPS)
    with h5py.File(tmp_path / "scan.physics.h5") as file:
        assert set(file) == {"image_quality", "sharpness", "mean_intensity", "grains"}
        for name in file:
            assert_array_equal(file[name], getattr(MAPS, name))
            assert file[name].dtype == getattr(MAPS, name).dtype
        assert file.attrs["format"] == "microrun physics 1"
        scan = json.loads(file.attrs["scan"])
    assert Scan(**{name: tuple(value) if isinstance(value, list) else value for name, value in scan.items()}) == SCAN
    assert [file.name for file in tmp_path.iterdir()] == ["scan.physics.h5"]


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    write_physics(tmp_path / "out", SCAN, MAPS)
    with h5py.File(tmp_path / "out") as file:
        assert_array_equal(file["grains"], MAPS.grains)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("place", ["missing/out", "file/out", "folder"])
def test_a_place_where_nothing_can_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written") as error:
        write_physics(tmp_path / place, SCAN, MAPS)
    assert str(error.value).startswith(f"{tmp_path / place}: ")
    assert "\n" not in str(error.value)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with full_disk(500), pytest.raises(OutputError, match="cannot be written"):
        write_physics(tmp_path / "out", SCAN, MAPS)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == b"old"
