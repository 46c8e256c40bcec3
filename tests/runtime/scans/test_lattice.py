"""Neighbours, against all pairs of points by their positions; regions, against SciPy's labels and a flood."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import ndimage

from microrun.runtime.scans.lattice import connect, mean_over_pairs, neighbour_pairs
from microrun.runtime.scans.scan import Scan

HEIGHT = np.sqrt(3) / 2  # of a row of equilateral triangles
GRIDS = ("square", "hexagonal", "alternating", "first shifted", "short first")
shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))
grids = st.sampled_from(GRIDS)


def make_scan(grid: str, shape: tuple[int, int]) -> Scan:
    """Scan whose nearest neighbours are all at a distance of one."""
    if grid == "square":
        return Scan(shape, (8, 8), step_um=(1.0, 1.0))
    alternating, first_shifted = grid in ("alternating", "short first"), grid in ("first shifted", "short first")
    return Scan(shape, (8, 8), "uint16", "hexagonal", (1.0, HEIGHT), alternating, first_shifted)


def points_at_one_step(scan: Scan) -> set[tuple[int, int]]:
    """Look at all pairs of points, by their positions on the sample."""
    x, y = (values.ravel() for values in scan.positions_um())
    there = np.flatnonzero(scan.exists())
    return {
        (int(one), int(other))
        for one in there
        for other in there
        if one < other and abs(np.hypot(x[one] - x[other], y[one] - y[other]) - 1) < 1e-9
    }


def flood(linked: NDArray[np.int64], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Colour regions one after the other, from their first points on."""
    regions = np.full(valid.size, -1)
    for start in np.flatnonzero(valid):
        if regions[start] >= 0:
            continue
        number, waiting = regions.max() + 1, [int(start)]
        while waiting:
            point = waiting.pop()
            regions[point] = number
            beside = {int(b if a == point else a) for a, b in linked if point in (a, b)}
            waiting += [other for other in beside if valid.flat[other] and regions[other] < 0]
    return regions.reshape(valid.shape)


# --- pairs


@given(shapes, grids)
def test_neighbours_are_the_points_at_one_step(shape: tuple[int, int], grid: str) -> None:
    scan = make_scan(grid, shape)
    pairs = neighbour_pairs(scan)
    found = [(int(min(pair)), int(max(pair))) for pair in pairs]
    assert sorted(found) == sorted(points_at_one_step(scan))  # each once
    assert pairs.shape == (len(found), 2)
    assert pairs.dtype == np.int64


@pytest.mark.parametrize("grid", GRIDS)
def test_points_inside_have_all_their_neighbours(grid: str) -> None:
    expected = 4 if grid == "square" else 6
    counts = np.bincount(neighbour_pairs(make_scan(grid, (7, 8))).ravel(), minlength=56).reshape(7, 8)
    assert (counts[1:-1, 1:-2] == expected).all()


def test_points_without_a_pattern_have_no_neighbours() -> None:
    scan = make_scan("alternating", (5, 4))
    assert not np.isin(neighbour_pairs(scan), np.flatnonzero(~scan.exists())).any()


# --- means


@given(shapes, grids, st.integers(0, 99))
def test_means_are_those_of_all_pairs_of_a_point(shape: tuple[int, int], grid: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = neighbour_pairs(make_scan(grid, shape))
    values = rng.choice([0.5, 1.25, 3.0, np.nan, np.inf], len(pairs))
    expected = np.full(shape[0] * shape[1], np.nan)
    for point in range(expected.size):
        own = [value for value, pair in zip(values, pairs, strict=True) if point in pair and np.isfinite(value)]
        if own:
            expected[point] = sum(own) / len(own)
    assert_allclose(mean_over_pairs(values, pairs, shape), expected.reshape(shape), rtol=1e-12)


# --- regions


@given(shapes, grids, st.integers(0, 99), st.floats(0, 1))
def test_regions_are_those_of_a_flood(shape: tuple[int, int], grid: str, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    pairs = neighbour_pairs(make_scan(grid, shape))
    linked, valid = pairs[rng.random(len(pairs)) < share], rng.random(shape) < 0.8
    assert_array_equal(connect(linked, valid), flood(linked, valid))


@given(shapes, st.integers(0, 99), st.floats(0, 1))
def test_on_square_grids_regions_are_scipys(shape: tuple[int, int], seed: int, share: float) -> None:
    valid = np.random.default_rng(seed).random(shape) < share
    found = connect(neighbour_pairs(make_scan("square", shape)), valid)
    assert_array_equal(found, ndimage.label(valid)[0] - 1)
    assert found.dtype == np.int64


def test_points_that_nothing_links_are_regions_of_their_own() -> None:
    valid = np.array([[True, False, True], [True, True, False]])
    assert_array_equal(connect(np.empty((0, 2), np.int64), valid), [[0, -1, 1], [2, 3, -1]])


def test_where_nothing_is_valid_there_are_no_regions() -> None:
    pairs = neighbour_pairs(make_scan("hexagonal", (3, 4)))
    assert (connect(pairs, np.zeros((3, 4), bool)) == -1).all()
