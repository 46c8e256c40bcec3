"""Scans that are read while they are acquired: on Windows, whoever writes them may still rename or delete them."""

from __future__ import annotations

import ctypes
import io
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.files import shared_reading
from microrun.runtime.files.shared_reading import is_remote, open_shared, warn_if_remote
from microrun.runtime.scans import growth, up2, up_source

REMOTE_DRIVE = "N:"


class Function:
    """A function that takes attributes, as those of ctypes do."""

    restype: Any
    argtypes: Any

    def __init__(self, call: Any) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)


class FakeKernel:
    """Windows' own library, as far as it is asked for here: opens files by POSIX, and notes how it was asked to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.CreateFileW = Function(self._create)
        self.GetDriveTypeW = Function(lambda drive: 4 if drive == f"{REMOTE_DRIVE}\\" else 3)

    def _create(self, name: str, *how: Any) -> int | None:
        self.asked.append((name, *how))
        return os.open(name, os.O_RDONLY) if os.path.exists(name) else ctypes.c_void_p(-1).value  # noqa: PTH110


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    kernel = FakeKernel()
    monkeypatch.setattr(ctypes, "WinDLL", lambda *_, **__: kernel, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: 2, raising=False)
    monkeypatch.setattr(ctypes, "WinError", lambda code: FileNotFoundError(code, "not found"), raising=False)
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(open_osfhandle=lambda handle, flags: handle))
    monkeypatch.setattr(shared_reading, "sys", types.SimpleNamespace(platform="win32"))
    return kernel


def test_windows_is_asked_to_share_all(windows: FakeKernel, tmp_path: Path) -> None:
    path = tmp_path / "scan.up2"
    path.write_bytes(b"a\r\nb\x1ac")
    with open_shared(path) as file:
        assert isinstance(file, io.RawIOBase) and file.read() == b"a\r\nb\x1ac"
    name, access, share, _, how, *_ = windows.asked[0]
    assert (name, access, how) == (str(path), 0x80000000, 3)
    assert share == 0x1 | 0x2 | 0x4  # read, write, delete
    with pytest.raises(FileNotFoundError) as error:
        open_shared(tmp_path / "none.up2")
    assert error.value.filename == str(tmp_path / "none.up2")


@pytest.mark.skipif(sys.platform == "win32", reason="how others open files")
def test_elsewhere_files_are_opened_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "scan.up2"
    path.write_bytes(b"abc")
    with open_shared(path) as file:
        path.rename(tmp_path / "moved.up2")
        assert file.read() == b"abc"
    assert not is_remote(Path("//server/share/a.h5"))


def test_scans_are_opened_so_that_they_can_be_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = make_patterns(6, (8, 8))
    path = write_up(tmp_path / "scan.up2", patterns, Header(sig_shape=(8, 8), nav_shape=(2, 3)))
    opened: list[str] = []

    def note(path: Path) -> Any:
        opened.append(path.name)
        return open_shared(path)

    for module in (growth, up2, up_source):
        monkeypatch.setattr(module, "open_shared", note)
    source = up_source.FileSource(path)
    source.read_patterns(np.arange(6), np.empty((6, 8, 8), np.uint16))
    growth.Growth(path, source.header, 128)
    assert opened == ["scan.up2"] * 3


@pytest.mark.skipif(sys.platform != "win32", reason="of Windows")
def test_a_scan_that_is_read_can_be_renamed_and_deleted(tmp_path: Path) -> None:
    for change in (lambda path: path.rename(path.with_suffix(".old")), Path.unlink):
        path = tmp_path / "scan.up2"
        path.write_bytes(b"abcdef")
        with open_shared(path) as file:
            change(path)
            assert file.read() == b"abcdef"


@pytest.mark.parametrize(
    ("drive", "remote"),
    [
        (r"\\server\share", True),
        (r"\\?\UNC\server\share", True),
        (r"\\?\C:", False),
        (r"\\.\PhysicalDrive0", False),
        ("C:", False),
        (REMOTE_DRIVE, True),
    ],
)
def test_files_on_other_machines_are_told(
    windows: FakeKernel, drive: str, remote: bool, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(os.path, "splitdrive", lambda path: (drive, "\\scan.latents.h5"))
    assert is_remote(Path("scan.latents.h5")) == remote
    warn_if_remote(Path("scan.latents.h5"))
    said = [str(one.message) for one in recwarn if "SWMR over SMB" in str(one.message)]
    assert len(said) == remote
