"""Parts of a map: regions, and every so many points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.part import Part, choose_part, parse_region
from microrun.runtime.scans.part_source import PartSource
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up_source import FileSource

SQUARE = Scan((7, 9), (4, 5), step_um=(0.5, 1.5))
HEXAGONAL = replace(SQUARE, grid="hexagonal")


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("0:50,100:160", ((0, 50), (100, 160))),
        (":,3:", ((0, None), (3, None))),
        (" :7 , 2:9 ", ((0, 7), (2, 9))),
    ],
)
def test_a_region_is_written(text: str, region: object) -> None:
    assert parse_region(text) == region


@pytest.mark.parametrize("text", ["", "1:2", "1,2", "1:2:3,4:5", "-1:2,3:4", "a:b,c:d", "1:2,3:4,5:6"])
def test_what_is_no_region_is_refused(text: str) -> None:
    with pytest.raises(ScanError, match="a region is written ROW0:ROW1,COL0:COL1, such as"):
        parse_region(text)


@pytest.mark.parametrize(
    "scan",
    [
        SQUARE, HEXAGONAL, replace(HEXAGONAL, alternating=True), replace(HEXAGONAL, first_shifted=True),
        replace(HEXAGONAL, alternating=True, first_shifted=True), replace(SQUARE, step_um=(0.0, 0.0)),
        replace(HEXAGONAL, step_um=(0.0, 0.0)),
    ],
    ids=["square", "hexagonal", "alternating", "shifted first", "both", "no step", "hexagonal, no step"],
)  # fmt: skip
@pytest.mark.parametrize("rows", [(0, 7), (1, 4), (2, 3)])
@pytest.mark.parametrize("cols", [(0, 9), (3, 9), (2, 6)])
@pytest.mark.parametrize("every", [1, 2])
def test_a_part_has_the_points_of_the_whole(
    scan: Scan, rows: tuple[int, int], cols: tuple[int, int], every: int
) -> None:
    every = every if scan.grid == "square" else 1  # more is refused
    part = Part(scan.nav_shape, rows, cols, every)
    cut = part.cut(scan)
    inside = np.zeros(scan.nav_shape, bool)
    inside[rows[0] : rows[1] : every, cols[0] : cols[1] : every] = True
    wanted = np.flatnonzero(inside[scan.exists()])
    assert_array_equal(part.number(scan, np.arange(cut.total)), wanted)
    x, y = part.place(*cut.positions_um(), cut)
    chosen = scan.exists() & inside
    for own, whole in zip((x, y), scan.positions_um(), strict=True):
        assert_allclose(own[cut.exists()], whole[chosen], atol=1e-12)


def test_what_is_no_part_is_refused() -> None:
    for region in (((3, 3), (0, 9)), ((0, 8), (0, 9)), ((0, 7), (9, None)), ((5, 2), (0, 1))):
        with pytest.raises(ScanError, match=r"a region of a map with \d (rows|columns) lies within 0:\d; got"):
            choose_part(SQUARE.nav_shape, region, None)
    with pytest.raises(ScanError, match="every 1st point or fewer are taken; got every 0"):
        choose_part(SQUARE.nav_shape, None, 0)
    with pytest.raises(ScanError, match="of a hexagonal grid every point is taken: leave out --every"):
        Part((7, 9), (0, 7), (0, 9), 2).cut(HEXAGONAL)
    with pytest.raises(ScanError, match="the last column of a hexagonal grid is not a grid of its own"):
        Part((7, 9), (0, 7), (8, 9)).cut(replace(HEXAGONAL, alternating=True))
    assert choose_part(SQUARE.nav_shape, ((0, None), (0, 9)), 1) is None


def test_a_part_of_a_file_is_read(tmp_path: Path) -> None:
    patterns = make_patterns(63)
    scan = write_up(tmp_path / "a.up2", patterns, Header(nav_shape=(7, 9), step_um=(0.5, 1.5)), cut=40 * 9 * 2)
    with pytest.warns(UserWarning, match="holds 45 of the 63"):
        whole = FileSource(scan)
    part = choose_part(whole.scan.nav_shape, ((2, None), (1, 8)), 2)
    assert part is not None
    assert str(part) == "rows 2:7 and columns 1:8 of 7×9, one of 2 along each"
    source = PartSource(whole, part)
    assert (source.scan.nav_shape, source.scan.step_um, source.available) == ((3, 4), (1.0, 3.0), 8)
    claim = source.claim(20)
    assert claim is not None
    out = np.empty((8, 4, 5), np.uint16)
    source.read(claim, 0, out)
    assert_array_equal(out, patterns.reshape(7, 9, 4, 5)[2:5:2, 1:8:2].reshape(8, 4, 5))
    with pytest.raises(ScanError, match="holds 45 patterns, none of them in rows 6:7"):
        PartSource(whole, Part((7, 9), (6, 7), (0, 9)))
    with pytest.raises(ScanError, match="is a map of 7×9; the part was one of 8×9"):
        PartSource(whole, Part((8, 9), (6, 7), (0, 9)))
