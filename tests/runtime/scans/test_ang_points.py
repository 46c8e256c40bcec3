"""Points of .ang files of all versions: where they lie, what is indexed, of which phase; against orix and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.ang_points import read_ang_map

PHASE = """\
# Phase {number}
# MaterialName  \t{name}
# Symmetry              {symmetry}
# LatticeConstants      3.520 3.520 3.520  90.000  90.000  90.000
# hklFamilies   \t 1  1  1 1 8.469246 1
#
"""
GRID = """\
# GRID: {kind}
# XSTEP: {step:.6f}
# YSTEP: {step:.6f}
# NCOLS_ODD: {odd}
# NCOLS_EVEN: {even}
# NROWS: {rows}
#
# OPERATOR: \tJ. Müßig
#
"""
NICKEL = PHASE.format(number=1, name="Nickel", symmetry=43)
TITANIUM = PHASE.format(number=2, name="Titanium (Alpha)", symmetry=62)
MORE = [0, 1.0, 7.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0]  # detector signal, fit, EDS, PRIAS
LOST = (12.56637, 12.56637, 12.56637)


def angles_of(count: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    return np.round(rng.uniform((0.1, 0.1, 0.1), (2 * np.pi, np.pi, 2 * np.pi), (count, 3)), 5)


def write(
    path: Path, rows: int = 4, cols: int = 5, *, columns: int = 10, step: float = 0.5, decimals: int = 5,
    missing: tuple[int, ...] = (), phase: NDArray[np.int64] | None = None, phases: str = NICKEL,
) -> Path:  # fmt: skip
    """Write a square map as OIM does, line by line."""
    lines = []
    for n, angles in enumerate(angles_of(rows * cols)):
        place = [f"{value * step:.{decimals}f}" for value in (n % cols, n // cols)]
        lost = n in missing
        own = 0 if phase is None else phase.flat[n]
        rest = [900.0, -1.0 if lost else 0.8, own, *MORE][: columns - 5]
        euler = LOST if lost else angles
        lines.append("  ".join([*(f"{a:.5f}" for a in euler), *place, *(f"{v:g}" for v in rest)]))
    head = phases + GRID.format(kind="SqrGrid", step=step, odd=cols, even=cols, rows=rows)
    path.write_bytes((head + "\n".join(lines) + "\n").encode("latin-1"))
    return path


@pytest.mark.parametrize("columns", [8, 9, 10, 11, 12, 13, 14, 15, 16, 20])
def test_points_that_are_not_indexed_are_told_in_every_version(tmp_path: Path, columns: int) -> None:
    found = read_ang_map(write(tmp_path / "a.ang", columns=columns, missing=(0, 7)))
    assert np.flatnonzero(found.phase < 0).tolist() == [0, 7]
    valid = found.phase >= 0
    assert_array_equal(found.euler[valid], angles_of(20).reshape(4, 5, 3)[valid])
    assert found.symmetries == {1: "43"}


def test_ten_columns_are_those_of_orix(tmp_path: Path) -> None:
    from orix.io import load

    path = write(tmp_path / "a.ang", 6, 7, missing=(3, 4, 30))
    found = read_ang_map(path)
    path.write_text(path.read_text("latin-1").encode("ascii", "ignore").decode())  # orix knows UTF-8 only
    theirs = load(str(path))
    assert theirs.shape == found.phase.shape
    assert_array_equal(theirs.is_indexed, found.phase.ravel() >= 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 60)),
    step=st.sampled_from([1 / 3, 2 / 3, 0.05, 0.07, 1 / 7, 1.25, 12.5]),
    decimals=st.integers(3, 6),
)
def test_rounded_positions_lie_on_their_grid(
    tmp_path: Path, shape: tuple[int, int], step: float, decimals: int
) -> None:
    found = read_ang_map(write(tmp_path / "a.ang", *shape, step=step, decimals=decimals))
    assert found.grid.nav_shape == shape
    assert_array_equal(found.euler.reshape(-1, 3), angles_of(shape[0] * shape[1]))
    for count, known in zip(shape[::-1], found.grid.step_um, strict=True):
        assert known == (0 if count == 1 else pytest.approx(step, abs=10.0**-decimals / (count - 1)))


def test_a_wide_map_with_a_step_of_a_third(tmp_path: Path) -> None:
    assert read_ang_map(write(tmp_path / "a.ang", 3, 234, step=1 / 3, decimals=3)).phase.shape == (3, 234)


# --- phases


def test_each_point_has_its_phase(tmp_path: Path) -> None:
    phase = np.where(np.arange(20) % 3, 2, 1)
    found = read_ang_map(write(tmp_path / "a.ang", phase=phase, phases=NICKEL + TITANIUM, missing=(5,)))
    assert_array_equal(found.phase.ravel(), np.where(np.arange(20) == 5, -1, phase))
    assert found.symmetries == {1: "43", 2: "62"}
    assert [found.header.phases[n].name for n in (1, 2)] == ["Nickel", "Titanium (Alpha)"]
    assert found.header.phases[1].families == ((1, 1, 1),)


def test_only_phases_that_occur_count(tmp_path: Path) -> None:
    found = read_ang_map(write(tmp_path / "a.ang", phase=np.full(20, 2), phases=NICKEL + TITANIUM))
    assert found.symmetries == {2: "62"}


def test_phases_that_the_header_does_not_name_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ang", phase=np.full(20, 3), phases=NICKEL + TITANIUM)
    with pytest.raises(ScanError, match="has points of phase 3; its header names phases 1, 2"):
        read_ang_map(path)
    assert read_ang_map(write(path, phases="")).symmetries == {0: None}


def test_the_cube_orientation_is_one_where_it_was_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ang", 1, 2)
    head = "".join(line for line in path.read_text("latin-1").splitlines(True) if line.startswith("#"))
    path.write_text(head + "0 0 0 0.0 0.0 1 0.9 0\n0 0 0 0.5 0.0 1 0.0 0\n", "latin-1")
    assert_array_equal(read_ang_map(path).phase, [[1, -1]])


# --- what is no map


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("NROWS: 4", "NROWS: 5", "its header states NROWS 5; its points have 4: was it cut"),
        ("NCOLS_ODD: 5", "NCOLS_ODD: 6", "its header states NCOLS_ODD 6; its points have 5"),
        ("  1.00000  0.50000  900", "  1.40000  0.50000  900", "its points lie on no square grid"),
        ("  1.50000  900", "  2.50000  900", "its points lie on no square grid"),
        ("SqrGrid", "HexGrid", "rows of a hexagonal grid lie half a step"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = write(tmp_path / "a.ang")
    text = path.read_text("latin-1")
    assert old in text
    path.write_text(text.replace(old, new), "latin-1")
    with pytest.raises(ScanError, match=said) as caught:
        read_ang_map(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [4, 30, 400])
def test_files_that_were_cut_are_refused(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path / "a.ang", columns=13)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ScanError, match=r"columns|rows of equal length"):
        read_ang_map(path)
