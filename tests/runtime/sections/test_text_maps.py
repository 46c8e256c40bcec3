"""Maps in text: read as they were written, with what was not indexed, and refused where they are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from map_files import angles_of, blocks, write_ang_map, write_ctf_map

from microrun.runtime.errors import SectionsError
from microrun.runtime.sections.text_maps import read_ang, read_ctf

GRAIN = blocks(6, 8, 3)
GRAIN[2, 1:4] = -1  # one of each of OIM's ways to say so


@pytest.mark.parametrize("columns", [8, 10, 13])
def test_ang_of_any_number_of_columns(tmp_path: Path, columns: int) -> None:
    found = read_ang(write_ang_map(tmp_path / "a.ang", GRAIN, 0.5, columns))
    np.testing.assert_array_equal(found.phase < 0, GRAIN < 0)
    np.testing.assert_allclose(found.euler[GRAIN >= 0], angles_of(GRAIN)[GRAIN >= 0])
    assert found.step_um == (0.5, 0.5)


@pytest.mark.parametrize("comma", [False, True])
def test_ctf_in_degrees_with_points_or_commas(tmp_path: Path, comma: bool) -> None:
    found = read_ctf(write_ctf_map(tmp_path / "a.ctf", GRAIN, 1.5, comma=comma))
    np.testing.assert_array_equal(found.phase < 0, GRAIN < 0)
    np.testing.assert_allclose(found.euler, angles_of(GRAIN), atol=2e-6)
    assert found.step_um == (1.5, 1.5)


def test_orix_reads_the_same(tmp_path: Path) -> None:
    from orix.io import load

    path = write_ang_map(tmp_path / "a.ang", np.maximum(GRAIN, 0))
    path.write_text(path.read_text("latin-1").encode("ascii", "ignore").decode())  # orix knows UTF-8 only
    theirs = load(path)
    np.testing.assert_allclose(read_ang(path).euler.reshape(-1, 3), theirs.rotations.to_euler(), atol=1e-4)


def test_the_companions_of_other_tests(tmp_path: Path) -> None:
    from write_ang import random_angles, write_ang

    found = read_ang(write_ang(tmp_path / "a.ang", (4, 5), missing=[3]))
    np.testing.assert_allclose(found.euler.reshape(-1, 3), random_angles(20))
    assert np.flatnonzero(found.phase < 0).tolist() == [3]
    with pytest.raises(SectionsError, match="hexagonal grid"):
        read_ang(write_ang(tmp_path / "b.ang", (4, 5), hexagonal=True))


def _drop_last(text: str) -> str:
    return text[: text.rstrip().rindex("\n")]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop_last, "rows of equal length"),
        (lambda text: text.replace("Symmetry              43", "Symmetry              62"), "has symmetry 62"),
        (lambda text: text.replace("900.00000", "many", 1), "expected columns phi1, Phi, phi2"),
        (lambda text: text.replace("900.00000", "nan", 1), "not all of its numbers are finite"),
        (lambda text: text[: text.rindex("#")], "contains no points"),
        (lambda text: "", "contains no points"),
        (lambda text: "a picture\nof something\n", "expected columns"),
        (lambda text: text.replace("  1.00000  0.00000  900", "  1.50000  0.00000  900"), "no square grid"),
    ],
)
def test_ang_that_are_no_maps(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    path = write_ang_map(tmp_path / "a.ang", GRAIN)
    path.write_text(damage(path.read_text("latin-1")), "latin-1")
    with pytest.raises(SectionsError, match=message) as caught:
        read_ang(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("\tEuler2", "\tAngle"), "no line has the columns"),
        (lambda text: text.replace("Iron fcc\t11", "Iron fcc\t9"), "phase 1 has symmetry 9"),
        (_drop_last, "rows of equal length"),
        (lambda text: "", "no line has the columns"),
    ],
)
def test_ctf_that_are_no_maps(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    path = write_ctf_map(tmp_path / "a.ctf", GRAIN)
    path.write_text(damage(path.read_text("cp1252")), "cp1252")
    with pytest.raises(SectionsError, match=message):
        read_ctf(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for read in (read_ang, read_ctf):
        with pytest.raises(SectionsError, match="cannot be read"):
            read(tmp_path / "none")
