"""Maps kept in a latents file: read back, nothing else changed, and never half of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
import pytest
from disk import full_disk
from make_latents import SCANS, make_contents, make_origin, write_contents
from numpy.testing import assert_array_equal

from microrun.runtime.errors import LatentsError, OutputError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.stored_maps import store_maps
from microrun.runtime.latents.writer import LatentsWriter, lock_latents

SCAN = SCANS["square"]
MAPS: dict[str, Any] = {
    "spread": np.random.default_rng(0).random((6, 7)).astype(np.float32),
    "segments": np.arange(42, dtype=np.int32).reshape(6, 7),
    "colours": np.random.default_rng(1).integers(0, 255, (6, 7, 3), np.uint8),
}
SETTINGS: dict[str, Any] = {"threshold": 0.25, "clusters": 8, "method": "k-means", "pick": [3, 4]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_contents(tmp_path / "scan.latents.h5", make_origin(SCAN), make_contents(SCAN))


def read_all(path: Path) -> dict[str, Any]:
    """Bytes of every array and every attribute, by name."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        found.update({f"@{name}": value for name, value in file.attrs.items()})

        def visit(name: str, item: Any) -> None:
            found.update({f"{name}@{key}": np.asarray(value).tolist() for key, value in item.attrs.items()})
            if isinstance(item, h5py.Dataset):
                found[name] = (item.dtype.str, item.shape, item[()].tobytes())

        file.visititems(visit)
    return found


def names_beside(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir()]


def test_maps_and_settings_are_read_back(path: Path) -> None:
    store_maps(path, "analysis", MAPS, SETTINGS)
    with h5py.File(path) as file:
        assert set(file["analysis"]) == set(MAPS)
        for name, array in MAPS.items():
            assert_array_equal(file["analysis"][name], array)
            assert file["analysis"][name].dtype == array.dtype
        assert {name: np.asarray(value).tolist() for name, value in file["analysis"].attrs.items()} == SETTINGS
    assert names_beside(path) == [path.name]


def test_everything_else_stays_as_it_was(path: Path) -> None:
    before = read_all(path)
    store_maps(path, "analysis", MAPS, SETTINGS)
    after = read_all(path)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith("analysis") for name in set(after) - set(before))


def test_the_file_is_still_a_latents_file(path: Path) -> None:
    store_maps(path, "analysis", MAPS, SETTINGS)
    contents = make_contents(SCAN)
    with open_latents(path) as latents:
        assert not latents.growing
        assert latents.origin == make_origin(SCAN)
        assert_array_equal(latents.latents.reshape(42, -1)[contents.written], contents.latents[contents.written])
        assert_array_equal(latents.background, contents.background)


def test_a_file_with_maps_can_be_resumed(path: Path) -> None:
    store_maps(path, "analysis", MAPS, SETTINGS)
    contents = make_contents(SCAN)
    with LatentsWriter.resume(path, make_origin(SCAN)) as writer:
        assert writer.done == 8
        writer.write(contents.batch(np.array([8, 9, *range(37, 42)])))
    with open_latents(path) as latents:
        assert latents.written.all()
        assert_array_equal(latents.latents.reshape(42, -1), contents.latents)


def test_new_maps_take_the_place_of_old_ones(path: Path) -> None:
    store_maps(path, "analysis", MAPS, SETTINGS)
    store_maps(path, "other", MAPS, {})
    store_maps(path, "analysis", {"spread": np.zeros((6, 7))}, {"threshold": 1.0})
    with h5py.File(path) as file:
        assert set(file["analysis"]) == {"spread"}
        assert dict(file["analysis"].attrs) == {"threshold": 1.0}
        assert set(file["other"]) == set(MAPS)


def test_who_reads_meanwhile_keeps_the_file(path: Path) -> None:
    with open_latents(path) as latents:
        store_maps(path, "analysis", MAPS, SETTINGS)
        assert_array_equal(latents.written.ravel(), make_contents(SCAN).written)


# --- what is refused


def test_a_file_that_is_being_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.latents.h5"
    background = make_contents(SCAN).background
    refused = pytest.raises(LatentsError, match="is being written by another run")
    with LatentsWriter.create(path, make_origin(SCAN), background), refused as error:
        store_maps(path, "analysis", MAPS, SETTINGS)
    assert str(error.value).startswith(f"{path}: ")


def test_a_file_that_a_killed_run_left_is_refused(path: Path, tmp_path: Path) -> None:
    left = tmp_path / "left.h5"
    with LatentsWriter.create(tmp_path / "growing.h5", make_origin(SCAN), make_contents(SCAN).background) as writer:
        left.write_bytes(writer.path.read_bytes())
    before = left.read_bytes()
    with pytest.raises(LatentsError, match="end it with encode --resume"):
        store_maps(left, "analysis", MAPS, SETTINGS)
    assert left.read_bytes() == before


@pytest.mark.parametrize("name", ["none.h5", "text.h5"])
def test_what_is_no_latents_file(tmp_path: Path, name: str) -> None:
    if name.startswith("text"):
        (tmp_path / name).write_text("no latents")
    before = names_beside(tmp_path / name)
    with pytest.raises(LatentsError, match=r"not a latents file|no such file"):
        store_maps(tmp_path / name, "analysis", MAPS, SETTINGS)
    assert names_beside(tmp_path / name) == before


# --- what goes wrong


class Interrupting(dict[str, Any]):
    """Settings, which are written last, that cannot be had."""

    def __init__(self, problem: BaseException) -> None:
        super().__init__()
        self.problem = problem

    def items(self) -> NoReturn:  # type: ignore[override]
        raise self.problem


@pytest.mark.parametrize("problem", [OSError("disk"), RuntimeError("HDF5"), KeyboardInterrupt(), ValueError("bad")])
def test_an_interrupted_store_leaves_the_old_file(path: Path, problem: BaseException) -> None:
    before = path.read_bytes()
    expected = OutputError if isinstance(problem, OSError | RuntimeError) else type(problem)
    with pytest.raises(expected):
        store_maps(path, "analysis", MAPS, Interrupting(problem))
    assert path.read_bytes() == before
    assert names_beside(path) == [path.name]
    lock_latents(path).close()  # is free again


def test_a_full_disk_leaves_the_old_file(path: Path) -> None:
    before = path.read_bytes()
    with full_disk(len(before) + 100), pytest.raises(OutputError, match="maps cannot be added") as error:
        store_maps(path, "analysis", MAPS, SETTINGS)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before
    assert names_beside(path) == [path.name]
