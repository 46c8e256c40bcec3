"""HDF5 files that hold several scans, or fewer patterns than they promise; files that are no scan at all."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from vendor_files import write_h5oina
from write_up2 import make_patterns, write_up

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.h5ebsd import scan_names
from microrun.runtime.scans.open import open_scan
from microrun.runtime.scans.said import said_as_ours
from microrun.runtime.scans.up2 import ScanWarning

pytest.importorskip("kikuchipy")
SIG_SHAPE = (12, 10)


def read(source: Any) -> np.ndarray:
    out = np.empty((source.available, *SIG_SHAPE), source.scan.dtype)
    source.read_patterns(np.arange(source.available), out)
    return out


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("there", [1, 7, 12, 19])
def test_what_an_unfinished_scan_lacks_is_missing(tmp_path: Path, there: int, dtype: str) -> None:
    patterns = make_patterns(20, SIG_SHAPE, dtype)[:there]
    patterns[-1] = 0  # a blank frame that was recorded is there
    path = write_h5oina(tmp_path / "a.h5oina", (4, 5), {"1": patterns})
    with pytest.warns(ScanWarning) as said:
        source = open_scan(path)
    assert [str(one.message) for one in said] == [f"{path}: holds {there} of the 20 patterns that it promises"]
    assert (source.scan.nav_shape, source.scan.total, source.available) == ((4, 5), 20, there)
    assert_array_equal(read(source), patterns)
    claim = source.claim(99)
    assert claim is not None and len(claim) == there and source.claim(1) is None


def test_a_whole_scan_says_nothing(tmp_path: Path) -> None:
    patterns = make_patterns(20, SIG_SHAPE)
    path = write_h5oina(tmp_path / "a.h5oina", (4, 5), {"1": patterns})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        source = open_scan(path)
    assert_array_equal(read(source), patterns)


def test_a_scan_without_patterns_is_refused(tmp_path: Path) -> None:
    path = write_h5oina(tmp_path / "a.h5oina", (4, 5), {"1": make_patterns(0, SIG_SHAPE)})
    with pytest.raises(ScanError) as caught:
        open_scan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_of_two_scans_one_must_be_named(tmp_path: Path) -> None:
    one, other = make_patterns(20, SIG_SHAPE), make_patterns(20, SIG_SHAPE, seed=1)
    path = write_h5oina(tmp_path / "two.h5oina", (4, 5), {"Area 1": one, "Area 2": other})
    assert scan_names(path) == ["Area 1", "Area 2"]
    with pytest.raises(ScanError, match=r"holds 2 scans, 'Area 1', 'Area 2'; say which with --scan-name"):
        open_scan(path)
    assert_array_equal(read(open_scan(path, scan_name="Area 1")), one)
    assert_array_equal(read(open_scan(path, scan_name="Area 2")), other)
    with pytest.raises(ScanError, match=r"no scan named 'Area 3'; it holds 'Area 1', 'Area 2'"):
        open_scan(path, scan_name="Area 3")


def test_copies_of_one_scan_are_one(tmp_path: Path, nickel: Any) -> None:
    assert scan_names(nickel.path) == ["Scan 1", "Scan 2"]
    assert open_scan(nickel.path).scan.total == 9
    patterns = make_patterns(40, SIG_SHAPE)
    changed = patterns.copy()
    changed[-1, 0, 0] ^= 1
    path = write_h5oina(tmp_path / "two.h5oina", (8, 5), {"1": patterns, "2": changed})
    with pytest.raises(ScanError, match="holds 2 scans"):
        open_scan(path)


def test_a_file_with_one_scan_takes_no_name(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="leave out --scan-name"):
        open_scan(write_up(tmp_path / "a.up2", make_patterns(6)), scan_name="Scan 1")


@pytest.mark.parametrize("name", ["a.png", "a.TIF", "a.tiff", "a.bmp", "a.jpg"])
def test_a_picture_is_no_scan(tmp_path: Path, name: str) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / name)
    with pytest.raises(ScanError, match=r"is a picture, not a scan"):
        open_scan(tmp_path / name)


def test_what_a_reader_warns_of_is_said_once_with_the_files_name(tmp_path: Path) -> None:
    with pytest.warns(ScanWarning) as said, said_as_ours(tmp_path / "a.h5", "reader", known="padding"):
        for _ in range(2):
            warnings.warn("something\n   is odd", UserWarning, stacklevel=1)
        warnings.warn("with zero padding", UserWarning, stacklevel=1)
        warnings.warn("for programmers", DeprecationWarning, stacklevel=1)
    assert [str(one.message) for one in said] == [f"{tmp_path / 'a.h5'}: something is odd (said by reader)"]


def claim_much(file: h5py.File) -> None:
    file.create_dataset("1/EBSD/Data/Phase", (2, 100_000, 100_000), "u1", chunks=(1, 512, 512), compression="gzip")


def lead_out(file: h5py.File) -> None:
    file["1/EBSD/Data/Phase"] = h5py.ExternalLink("other.h5", "/x")


@pytest.mark.parametrize("damage", [claim_much, lead_out])
def test_a_vendors_file_that_claims_too_much_or_leads_out_is_refused_in_one_line(
    tmp_path: Path, damage: Callable[[h5py.File], None]
) -> None:
    path = write_h5oina(tmp_path / "a.h5oina", (2, 3), {"1": make_patterns(6, (60, 60), "uint8")})
    with h5py.File(path, "r+") as file:
        damage(file)
    for read in (scan_names, open_scan):
        with pytest.raises(ScanError, match=r"claims 20,000,000,000 bytes|is a link to another file") as error:
            read(path)
        assert "\n" not in str(error.value)
