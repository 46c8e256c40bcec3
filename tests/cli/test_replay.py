"""`microrun replay`."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Microrun, check_refused
from small_scan import NAV_SHAPE, SIG_SHAPE
from write_up2 import Header, make_patterns, write_up


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("rate", ["0", "5000"])
def test_a_scan_is_played_back(microrun: Microrun, tmp_path: Path, version: int, rate: str) -> None:
    header = Header(version=version, sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE, offset=64)
    scan = write_up(tmp_path / "scan.up2", make_patterns(15, SIG_SHAPE), header)
    ran = microrun("replay", scan, tmp_path / "copy.up2", "--rate", rate)
    assert (ran.code, ran.err) == (0, "")
    assert "replayed 15 patterns" in ran.said
    assert (tmp_path / "copy.up2").read_bytes() == scan.read_bytes()


def test_what_cannot_be_played_back(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    before = scan.read_bytes()
    check_refused(microrun("replay", scan, tmp_path / "copy.up2", "--rate", "-5"), "--rate")
    check_refused(microrun("replay", scan, tmp_path / "copy.up2", "--rate", "nan"), "--rate")
    check_refused(microrun("replay", scan, tmp_path / "copy.up1"), "copy.up1")
    check_refused(microrun("replay", scan, scan), scan)
    check_refused(microrun("replay", tmp_path / "none.up2", tmp_path / "copy.up2"), "none.up2")
    check_refused(microrun("replay", tmp_path, tmp_path / "copy.up2"), tmp_path)
    assert not (tmp_path / "copy.up2").exists()
    assert scan.read_bytes() == before


def test_replay_does_not_overwrite_unasked(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / f"copy{scan.suffix}"
    out.write_bytes(b"precious")
    check_refused(microrun("replay", scan, out, "--rate", "0"), out)
    assert out.read_bytes() == b"precious"
    assert microrun("replay", scan, out, "--rate", "0", "--overwrite").code == 0
    assert out.read_bytes() == scan.read_bytes()
