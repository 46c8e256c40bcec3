"""What is understood of the names of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.picture_names import NamedPictures, name_pictures


def named(folder: Path, *names: str) -> NamedPictures:
    for name in names:
        (folder / name).touch()
    return name_pictures(folder)


def test_a_number_counts_and_needs_no_zeros(tmp_path: Path) -> None:
    found = named(tmp_path, *(f"Probe 3 µm scan{number}.TIF" for number in range(1, 13)))
    assert found.names[1:3] == ["Probe 3 µm scan2.TIF", "Probe 3 µm scan3.TIF"]
    assert_array_equal(found.numbers, range(1, 13))
    assert (found.nav_shape, found.understood) == (None, "numbered 1 to 12, in scan order")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("r{row:02d}_c{col:03d}.tif", "named by row (3 to 5) and column (7 to 10)"),
        ("{row}_{col}.png", "named by row (3 to 5) and column (7 to 10)"),
        ("x{col}y{row}.bmp", "named by row (3 to 5) and column (7 to 10)"),
        ("Karte_Spalte-{col}_Zeile-{row}.tiff", "named by row (3 to 5) and column (7 to 10)"),
        ("{col}, row {row}.png", "named by row (3 to 5) and column (7 to 10)"),
        ("a20231201_r{row}c{col}_{time}.tif", "named by row (3 to 5) and column (7 to 10)"),
        ("x{x}y{y}.tif", "named by row (60 to 100 in steps of 20) and column (35 to 50 in steps of 5)"),
    ],
)
def test_row_and_column(tmp_path: Path, name: str, said: str) -> None:
    places = [(row, col) for row in (3, 4, 5) for col in (7, 8, 9, 10) if (row, col) != (4, 8)]
    fields = [{"row": row, "col": col, "x": 5 * col, "y": 20 * row, "time": 7 * row + col} for row, col in places]
    names = [name.format(**one) for one in fields]
    found = named(tmp_path, *reversed(names))
    assert (found.nav_shape, found.understood) == ((3, 4), said)
    assert_array_equal(found.numbers, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    assert found.names == names


def test_a_time_beside_the_number_does_not_matter(tmp_path: Path) -> None:
    found = named(tmp_path, *(f"{7 * number + number % 3:06d}_{number:04d}.png" for number in range(20)))
    assert found.understood == "numbered 0 to 19, in scan order"


def test_other_pictures_and_hidden_files_are_no_part_of_the_scan(tmp_path: Path) -> None:
    names = [f"scan{number}.tif" for number in range(9)]
    found = named(tmp_path, *names, "overview.tif", "scan8 - Kopie.tif", "._scan1.tif", "Thumbs.db", "notes1.txt")
    assert (found.names, found.others) == (names, ["overview.tif", "scan8 - Kopie.tif"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "is a folder without TIFF, PNG or BMP pictures"),
        (["a1.jpg", "a2.jpg"], "is a folder without TIFF, PNG or BMP pictures"),
        (["a.tif", "b.tif"], "are not one series: 1 are named like"),
        (["a1.tif", "a2.tif", "b1.tif", "b2.tif"], "are not one series: 2 are named like"),
        (["a1.tif", "a01.tif", "a2.tif"], r"a0?1\.tif and a0?1\.tif have the same place in the scan"),
        (["r1_c2.tif", "r01_c2.tif"], "have the same place"),
        (["a1_4.tif", "a2_3.tif", "a3_9.tif"], "tell different orders"),
        (["a1_1_7.tif", "a1_2_7.tif", "a2_1_7.tif", "a2_2_8.tif", "a2_2_9.tif"], "tell no order"),
        (["a1.tif", "a99999999.tif"], "are numbered 1 to 99999999, which does not count them"),
        (["a123456789012345678901234567890.tif", "a1.tif"], "not one series"),
        ([f"r{n * n * 7919 % 10007}_c{n * 104729 % 10007}.tif" for n in range(9)], "of which most are missing"),
    ],
)
def test_names_that_tell_nothing(tmp_path: Path, names: list[str], said: str) -> None:
    with pytest.raises(ScanError, match=said):
        named(tmp_path, *names)


@pytest.mark.parametrize(
    "positions",
    [
        ["x0.0y0.0", "x0.5y0.0", "x0.0y0.5", "x0.5y0.5"], ["Y 0,5 µm X 1,0 µm", "Y 0,5 µm X 1,5 µm"],
        ["x0y0", "x0.5y0", "x1y0", "x2y0", "x3y0"], ["x-10y0", "x-5y0"], ["x_-1_y_2", "x_0_y_2", "x_1_y_2"],
        ["y−2x0", "y−1x0"],
    ],
)  # fmt: skip
def test_positions_that_are_no_whole_numbers_are_refused(tmp_path: Path, positions: list[str]) -> None:
    with pytest.raises(ScanError, match=r"; decimal or negative positions are not understood: rename them by row and"):
        named(tmp_path, *(f"{position}.tif" for position in positions))


def test_decimals_that_are_the_same_in_all_names_tell_nothing(tmp_path: Path) -> None:
    found = named(tmp_path, *(f"x{col}.50y{row}.0.tif" for row in range(2) for col in range(3)))
    assert (found.nav_shape, found.numbers.tolist()) == ((2, 3), list(range(6)))
