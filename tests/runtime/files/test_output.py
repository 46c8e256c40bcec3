"""Small files and the store of conventional maps: whole or not there, also on a full disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from disk import full_disk
from numpy.testing import assert_array_equal

from microrun.runtime.errors import OutputError
from microrun.runtime.files import disk as room
from microrun.runtime.files.disk import OVERHEAD_BYTES, check_room
from microrun.runtime.files.output import write_text
from microrun.runtime.maps.conventional import PhysicsMaps
from microrun.runtime.maps.store import write_physics
from microrun.runtime.scans.scan import Scan

SCAN = Scan((3, 4), (8, 9), grid="hexagonal", step_um=(1.0, 0.866))
MAPS = PhysicsMaps(*np.random.default_rng(0).random((3, 3, 4)), grains=np.arange(12).reshape(3, 4))
WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_text(path, "µm\n" * 1000),
    "maps": lambda path: write_physics(path, SCAN, MAPS),
}


@pytest.fixture(params=WRITERS.values(), ids=WRITERS)
def write(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """Each of the writers."""
    writer: Callable[[Path], None] = request.param
    return writer


def test_text_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / "table.md", "| 0.3° |\n| 0.4° |\n")
    assert (tmp_path / "table.md").read_bytes() == b"| 0.3\xc2\xb0 |\n| 0.4\xc2\xb0 |\n".replace(
        b"\n", os.linesep.encode()
    )
    assert [file.name for file in tmp_path.iterdir()] == ["table.md"]


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


def test_what_was_there_is_replaced(write: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    write(tmp_path / "out")
    assert (tmp_path / "out").stat().st_size > 1000


@pytest.mark.parametrize("place", ["missing/out", "file/out", "folder"])
def test_a_place_where_nothing_can_be_written(write: Callable[[Path], None], tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written") as error:
        write(tmp_path / place)
    assert str(error.value).startswith(f"{tmp_path / place}: ")
    assert "\n" not in str(error.value)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_full_disk_leaves_what_was_there(write: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with full_disk(500), pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == b"old"


# --- room


class Usage(NamedTuple):
    """What a disk has."""

    total: int
    used: int
    free: int


def test_room_that_there_is_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"old")
    check_room(path, 12_345)
    assert path.stat().st_size == 12_345 + OVERHEAD_BYTES <= 512 * path.stat().st_blocks


def test_a_disk_without_room_is_noticed_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: Usage(1 << 40, 1 << 40, 10_000 + OVERHEAD_BYTES))
    check_room(path, 10_000)
    with pytest.raises(OSError, match="No space left"):
        check_room(path, 10_001)
    assert path.stat().st_blocks == 0


def test_a_limit_on_files_is_noticed(tmp_path: Path) -> None:
    with full_disk(OVERHEAD_BYTES + 100), pytest.raises(OSError):
        check_room(tmp_path / "data", 101)


def test_a_folder_that_is_missing_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_room(tmp_path / "missing" / "data", 1)
