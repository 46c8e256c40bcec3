"""Points of mixed patterns at boundaries go to the segment that they are most like; what may be a particle stays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from microrun.runtime.maps.analysis import choose_count
from microrun.runtime.maps.speckles import LEAST_POINTS, Slab, absorb_speckles
from microrun.runtime.scans.lattice import connect, neighbour_pairs
from microrun.runtime.scans.scan import Scan


def absorb(values: np.ndarray, rows_at_once: int = 1 << 20) -> tuple[np.ndarray, int]:
    """Segments of equal values, distances their differences; NaN is missing."""
    scan = Scan(values.shape, (8, 8))
    pairs, flat = neighbour_pairs(scan), values.ravel()
    apart = np.abs(flat[pairs[:, 0]] - flat[pairs[:, 1]])
    segments = connect(pairs[apart == 0], ~np.isnan(values))

    def slabs() -> Iterator[Slab]:
        for first in range(0, len(pairs), rows_at_once):
            here = slice(first, first + rows_at_once)
            yield 2, pairs[here] - 2, apart[here]

    return absorb_speckles(segments, slabs)


def test_a_point_between_two_grains_goes_to_the_one_that_it_is_like() -> None:
    values = np.array([[0, 0, 0, 7, 9, 9], [0, 0, 0, 9, 9, 9], [0, 0, 0, 9, 9, 9]], float)
    segments, absorbed = absorb(values)
    assert_array_equal(segments, values >= 7)
    assert_array_equal(absorb(np.where(values == 7, 3, values))[0], values == 9)
    assert absorbed == 1


def test_a_particle_inside_a_grain_stays() -> None:
    values = np.zeros((5, 5))
    values[2, 2] = 4
    segments, absorbed = absorb(values)
    assert_array_equal(segments, values == 4)
    assert absorbed == 0


def test_a_particle_of_two_unlike_points_stays_too() -> None:
    values = np.zeros((5, 6))
    values[2, 2:4] = 4, 7
    segments, absorbed = absorb(values)
    assert (segments.max(), absorbed) == (2, 0)


def test_a_pore_between_grains_is_no_line_of_speckles() -> None:
    values = np.zeros((12, 20))
    values[:, 14:] = 9
    values[:, 6:14] = np.random.default_rng(0).uniform(20, 1000, (12, 8))
    assert absorb(values)[1] == 0


def test_a_row_of_mixed_points_is_absorbed_from_its_ends() -> None:
    values = np.repeat([[0, 1, 2, 9]], 4, axis=0).astype(float)
    values[:, 1] += 0.01 * np.arange(4)
    values[:, 2] -= 0.01 * np.arange(4)
    values = np.pad(values, ((0, 0), (2, 2)), "edge")
    segments, absorbed = absorb(values)
    assert segments.max() == 1
    assert absorbed == 8


@given(st.integers(0, 10_000), st.integers(1, 40))
def test_nothing_is_lost_and_slabs_do_not_matter(seed: int, rows_at_once: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([0.0, 1.0, 3.0, np.nan], (6, 7), p=[0.4, 0.4, 0.15, 0.05])
    segments, absorbed = absorb(values)
    assert_array_equal(segments < 0, np.isnan(values))
    assert_array_equal(absorb(values, rows_at_once)[0], segments)
    numbers, first = np.unique(segments[segments >= 0], return_index=True)
    assert_array_equal(numbers, np.arange(len(numbers)))
    assert (np.diff(first) > 0).all()
    pairs = neighbour_pairs(Scan((6, 7), (8, 8)))
    before = connect(pairs[values.ravel()[pairs[:, 0]] == values.ravel()[pairs[:, 1]]], ~np.isnan(values))
    assert before.max() - segments.max() == absorbed
    large = np.bincount(before[before >= 0], minlength=before.max() + 1) >= LEAST_POINTS
    for number in np.flatnonzero(large):
        assert len(np.unique(segments[before == number])) == 1


def test_the_number_of_clusters_is_that_of_the_groups() -> None:
    rng = np.random.default_rng(0)
    for groups in (2, 5, 9):
        centres = 20 * rng.standard_normal((groups, 6))
        values = np.concatenate([centre + rng.standard_normal((60, 6)) for centre in centres])
        assert choose_count(values) == groups
