"""Sources of finished files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lanes import check_all, check_lanes, take
from numpy.testing import assert_array_equal
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import Claim
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.scans.up_source import FileSource

ANG = "# GRID: {grid}\n# XSTEP: 0.5\n# YSTEP: 0.25\n# NCOLS_ODD: 3\n# NCOLS_EVEN: {even}\n# NROWS: 2\n"
LONG_S = 600.0  # a time-out that no test waits for
SHORT_S = 0.01


# Finished files


@pytest.mark.parametrize("limit", [1, 4, 6, 100])
def test_a_file_is_delivered_in_order(tmp_path: Path, limit: int) -> None:
    patterns = make_patterns(6)
    source = FileSource(write_up(tmp_path / "a.up2", patterns))
    assert source.scan == Scan((2, 3), (4, 5), step_um=(1.5, 1.5))
    assert source.available == 6
    assert source.dropped == 0
    check_all(source, patterns, limit)
    assert source.claim(limit) is None


def test_a_file_may_start_later(tmp_path: Path) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(6))
    assert [number for number, _ in take(FileSource(path, start=4))] == [4, 5]
    assert list(take(FileSource(path, start=6))) == []


def test_measured_patterns_come_back(nickel_up1: Path, nickel: Any) -> None:
    check_all(FileSource(nickel_up1), nickel.patterns)


def test_lanes_share_a_file(tmp_path: Path) -> None:
    patterns = make_patterns(200)
    source = FileSource(write_up(tmp_path / "a.up2", patterns, Header(nav_shape=(10, 20))))
    check_lanes(source, patterns)


def test_stop_ends_a_file(tmp_path: Path) -> None:
    source = FileSource(write_up(tmp_path / "a.up2", make_patterns(6)))
    assert source.claim(2) is not None
    source.stop()
    assert source.claim(2) is None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.data())
def test_any_indices_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, indices: list[int], data: st.DataObject
) -> None:
    patterns = make_patterns(6)
    source = FileSource(write_up(tmp_path_factory.getbasetemp() / "indices.up2", patterns))
    first = data.draw(st.integers(0, len(indices) - 1))
    out = np.empty((len(indices) - first, 4, 5), np.uint16)
    source.read(Claim(np.array(indices)), first, out)
    assert_array_equal(out, patterns[indices[first:]])


def test_missing_patterns_are_warned_of(tmp_path: Path) -> None:
    patterns = make_patterns(6)
    path = write_up(tmp_path / "a.up2", patterns, cut=41)
    with pytest.warns(ScanWarning, match=r"a\.up2: holds 4 of the 6"):
        source = FileSource(path)
    check_all(source, patterns[:4])


def test_patterns_after_the_scan_are_warned_of(tmp_path: Path) -> None:
    patterns = make_patterns(8)
    with pytest.warns(ScanWarning, match=r"a\.up2: 2 patterns after the 6"):
        source = FileSource(write_up(tmp_path / "a.up2", patterns))
    check_all(source, patterns[:6])


def test_trailing_bytes_are_no_pattern(tmp_path: Path) -> None:
    patterns = make_patterns(6)
    check_all(FileSource(write_up(tmp_path / "a.up2", patterns, trailing=bytes(39))), patterns)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(6))
    source = FileSource(path)
    with path.open("r+b") as file:
        file.truncate(42 + 3 * 40 + 7)
    with pytest.raises(ScanError, match=r"a\.up2: became shorter"):
        list(take(source, 6))


def test_a_file_that_vanishes_before_it_is_read(tmp_path: Path) -> None:
    source = FileSource(write_up(tmp_path / "a.up2", make_patterns(6)))
    source.path.unlink()
    with pytest.raises(ScanError, match=r"a\.up2: cannot be read"):
        list(take(source))


# Grids


def test_version_1_takes_the_grid_of_the_user(tmp_path: Path) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(6), Header(1))
    assert FileSource(path, (3, 2), 0.5).scan == Scan((3, 2), (4, 5), step_um=(0.5, 0.5))
    with pytest.raises(ScanError, match=r"a\.up2: the header \(version 1\) states no grid for its 6 patterns; give"):
        FileSource(path)


@pytest.mark.parametrize("grid", [(2, 2), (2, 4), (6, 6)])
def test_version_1_grids_must_multiply_to_the_count(tmp_path: Path, grid: tuple[int, int]) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(6), Header(1))
    with pytest.raises(ScanError, match=rf"a\.up2: a grid of {grid[0]}×{grid[1]} .* the file holds 6"):
        FileSource(path, grid)


def test_version_1_takes_the_grid_of_a_companion(tmp_path: Path) -> None:
    patterns = make_patterns(6)
    path = write_up(tmp_path / "a.up2", patterns, Header(1))
    path.with_suffix(".ang").write_text(ANG.format(grid="SqrGrid", even=3))
    assert FileSource(path).scan == Scan((2, 3), (4, 5), step_um=(0.5, 0.25))
    assert FileSource(path, (3, 2)).scan.nav_shape == (3, 2)
    check_all(FileSource(path), patterns)


def test_a_hexagonal_companion(tmp_path: Path) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(5), Header(1))
    path.with_suffix(".ang").write_text(ANG.format(grid="HexGrid", even=2))
    assert FileSource(path).scan == Scan((2, 3), (4, 5), "uint16", "hexagonal", (0.5, 0.25), True)


def test_the_header_wins_over_a_companion(tmp_path: Path) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(6), Header(nav_shape=(3, 2)))
    path.with_suffix(".ang").write_text(ANG.format(grid="SqrGrid", even=3))
    assert FileSource(path).scan == Scan((3, 2), (4, 5), step_um=(1.5, 1.5))


def test_a_companion_is_not_asked_when_the_grid_is_known(tmp_path: Path) -> None:
    for version, grid in ((3, None), (1, (2, 3))):
        path = write_up(tmp_path / "a.up2", make_patterns(6), Header(version))
        path.with_suffix(".ang").write_text("# written by another program\n")
        assert FileSource(path, grid).scan.nav_shape == (2, 3)


@pytest.mark.parametrize(("extra", "held", "alternating"), [(0, 5, True), (0, 6, False), (1, 6, False)])
def test_the_size_decides_on_alternating_rows(tmp_path: Path, extra: int, held: int, alternating: bool) -> None:
    patterns = make_patterns(held)
    source = FileSource(write_up(tmp_path / "a.up2", patterns, Header(hexagonal=1, extra=extra)))
    assert source.scan.grid == "hexagonal"
    assert source.scan.alternating == alternating
    check_all(source, patterns)
