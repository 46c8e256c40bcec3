"""Files that are never half written: whole or not there, also on a full disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from disk import full_disk

from microrun.runtime.errors import OutputError, RefusedOutputError
from microrun.runtime.files import output
from microrun.runtime.files.disk import check_room
from microrun.runtime.files.hdf5 import hdf5_errors
from microrun.runtime.files.lock import FileLock
from microrun.runtime.files.output import name_beside, write_text, written_beside, written_together


def write_hdf5(path: Path) -> None:
    with written_beside(path) as beside, hdf5_errors():
        check_room(beside, 8000)
        with h5py.File(beside, "w") as file:
            file["numbers"] = np.arange(1000)


WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_text(path, "µm\n" * 1000),
    "HDF5": write_hdf5,
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


def write_open(path: Path) -> h5py.File:
    """Give a file its name while it is open."""
    with written_beside(path) as beside:
        return h5py.File(beside, "w")


@pytest.mark.skipif(os.name == "nt", reason="Windows renames no open file")
def test_a_file_may_be_renamed_while_it_is_open(tmp_path: Path) -> None:
    with write_open(tmp_path / "out") as file:
        assert [file.name for file in tmp_path.iterdir()] == ["out"]
        file["numbers"] = np.arange(1000)
    with h5py.File(tmp_path / "out") as file:
        assert file["numbers"].shape == (1000,)


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), ValueError("bad"), RuntimeError("no file's fault")])
def test_an_interruption_leaves_what_was_there(tmp_path: Path, problem: BaseException) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(type(problem)), written_beside(tmp_path / "out") as beside:
        beside.write_bytes(b"new")
        raise problem
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == b"old"


def test_a_failure_has_a_name_and_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as error, written_beside(tmp_path / "out", "maps cannot be added"), hdf5_errors():
        raise RuntimeError("Can't write data (file write failed: errno = 28, error message = 'No space left', buf = 0)")
    text = f"{tmp_path / 'out'}: maps cannot be added (No space left); what it held before is still valid."
    assert str(error.value).startswith(text)


@pytest.mark.parametrize("tries", [2, 100])
def test_on_windows_a_file_that_a_viewer_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    (tmp_path / "out").write_text("old")
    replace, failed = Path.replace, []

    def held(self: Path, target: Path) -> Path:
        if len(failed) < tries:
            failed.append(self)
            raise PermissionError(13, "Access is denied")
        return replace(self, target)

    monkeypatch.setattr(output, "WINDOWS", True)
    monkeypatch.setattr(output, "PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(Path, "replace", held)
    if tries == 2:
        write_text(tmp_path / "out", "new")
        assert (tmp_path / "out").read_text(encoding="utf-8") == "new"
    else:
        with pytest.raises(OutputError, match=r"Access is denied.*Close the program that has it open and run again"):
            write_text(tmp_path / "out", "new")
        assert len(failed) == 4 and [file.name for file in tmp_path.iterdir()] == ["out"]
        assert (tmp_path / "out").read_text() == "old"


def test_of_two_runs_that_make_one_file_the_second_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with written_beside(out) as beside:
        beside.write_text("first")
        with pytest.raises(RefusedOutputError, match="out: is being written by another run; wait"), written_beside(out):
            pytest.fail("two write one file")
        assert beside.read_text() == "first"
    assert out.read_text() == "first" and [file.name for file in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("linked", [True, False])
def test_a_file_that_was_made_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool) -> None:
    if not linked:  # as on a USB stick
        monkeypatch.setattr(output.os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    made_meanwhile = pytest.raises(
        RefusedOutputError, match="out: something has been put there meanwhile, and it is kept"
    )
    with made_meanwhile as refused, written_beside(tmp_path / "out") as beside:
        beside.write_text("second")
        (tmp_path / "out").write_text("first")
    assert refused.value.exit_code == 2
    assert (tmp_path / "out").read_text() == "first" and [file.name for file in tmp_path.iterdir()] == ["out"]
    (tmp_path / "out").unlink()
    write_text(tmp_path / "out", "third")
    assert (tmp_path / "out").read_text() == "third"


def test_what_a_killed_run_left_is_cleared_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    left = name_beside(out)
    left.write_text("half")
    left.with_name(f"{left.name}.lock").touch()  # which the system gave up with the process
    with FileLock(left), pytest.raises(RefusedOutputError, match="another run"):
        write_text(out, "whole")
    assert left.read_text() == "half"
    write_text(out, "whole")
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_run_killed_between_its_two_names_does_not_cost_the_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("whole")
    os.link(out, name_beside(out))
    with pytest.raises(KeyboardInterrupt), written_beside(out) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert out.read_text() == "whole"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_what_may_be_replaced_is_what_was_asked_not_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("first")
    with pytest.raises(RefusedOutputError, match="put there meanwhile"), written_beside(out, overwrite=False) as beside:
        beside.write_text("second")
    assert out.read_text() == "first"
    out.unlink()
    with written_beside(out, overwrite=True) as beside:
        beside.write_text("third")
        out.write_text("second")
    assert out.read_text() == "third" and [file.name for file in tmp_path.iterdir()] == ["out"]


def test_files_that_are_made_together_are_all_kept_or_all_made(tmp_path: Path) -> None:
    table, picture = tmp_path / "a.csv", tmp_path / "a.png"
    with (
        pytest.raises(RefusedOutputError, match=r"a\.csv: something has been put there"),
        written_together([table, picture], False) as made,
    ):
        for path in made:
            write_text(path, "new")
        table.write_text("mine")
    assert table.read_text() == "mine" and [file.name for file in tmp_path.iterdir()] == ["a.csv"]
    with written_together([table, picture], True) as made:
        for path in made:
            write_text(path, "new")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a.csv": "new", "a.png": "new"}


def test_the_names_of_files_that_are_made_together_are_taken_from_the_first(tmp_path: Path) -> None:
    with (
        written_together([tmp_path / "a"], True) as (beside,),
        pytest.raises(RefusedOutputError, match="being written"),
    ):
        beside.write_text("first")
        with written_together([tmp_path / "b", tmp_path / "a"], True):
            pytest.fail("two write one file")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_file_that_cannot_be_read_is_not_told_as_one_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.up2"), written_beside(tmp_path / "out"):
        (tmp_path / "none.up2").read_bytes()
    for file in (None, "scan.up2"):
        with pytest.raises(OSError, match="I/O") as error, written_together([tmp_path / "out"], overwrite=False):
            raise OSError(5, "I/O", file)
        assert not isinstance(error.value, OutputError) and error.value.filename == file
    with pytest.raises(OutputError, match="out: cannot be written"), written_beside(tmp_path / "out") as beside:
        raise OSError(28, "No space left", str(beside))
    with pytest.raises(OutputError, match="out: cannot be written"), written_beside(tmp_path / "out") as beside:
        raise OSError(28, "No space left", "source.onnx", None, str(beside))  # as `shutil.copyfile` says it
    assert not list(tmp_path.iterdir())
