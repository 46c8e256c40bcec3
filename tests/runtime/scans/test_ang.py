"""The grid and the pattern centre that a companion .ang file states."""

from __future__ import annotations

from pathlib import Path

import pytest

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.ang import AngGrid, read_ang_grid, read_ang_header

TEXT = """\
# HEADER: Start
# TEM_PIXperUM          1.000000
# x-star                0.413900
# Phase 1
# MaterialName   Nickel
# LatticeConstants 3.520 3.520 3.520  90.000  90.000  90.000
#
# GRID: {grid}
# XSTEP: 1.500000
# YSTEP: 1.299038
# NCOLS_ODD: {odd}
# NCOLS_EVEN: {even}
# NROWS: 55
#
# OPERATOR:   someone: else
# HEADER: End
  4.71239  0.12345  1.57080      0.00000      0.00000  100.0  0.900  1  1  1.000
"""


def write_ang(path: Path, grid: str = "SqrGrid", odd: object = 75, even: object = 75) -> Path:
    path.write_text(TEXT.format(grid=grid, odd=odd, even=even))
    return path


def test_a_square_grid(tmp_path: Path) -> None:
    found = read_ang_grid(write_ang(tmp_path / "a.ang"))
    assert found == AngGrid((55, 75), (1.5, 1.299038), "square", True)


@pytest.mark.parametrize(("even", "full_rows"), [(75, True), (74, False)])
def test_a_hexagonal_grid(tmp_path: Path, even: int, full_rows: bool) -> None:
    found = read_ang_grid(write_ang(tmp_path / "a.ang", "HexGrid", even=even))
    assert found == AngGrid((55, 75), (1.5, 1.299038), "hexagonal", full_rows)


def test_other_line_ends_and_letters_are_fine(tmp_path: Path) -> None:
    path = write_ang(tmp_path / "a.ang")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").replace(b"someone", b"M\xfcller"))
    assert read_ang_grid(path) == AngGrid((55, 75), (1.5, 1.299038), "square", True)


def test_only_the_header_is_read(tmp_path: Path) -> None:
    path = write_ang(tmp_path / "a.ang")
    path.write_text(path.read_text() + "# NROWS: 7\n")
    found = read_ang_grid(path)
    assert found is not None
    assert found.nav_shape == (55, 75)


def test_no_file_is_no_grid(tmp_path: Path) -> None:
    assert read_ang_grid(tmp_path / "a.ang") is None


@pytest.mark.parametrize("line", ["GRID", "XSTEP", "YSTEP", "NCOLS_ODD", "NCOLS_EVEN", "NROWS"])
def test_a_header_without_a_grid_is_refused(tmp_path: Path, line: str) -> None:
    path = write_ang(tmp_path / "a.ang")
    path.write_text("".join(text for text in path.read_text().splitlines(True) if not text.startswith(f"# {line}:")))
    with pytest.raises(ScanError, match=line) as caught:
        read_ang_grid(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 40, b"# NROWS: many\n", b"no header\n# NROWS: 55\n"])
def test_something_else_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ang"
    path.write_bytes(content)
    with pytest.raises(ScanError, match="states no complete grid") as caught:
        read_ang_grid(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("odd", ["seventy", "7.5", ""])
def test_a_number_that_is_none_is_refused(tmp_path: Path, odd: str) -> None:
    with pytest.raises(ScanError, match="states no complete grid"):
        read_ang_grid(write_ang(tmp_path / "a.ang", odd=odd))


# --- pattern centre

CENTRE = "# x-star                0.413900\n# y-star                0.729100\n# z-star                0.486200\n"


@pytest.mark.parametrize(
    "text",
    [
        CENTRE,
        CENTRE.replace("\n", "\r\n"),
        CENTRE.replace("-star   ", "-star:  ").upper(),
        "# OPERATOR: M\xfcller\n" + CENTRE + "  4.7 0.1 1.5\n" + CENTRE.replace("0.4139", "9.9999"),
    ],
    ids=["OIM", "Windows", "colons", "only the header"],
)
def test_a_pattern_centre_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.ang").write_bytes(text.encode("latin-1"))
    assert read_ang_header(tmp_path / "a.ang").pattern_centre == (0.4139, 0.7291, 0.4862)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT,
        "no header\n" + CENTRE,
        CENTRE.replace("0.4139", "unknown"),
        CENTRE.replace("0.4862", "nan"),
        "# x-star 0.000000\n# y-star 0.000000\n# z-star 0.000000\n",
    ],
    ids=["nothing", "x only", "no header", "a word", "not a number", "zeros"],
)
def test_no_pattern_centre_is_stated(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.ang").write_text(text)
    assert read_ang_header(tmp_path / "a.ang").pattern_centre is None


@pytest.mark.parametrize("number", ["9" * 5000, "²", "-"])
def test_a_phase_whose_number_is_none_is_no_phase(tmp_path: Path, number: str) -> None:
    path = tmp_path / "a.ang"
    path.write_text(f"# Phase {number}\n# hklFamilies {number} 1 1 1\n# NROWS: 3\n", encoding="latin-1")
    header = read_ang_header(path)
    assert not header.phases and header.entries["nrows"] == "3"
