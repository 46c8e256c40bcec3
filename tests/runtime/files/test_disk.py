"""Room on the disk: taken before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from disk import full_disk

from microrun.runtime.files.disk import OVERHEAD_BYTES, check_room


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
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1 << 40, 1 << 40, 10_000 + OVERHEAD_BYTES))
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
