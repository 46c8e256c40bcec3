"""Patterns to calibrate and to judge on: whole rows, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_models import write_encoder
from one_line import one_line
from write_up2 import Header, make_patterns, write_up

from microrun.export import calibration
from microrun.export.calibration import QuantiseRequest, Rows, choose_rows, load_patterns
from microrun.export.quantize import quantise
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.errors import ScanError
from microrun.runtime.progress import finish
from microrun.runtime.scans.open import open_scan
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing

BUILT_IN = MODELS / "vae32.onnx"
NAV_SHAPE, HALF = (6, 10), 2  # of the simulated scan, whose first two of six rows are calibrated on
FOUR_ROWS = Header(sig_shape=(60, 60), nav_shape=(4, 3))
SIX_ROWS = replace(FOUR_ROWS, nav_shape=(6, 3))


def test_many_patterns_are_thinned_out(asked: QuantiseRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CALIBRATION_PATTERNS", 5)
    monkeypatch.setattr(calibration, "HELD_OUT_PATTERNS", 39)
    cost = finish(quantise(write_encoder(tmp_path / "tiny.onnx"), tmp_path / "out.onnx", asked)).quantisation
    assert cost is not None
    assert (cost.calibration_patterns, cost.held_out_patterns) == (5, 30)
    assert cost.held_out == "random.up2, rows 3 to 5"  # whole rows


@pytest.mark.parametrize("alternating", [False, True])
def test_rows_of_a_hexagonal_scan_stay_where_they_are(alternating: bool, tmp_path: Path) -> None:
    header = Header(nav_shape=(9, 4), hexagonal=1, extra=int(not alternating))
    total = 36 - 4 * alternating
    source = FileSource(write_up(tmp_path / "scan.up2", make_patterns(total), header))
    assert source.scan.alternating == alternating and source.scan.total == total
    calibrate, held_out = choose_rows(QuantiseRequest(source))
    assert (calibrate.first, calibrate.last, held_out.first, held_out.last) == (0, 4, 4, 9)
    numbers = held_out.start + np.arange(held_out.scan.total)
    assert numbers[0] == calibrate.scan.total and numbers[-1] == total - 1
    row, col = source.scan.locate(numbers)
    row_there, col_there = held_out.scan.locate(np.arange(held_out.scan.total))
    np.testing.assert_array_equal(row_there, row - 4)
    np.testing.assert_array_equal(col_there, col)
    np.testing.assert_array_equal(held_out.scan.positions_um()[0], source.scan.positions_um()[0][4:])


@pytest.mark.filterwarnings("ignore:.*holds 23 of the 36 patterns")
def test_of_an_unfinished_scan_whole_rows_are_used(tmp_path: Path) -> None:
    source = FileSource(write_up(tmp_path / "scan.up2", make_patterns(23), Header(nav_shape=(9, 4))))
    assert choose_rows(QuantiseRequest(source)) == (Rows(source, 0, 2), Rows(source, 2, 5))


def test_patterns_without_information_do_not_count(tmp_path: Path) -> None:
    patterns = make_patterns(30, (60, 60))
    patterns[[1, 11, 12]] = 700
    source = FileSource(write_up(tmp_path / "scan.up2", patterns, Header(sig_shape=(60, 60), nav_shape=(6, 5))))
    request = QuantiseRequest(source, background="none")
    calibration, held_out = load_patterns(request, Preprocessing())
    assert calibration.places.tolist() == [0, *range(2, 10)]
    assert held_out.places.tolist() == [0, *range(3, 20)]
    assert held_out.prepared.shape == (18, 1, 120, 120)
    spec = finish(quantise(write_encoder(tmp_path / "tiny.onnx"), tmp_path / "out.onnx", request))
    assert spec.quantisation is not None and spec.quantisation.held_out_patterns == 18


def test_the_background_is_what_was_chosen(asked: QuantiseRequest) -> None:
    plain, subtracted = (
        load_patterns(replace(asked, background=background), Preprocessing())[0].prepared
        for background in ("none", "auto")
    )
    assert np.abs(plain - subtracted).mean() > 0.1
    with pytest.raises(ScanError, match=r"nowhere\.npy: no such file") as error:
        load_patterns(replace(asked, background="nowhere.npy"), Preprocessing())
    one_line(error)


SCANS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no scan": (lambda path: path.write_text("this is no scan\n" * 50), "scan.up2: "),
    "of four rows": (lambda path: write_up(path, make_patterns(12, (60, 60)), FOUR_ROWS), "4 whole rows are too few"),
    "of three rows": (
        lambda path: write_up(path, make_patterns(9, (60, 60)), replace(FOUR_ROWS, nav_shape=(3, 3))),
        "3 whole rows are too few",
    ),
    "of small patterns": (
        lambda path: write_up(path, make_patterns(60, (40, 40)), Header(sig_shape=(40, 40), nav_shape=(6, 10))),
        "patterns of 40×40 are too small",
    ),
    "of nothing": (
        lambda path: write_up(path, np.full((18, 60, 60), 5, np.uint16), SIX_ROWS),
        "all patterns are constant after the mask",
    ),
    "of one pattern": (
        lambda path: write_up(path, np.repeat(make_patterns(1, (60, 60)), 18, axis=0), SIX_ROWS),
        "all patterns are alike",
    ),
}


@pytest.mark.parametrize(("write", "said"), SCANS.values(), ids=SCANS.keys())
def test_bad_scans_are_refused(write: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    scan = tmp_path / "scan.up2"
    write(scan)
    with pytest.raises(ScanError, match=said) as error:
        finish(quantise(BUILT_IN, tmp_path / "out.onnx", QuantiseRequest(open_scan(scan), background="none")))
    one_line(error)
    assert list(tmp_path.iterdir()) == [scan]


def test_a_scan_that_is_too_small_may_calibrate_but_not_judge(
    asked: QuantiseRequest, other_scan: Path, simulated_scan: Path, tmp_path: Path
) -> None:
    small = FileSource(other_scan)
    with pytest.raises(ScanError, match="--held-out") as error:
        finish(quantise(BUILT_IN, tmp_path / "out.onnx", QuantiseRequest(small)))
    one_line(error, other_scan)
    finish(quantise(BUILT_IN, tmp_path / "out.onnx", QuantiseRequest(small, asked.calibrate)))
    two_rows = FileSource(write_up(tmp_path / "two.up2", make_patterns(8), Header(version=1)), (2, 4))
    with pytest.raises(ScanError, match="has 3 whole rows; got 2") as error:
        finish(quantise(BUILT_IN, tmp_path / "out.onnx", replace(asked, held_out=two_rows)))
    one_line(error, "two.up2")
    with pytest.raises(ScanError, match="is the scan that is calibrated on") as error:
        finish(quantise(BUILT_IN, tmp_path / "out.onnx", replace(asked, held_out=FileSource(simulated_scan))))
    one_line(error, simulated_scan)


def test_a_scan_that_goes_away_is_told(other_scan: Path, tmp_path: Path) -> None:
    scan = tmp_path / "going.up2"
    scan.write_bytes(other_scan.read_bytes())
    source = FileSource(scan)
    scan.write_bytes(other_scan.read_bytes()[:30_000])
    with pytest.raises(ScanError, match="became shorter") as error:
        finish(quantise(BUILT_IN, tmp_path / "out.onnx", QuantiseRequest(source, FileSource(other_scan))))
    one_line(error, scan)
