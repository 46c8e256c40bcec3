"""Grains of sections: filled, connected, without the smallest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from section_sets import draw_cells, make_set
from skimage.measure import label

from microrun.runtime.sections.grains import fill_nearest, find_grains


def test_grains_are_those_of_skimage() -> None:
    cells = draw_cells((4, 40, 50), n_seeds=25)
    grains = find_grains(make_set(cells), by_id=False, smallest_um=1e-3)
    assert grains.n_removed == 0
    for number, section in enumerate(cells):
        theirs = label(section.astype(int), background=-1, connectivity=1)
        mine = grains.labels[number]
        pairs = np.unique(np.stack([theirs.ravel(), mine.ravel()]), axis=1)
        assert pairs.shape[1] == theirs.max() == (grains.section == number).sum()
    np.testing.assert_array_equal(np.unique(grains.labels), np.arange(len(grains.section)))


def test_small_grains_join_the_longest_border() -> None:
    cells = np.zeros((1, 10, 10), np.int8)
    cells[:, :, 5:] = 1
    cells[0, 4, 4:7] = 2  # three cells: one on the side of grain 0, two on the side of grain 1
    cells[0, 8, 0] = cells[0, 8, 1] = cells[0, 9, 0] = cells[0, 9, 1] = 3  # four cells are large enough at 2 µm
    grains = find_grains(make_set(cells), by_id=False)
    assert (grains.n_removed, grains.removed[0]) == (1, 0.03)
    assert len(grains.section) == 3
    assert (grains.labels[0, 4, 4:7] == grains.labels[0, 0, 9]).all()


def test_the_smallest_size_is_a_circle_in_micrometres() -> None:
    cells = np.zeros((1, 12, 12), np.int8)
    cells[0, 2:5, 2:6] = 1  # 12 cells of 1 µm², less than the 12.57 of a circle of 4 µm
    cells[0, 8:11, 2:6], cells[0, 11, 2] = 2, 2
    grains = find_grains(make_set(cells, step_um=1.0), by_id=False)
    assert (grains.n_removed, len(grains.section)) == (1, 2)


def test_ids_part_grains_of_one_orientation() -> None:
    cells = np.zeros((1, 8, 8), np.int8)
    ids = np.zeros((1, 8, 8), np.int32)
    ids[:, :, 4:] = 7
    sections = make_set(cells, grain=ids)
    assert len(find_grains(sections, by_id=False).section) == 1
    assert len(find_grains(sections, by_id=True).section) == 2


def test_cells_without_orientation_take_the_nearest_and_are_counted() -> None:
    cells = draw_cells((2, 20, 20), n_seeds=5)
    whole = find_grains(make_set(cells), by_id=False)
    holed = cells.copy()
    holed[0, 3, 4:6] = -1
    grains = find_grains(make_set(holed), by_id=False)
    np.testing.assert_allclose(grains.filled, [2 / 400, 0])
    assert (grains.labels >= 0).all()
    assert (grains.labels != whole.labels).mean() < 0.01


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_filling_takes_values_at_the_least_distance(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(-3, 4, (7, 9)).clip(-1)
    values[3, 3] = 2
    filled = fill_nearest(values)
    rows, cols = np.nonzero(values >= 0)
    for row, col in np.ndindex(values.shape):
        distance = (rows - row) ** 2 + (cols - col) ** 2
        nearest = distance == distance.min()
        assert filled[row, col] in values[rows[nearest], cols[nearest]]


@pytest.mark.parametrize("step", [0.5, 2.0, 5.0])
def test_renumbering_orientations_changes_no_grain(step: float) -> None:
    cells = draw_cells((3, 30, 30), n_seeds=40)
    moved = np.random.default_rng(1).permutation(20).astype(np.int8)[cells]
    one, other = (find_grains(make_set(each, step_um=step), by_id=False) for each in (cells, moved))
    np.testing.assert_array_equal(one.labels, other.labels)
