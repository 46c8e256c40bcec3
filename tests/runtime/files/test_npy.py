"""Damaged .npy files, as a volume, a part or a background: one line."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from microrun.runtime.errors import ScanError, VolumeError
from microrun.runtime.files.npy import map_array
from microrun.runtime.patterns.background import load_background
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.spec import Preprocessing

SQUARE = "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }"
HEADERS = {
    "nothing": "",
    "open brace": "{",
    "open text": "'''",
    "nested deep": "{'descr': " + "[" * 400 + "]" * 400 + "}",
    "a long sum": "1+" * 4000 + "1",
    "more than the disk": SQUARE % "(1000000, 1000000, 1000)",
    "more than an index": SQUARE % "(1000000000000, 1000000000000)",
    "negative": SQUARE % "(-4, 4)",
    "no whole number": SQUARE % "(4.0, 4)",
    "true": SQUARE % "(True, 4)",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (4, 4), }",
}


def write(path: Path, header: str) -> Path:
    encoded = header.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(encoded)) + encoded + bytes(64))
    return path


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_is_none_is_refused_in_one_line(tmp_path: Path, header: str) -> None:
    path = write(tmp_path / "a.npy", header)
    preprocessor = Preprocessor(Preprocessing((30, 30)), (60, 60))
    for read, kind in ((map_array, VolumeError), (lambda path: load_background(path, preprocessor), ScanError)):
        with pytest.raises(kind) as error:
            read(path)
        assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_an_archive_of_arrays_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"")
    with pytest.raises(VolumeError, match=r"is not a \.npy file of numbers"):
        map_array(path)


def test_a_whole_array_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(map_array(tmp_path / "a.npy"), [[0, 1, 2], [3, 4, 5]])
