"""Where files may be made: refused in the same words before anything is done, and no empty folder left."""

from __future__ import annotations

from pathlib import Path

import pytest

from microrun.runtime.errors import RefusedOutputError
from microrun.runtime.files import destination
from microrun.runtime.files.destination import check_file, check_files, check_folder, made_folder


def test_what_is_there_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    there = tmp_path / "there.h5"
    there.touch()
    expected = r"there\.h5: exists; replace it with --overwrite, or write to another place$"
    with pytest.raises(RefusedOutputError, match=expected) as error:
        check_file(there)
    assert error.value.exit_code == 2
    with pytest.raises(RefusedOutputError, match=r"there\.h5: exists"):
        check_files([tmp_path / "new.png", there])
    check_file(there, overwrite=True)
    check_files([tmp_path / "new.png", there], overwrite=True)


def test_a_link_that_leads_nowhere_is_kept_too(tmp_path: Path) -> None:
    (tmp_path / "link.h5").symlink_to(tmp_path / "none.h5")
    with pytest.raises(RefusedOutputError, match="exists"):
        check_file(tmp_path / "link.h5")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedOutputError, match=r"a\.csv: expected a name that ends in \.h5 or \.hdf5$"):
        check_file(tmp_path / "a.csv", endings=(".h5", ".hdf5"))
    check_file(tmp_path / "A.H5", endings=(".h5", ".hdf5"))


def test_what_is_read_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "scan.h5").touch()
    (tmp_path / "other.h5").symlink_to(tmp_path / "scan.h5")
    with pytest.raises(RefusedOutputError, match=r"other\.h5: is the file that is read"):
        check_file(tmp_path / "other.h5", overwrite=True, sources=[tmp_path / "scan.h5"])


def test_folders_that_are_missing_or_no_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path, "is a folder; expected the name of a file"),
        (tmp_path / "no" / "a.h5", f"there is no folder {tmp_path / 'no'}; make it first"),
        (tmp_path / "file" / "a.h5", "is a file; expected a folder"),
    ):
        with pytest.raises(RefusedOutputError) as error:
            check_file(path, overwrite=True)
        assert said in str(error.value)
    for folder, said in (
        (tmp_path / "file", "is a file; expected a folder"),
        (tmp_path / "file" / "deep", "is a file; expected a folder"),
        (tmp_path / "maps.png", "is the name of a picture; expected a folder"),
    ):
        with pytest.raises(RefusedOutputError) as error:
            check_folder(folder)
        assert said in str(error.value)


def test_a_folder_without_permission_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination.os, "access", lambda path, mode: False)
    with pytest.raises(RefusedOutputError, match="no permission"):
        check_file(tmp_path / "a.h5")
    with pytest.raises(RefusedOutputError, match="no permission"):
        check_folder(tmp_path / "new" / "deep")


def test_files_in_a_folder_are_kept_too(tmp_path: Path) -> None:
    check_folder(tmp_path / "new", ["a.md"])
    (tmp_path / "a.md").touch()
    with pytest.raises(RefusedOutputError, match=r"a\.md: exists"):
        check_folder(tmp_path, ["a.md"])
    check_folder(tmp_path, ["a.md"], overwrite=True)


def test_no_empty_folder_is_left_by_what_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), made_folder(tmp_path / "new" / "deep"):
        raise KeyError
    assert not (tmp_path / "new").exists()
    with pytest.raises(KeyError), made_folder(tmp_path / "new" / "deep") as folder:
        (folder / "kept").touch()
        raise KeyError
    assert (tmp_path / "new" / "deep" / "kept").exists()
    (tmp_path / "empty").mkdir()
    with made_folder(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").exists(), "it was there before"
