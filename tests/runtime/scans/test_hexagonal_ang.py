"""Hexagonal grids of .ang files: whichever row is shifted or shorter, every pattern lies where its line says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.errors import ScanError
from microrun.runtime.maps.orientation_file import load_orientations
from microrun.runtime.scans.ang import read_ang_grid
from microrun.runtime.scans.ang_points import read_ang_map
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import ScanWarning, UpWriter
from microrun.runtime.scans.up_source import FileSource

HEADER = """\
# Phase 1
# Symmetry 43
# GRID: HexGrid
# XSTEP: {step[0]:.6f}
# YSTEP: {step[1]:.6f}
# NCOLS_ODD: {odd}
# NCOLS_EVEN: {even}
# NROWS: {rows}
#
"""
STEP = (0.25, 0.25 * np.sqrt(3) / 2)


def test_points_without_a_place_say_nothing_of_the_grid(tmp_path: Path) -> None:
    path = tmp_path / "a.ang"
    path.write_text(HEADER.format(step=STEP, odd=3, even=2, rows=2) + "1.0 2.0\n1.0 2.0 0.5 0.0 0.0 1 1 1\n")
    grid = read_ang_grid(path)
    assert grid is not None and grid.nav_shape == (2, 3)


def place(rows: int, odd: int, even: int, first_shifted: bool) -> NDArray[np.float64]:
    """Positions row by row, (n, 2); odd rows count from 1, the first."""
    return np.array(
        [
            (STEP[0] * (col + 0.5 * (first_shifted == (row % 2 == 0))), STEP[1] * row)
            for row in range(rows)
            for col in range(even if row % 2 else odd)
        ]
    )


def write(path: Path, rows: int, odd: int, even: int, places: NDArray[np.float64], decimals: int = 5) -> Path:
    lines = [f"  1.0 0.5 2.0 {x:.{decimals}f} {y:.{decimals}f} 900.0 0.9 0 1 1.0\n" for x, y in places]
    path.write_text(HEADER.format(step=STEP, odd=odd, even=even, rows=rows) + "".join(lines))
    return path


grids = st.tuples(st.integers(2, 8), st.integers(2, 7), st.sampled_from([-1, 0, 1]), st.booleans())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grids, st.sampled_from([3, 5]))
def test_every_pattern_lies_where_its_line_says(
    tmp_path: Path, grid: tuple[int, int, int, bool], decimals: int
) -> None:
    rows, odd, longer, first_shifted = grid
    first_shifted = first_shifted if longer == 0 else longer > 0
    places = place(rows, odd, odd + longer, first_shifted)
    scan_file = write_up(tmp_path / "a.up1", make_patterns(len(places), (60, 60)).astype(np.uint8), Header(1, (60, 60)))
    path = write(tmp_path / "a.ang", rows, odd, odd + longer, places, decimals)
    scan = FileSource(scan_file).scan
    x, y = scan.positions_um()
    assert scan.total == len(places)
    row, col = scan.locate(np.arange(scan.total))
    assert_allclose(np.stack([x[row, col], y[row, col]], axis=1), places, atol=1e-5)
    known = load_orientations(path, scan)
    assert_array_equal(known.valid, scan.exists())
    found = read_ang_map(path).grid
    assert (found.nav_shape, found.full_rows, found.first_shifted) == (scan.nav_shape, longer == 0, first_shifted)


def test_seven_rows_that_begin_with_a_short_one(tmp_path: Path) -> None:
    path = write_up(tmp_path / "a.up1", make_patterns(31).astype(np.uint8), Header(1))
    write(tmp_path / "a.ang", 7, 4, 5, place(7, 4, 5, first_shifted=True))
    assert FileSource(path).scan == Scan((7, 5), (4, 5), "uint8", "hexagonal", (0.25, 0.216506), True, True)


def test_without_points_the_shorter_rows_are_the_shifted_ones(tmp_path: Path) -> None:
    for odd, even, first_shifted in ((4, 5, True), (5, 4, False), (5, 5, False)):
        grid = read_ang_grid(write(tmp_path / "a.ang", 7, odd, even, np.empty((0, 2))))
        assert grid is not None
        assert (grid.nav_shape, grid.first_shifted) == ((7, 5), first_shifted)


@pytest.mark.parametrize("cols", [4, 5])
def test_a_header_that_cannot_say_it_is_helped_by_the_companion(tmp_path: Path, cols: int) -> None:
    header = Header(sig_shape=(4, 5), nav_shape=(7, cols), hexagonal=1)
    path = write_up(tmp_path / "a.up2", make_patterns(31), header)
    write(tmp_path / "a.ang", 7, 4, 5, place(7, 4, 5, first_shifted=True))
    scan = FileSource(path).scan
    assert (scan.nav_shape, scan.alternating, scan.first_shifted, scan.total) == ((7, 5), True, True, 31)


def test_what_makes_no_hexagonal_grid_is_refused(tmp_path: Path) -> None:
    usual = place(3, 5, 4, first_shifted=False)
    cases = (
        ((3, 6, 4), place(3, 6, 4, first_shifted=False), "rows of 6 and of 4 points make no hexagonal grid"),
        ((3, 5, 5), place(3, 5, 5, first_shifted=False) * (0, 1) + (0.1, 0), "lie half a step of 0.25 µm apart"),
        ((3, 5, 4), place(3, 5, 4, first_shifted=True), "the shorter rows begin half a step later"),
        ((3, 5, 4), usual + np.where(np.arange(14) == 11, 0.2, 0)[:, None] * (1, 0), "lie on no hexagonal grid"),
        ((4, 5, 4), usual, "its header states NROWS 4; its points have 3"),
    )
    for number, (shape, places, said) in enumerate(cases):
        path = write(tmp_path / f"{number}.ang", *shape, places)
        with pytest.raises(ScanError, match=said) as caught:
            read_ang_grid(path)
            read_ang_map(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_orientations_of_another_hexagonal_grid_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ang", 6, 4, 5, place(6, 4, 5, first_shifted=True))
    with pytest.raises(ScanError, match="not of the same lengths, or not shifted alike"):
        load_orientations(path, Scan((6, 5), (8, 8), grid="hexagonal", alternating=True))
    with pytest.raises(ScanError, match="is on a hexagonal grid; the scan's is square"):
        load_orientations(path, Scan((6, 5), (8, 8)))


def test_a_pattern_file_that_cannot_say_it_says_so(tmp_path: Path) -> None:
    """Read without its .ang it is refused, never placed wrongly."""
    scan = Scan((4, 5), (4, 5), "uint8", "hexagonal", STEP, alternating=True, first_shifted=True)
    path = tmp_path / "a.up1"
    with pytest.warns(ScanWarning, match=r"no UP header can say .* put the \.ang of the scan beside it"):
        writer = UpWriter(path, scan)
    with writer:
        writer.write(make_patterns(18).astype(np.uint8))
    with pytest.raises(ScanError, match="states no grid for its 18 patterns"):
        FileSource(path)
    write(tmp_path / "a.ang", 4, 4, 5, place(4, 4, 5, first_shifted=True))
    again = FileSource(path).scan
    assert (again.nav_shape, again.alternating, again.first_shifted) == ((4, 5), True, True)


def test_a_companion_in_upper_case_is_found(tmp_path: Path) -> None:
    path = write_up(tmp_path / "A.UP1", make_patterns(31).astype(np.uint8), Header(1))
    write(tmp_path / "A.ANG", 7, 4, 5, place(7, 4, 5, first_shifted=True))
    assert FileSource(path).scan.nav_shape == (7, 5)
