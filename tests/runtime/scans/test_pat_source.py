"""Thermo Fisher's .pat files, written byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import hide_library
from numpy.testing import assert_array_equal
from write_up2 import make_patterns

from microrun.runtime.errors import ScanError
from microrun.runtime.files.extras import install_command
from microrun.runtime.scans.open import open_scan
from microrun.runtime.scans.up2 import ScanWarning

SIG_SHAPE = (6, 8)
PATTERNS = make_patterns(12, SIG_SHAPE)


def write_pat(
    path: Path, patterns: Any = PATTERNS, *, version: int = 1, sides: tuple[int, int] = (8, 6), scan: int = -1,
    background: bool = False,
) -> Path:  # fmt: skip
    """Header of 25 bytes, the background, and before each pattern where it lies."""
    data = struct.pack("<5IhBh", version, 4, 3, *sides, scan, 16, -1 if background else 0)
    data += np.full(SIG_SHAPE, 9, "<u2").tobytes() if background else b""
    for number, pattern in enumerate(patterns):
        data += struct.pack("<2I", number % 4, number // 4) + pattern.astype("<u2").tobytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("background", [False, True])
def test_a_pat_file_is_a_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str], background: bool) -> None:
    path = write_pat(tmp_path / "Größe 1.PAT", background=background)
    source = open_scan(path)
    scan = source.scan
    assert (scan.nav_shape, scan.sig_shape, scan.dtype, scan.step_um) == ((3, 4), SIG_SHAPE, "uint16", (0.0, 0.0))
    out = np.empty((6, *SIG_SHAPE), np.uint16)
    source.read_patterns(np.array([0, 1, 2, 7, 11, 5]), out)
    assert_array_equal(out, PATTERNS[[0, 1, 2, 7, 11, 5]])
    assert open_scan(path, (2, 6), 0.25).scan.step_um == (0.25, 0.25)
    assert capsys.readouterr().out == ""


def test_the_ebsd_file_beside_it_tells_the_step(tmp_path: Path) -> None:
    (tmp_path / "a.ebsd").write_bytes(bytes(7) + struct.pack("<d", 0.125) + bytes(37))
    assert open_scan(write_pat(tmp_path / "a.pat")).scan.step_um == (0.125, 0.125)


def test_a_pat_file_that_broke_off_is_read_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pat(tmp_path / "a.pat", PATTERNS[:8])
    with path.open("ab") as file:
        file.write(bytes(50))
    with pytest.warns(ScanWarning, match="holds 8 of the 12 patterns that it promises"):
        source = open_scan(path)
    assert source.available == 8
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ScanError, match=r"a\.pat: cannot be read any more \(pattern 4\)"):
        source.read_patterns(np.arange(4, 8), np.empty((4, *SIG_SHAPE), np.uint16))
    path.unlink()
    with pytest.raises(ScanError, match=r"a\.pat: cannot be read any more \(pattern 0\)"):
        source.read_patterns(np.arange(2), np.empty((2, *SIG_SHAPE), np.uint16))
    assert capsys.readouterr().out == ""


def test_single_points_are_no_map(tmp_path: Path) -> None:
    path = write_pat(tmp_path / "a.pat", PATTERNS[:5], scan=0)
    with pytest.raises(ScanError, match="holds 5 single points, not a map: give --grid ROWSxCOLS, such as 1x5"):
        open_scan(path)
    assert open_scan(path, (1, 5)).scan.total == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 0}, r"is not a \.pat file of Thermo Fisher's, or is damaged"),
        ({"version": 1 << 30}, "is not a .pat file"),
        ({"sides": (1 << 31, 1 << 31)}, "it states version 1 and patterns of 2147483648×2147483648"),
        ({"sides": (0, 6)}, "patterns of 6×0"),
        ({"sides": (16000, 16000)}, "contains no whole pattern; its header promises 12"),
        ({"patterns": PATTERNS[:0]}, "contains no whole pattern"),
    ],
)
def test_damaged_pat_files_are_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ScanError, match=said):
        open_scan(write_pat(tmp_path / "a.pat", **changes))


def test_other_things_that_are_no_pat_file(tmp_path: Path) -> None:
    path = write_pat(tmp_path / "a.pat", background=True)
    with pytest.raises(ScanError, match="a grid of 4×4 has 16 patterns; the file has 12"):
        open_scan(path, (4, 4))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ScanError, match="is damaged: its header cannot be read"):
        open_scan(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ScanError, match="has 25 bytes; the file ends after 20"):
        open_scan(path)
    with pytest.raises(ScanError, match="no such file"):
        open_scan(tmp_path / "none.pat")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pat(tmp_path / "a.pat")
    hide_library(monkeypatch, "pyebsdindex")
    with pytest.raises(ScanError) as error:
        open_scan(path)
    assert str(error.value) == f"{path}: is read through PyEBSDIndex; {install_command('pat')}"
