"""Scans of other vendors, read through kikuchipy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.kikuchipy_source import KikuchipySource


def test_a_file_of_one_pattern(diamond: Any) -> None:
    source = KikuchipySource(diamond.path)
    assert source.scan.nav_shape == (1, 1)
    claim = source.claim(4)
    assert claim is not None
    out = np.empty((1, 480, 480), np.uint8)
    source.read(claim, 0, out)
    assert_array_equal(out, diamond.patterns.reshape(1, 480, 480))
    assert source.claim(4) is None


def test_kikuchipy_files_may_be_laid_out_anew(nickel: Any) -> None:
    source = KikuchipySource(nickel.path, (1, 9), 0.5, start=4)
    assert (source.scan.nav_shape, source.scan.step_um) == ((1, 9), (0.5, 0.5))
    assert (source.available, source.dropped) == (9, 0)
    claim = source.claim(3)
    assert claim is not None
    out = np.empty((2, 60, 60), np.uint8)
    source.read(claim, 1, out)
    assert_array_equal(out, nickel.patterns.reshape(9, 60, 60)[5:7])
    source.stop()
    assert source.claim(3) is None
    with pytest.raises(ScanError, match="2×4 has 8 patterns; the file holds 9"):
        KikuchipySource(nickel.path, (2, 4))


def test_files_that_kikuchipy_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="no such file"):
        KikuchipySource(tmp_path / "none.h5")
    for name in ("text.h5", "text.dat", "text.xyz"):
        (tmp_path / name).write_text("no scan")
        with pytest.raises(ScanError, match=rf"{name}: is a text file, not a scan"):
            KikuchipySource(tmp_path / name)
    (tmp_path / "bytes.dat").write_bytes(b"no\0scan")
    with pytest.raises(ScanError, match=r"is neither a \.up1 or \.up2 file nor a scan that kikuchipy reads"):
        KikuchipySource(tmp_path / "bytes.dat")
