"""Geometry of scans: totals, places, positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.scan import MAX_PATTERNS, MAX_SIDE, Scan, parse_grid, steps_of

SIDES = st.integers(1, 9)


def hexagonal(rows: int, cols: int, alternating: bool, first_shifted: bool = False) -> Scan:
    return Scan((rows, cols), (2, 2), grid="hexagonal", alternating=alternating, first_shifted=first_shifted)


@given(SIDES, SIDES, st.booleans(), st.booleans())
def test_patterns_fill_the_map_in_order(rows: int, cols: int, alternating: bool, first_shifted: bool) -> None:
    scan = hexagonal(rows, cols, alternating, first_shifted)
    places = scan.locate(np.arange(scan.total))
    assert_array_equal(places, np.nonzero(scan.exists()))
    assert scan.exists().sum() == scan.total


def test_alternating_rows_by_hand() -> None:
    scan = hexagonal(4, 3, alternating=True)
    assert scan.total == 4 * 3 - 2
    rows, cols = scan.locate(np.arange(10))
    assert_array_equal(rows, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3])
    assert_array_equal(cols, [0, 1, 2, 0, 1, 0, 1, 2, 0, 1])
    assert_array_equal(scan.exists()[:, 2], [True, False, True, False])


def test_a_shorter_first_row_by_hand() -> None:
    scan = hexagonal(3, 3, alternating=True, first_shifted=True)
    assert scan.total == 2 + 3 + 2
    rows, cols = scan.locate(np.arange(7))
    assert_array_equal(rows, [0, 0, 1, 1, 1, 2, 2])
    assert_array_equal(cols, [0, 1, 0, 1, 2, 0, 1])
    assert_array_equal(scan.exists()[:, 2], [False, True, False])
    x, _ = scan.positions_um()
    assert_array_equal(x[:, 0], [0.5, 0, 0.5])


@pytest.mark.parametrize(
    ("step_um", "spacing"), [((0.0, 0.0), (1.0, 0.75**0.5)), ((0.25, 0.2), (0.25, 0.2))], ids=["unknown", "stated"]
)
def test_neighbours_on_a_hexagonal_grid_are_a_step_apart(
    step_um: tuple[float, float], spacing: tuple[float, float]
) -> None:
    scan = Scan((3, 4), (2, 2), grid="hexagonal", step_um=step_um)
    assert scan.spacing == pytest.approx(spacing)
    x, y = scan.positions_um()
    if step_um == (0, 0):
        assert np.hypot(x[1, 0] - x[0, 0], y[1, 0] - y[0, 0]) == pytest.approx(1)
    assert steps_of(0.5, "hexagonal") == pytest.approx((0.5, 0.4330127)) and steps_of(0.5, "square") == (0.5, 0.5)


def test_full_rows_are_counted_like_square_ones() -> None:
    full, square = hexagonal(4, 3, alternating=False), Scan((4, 3), (2, 2))
    assert full.total == square.total == 12
    assert_array_equal(full.locate(np.arange(12)), square.locate(np.arange(12)))


def test_single_patterns_are_placed_far_into_large_scans() -> None:
    scan = Scan((1 << 16, 1 << 16), (480, 480))
    last = np.array([scan.total - 1])
    assert_array_equal(np.ravel(scan.locate(last)), [(1 << 16) - 1] * 2)
    assert scan.pattern_bytes * scan.total == 480 * 480 * 2 << 32


def test_positions_of_a_square_grid() -> None:
    x, y = Scan((2, 3), (2, 2), step_um=(0.5, 2.0)).positions_um()
    assert_array_equal(x, [[0, 0.5, 1], [0, 0.5, 1]])
    assert_array_equal(y, [[0, 0, 0], [2, 2, 2]])


def test_odd_rows_of_a_hexagonal_grid_are_shifted() -> None:
    x, y = Scan((3, 2), (2, 2), grid="hexagonal", step_um=(2.0, 1.5)).positions_um()
    assert_array_equal(x, [[0, 2], [1, 3], [0, 2]])
    assert_array_equal(y, [[0, 0], [1.5, 1.5], [3, 3]])


def test_unknown_steps_count_as_one() -> None:
    x, y = Scan((2, 2), (2, 2)).positions_um()
    assert_array_equal(x, [[0, 1], [0, 1]])
    assert_array_equal(y, [[0, 0], [1, 1]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dtype": "float32"}, "uint8 or uint16; got float32"),
        ({"grid": "triangular"}, "square or hexagonal; got triangular"),
        ({"sig_shape": (0, 4)}, r"got \(0, 4\)"),
        ({"sig_shape": (4, MAX_SIDE + 1)}, f"1 to {MAX_SIDE} rows"),
        ({"nav_shape": (0, 4)}, "got 0×4"),
        ({"nav_shape": (-1, -4)}, "got -1×-4"),
        ({"nav_shape": (MAX_PATTERNS, 2)}, f"at most {MAX_PATTERNS}"),
        ({"alternating": True}, "rows of a square grid are equally long"),
        ({"first_shifted": True}, "none is shifted"),
        ({"step_um": (-1.0, 1.0)}, "finite and not negative"),
        ({"step_um": (1.0, float("nan"))}, "finite and not negative"),
        ({"step_um": (float("inf"), 1.0)}, "finite and not negative"),
    ],
)
def test_senseless_geometry_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ScanError, match=message):
        Scan(**{"nav_shape": (2, 3), "sig_shape": (4, 4), **values})


@pytest.mark.parametrize("text", ["55x75", "55X75", "55×75", " 55 x 75 "])
def test_grids_are_read_as_rows_by_columns(text: str) -> None:
    assert parse_grid(text) == (55, 75)


@pytest.mark.parametrize("text", ["", "x", "55", "55x", "x75", "5x5x5", "-5x5", "5.0x5", "²x5", "55,75"])
def test_other_grids_are_refused(text: str) -> None:
    with pytest.raises(ScanError, match="ROWSxCOLS") as caught:
        parse_grid(text)
    assert repr(text) in str(caught.value)
