"""Sections cut from maps: on cells of 2 µm, filled, with neighbours told apart."""

from __future__ import annotations

import numpy as np
import pytest
from map_files import blocks

from microrun.runtime.errors import SectionsError
from microrun.runtime.sections.cut_maps import choose_orientations, cut_map, resample
from microrun.runtime.sections.grain_map import GrainMap
from microrun.runtime.sections.section_set import PLANES


@pytest.mark.parametrize("step", [0.5, 1.0, 2.0, 3.0])
def test_cells_take_the_nearest_point(step: float) -> None:
    grain = blocks(60, 80, 7)
    cells, missing = resample(GrainMap(grain, (step, step)))
    assert cells.shape == (int(60 * step / 2), int(80 * step / 2))
    assert not missing.any()
    for row, col in ((0, 0), (5, 7), (cells.shape[0] - 1, cells.shape[1] - 1)):
        assert cells[row, col] == grain[int((row + 0.5) * 2 / step), int((col + 0.5) * 2 / step)]


def test_steps_may_differ() -> None:
    cells, _ = resample(GrainMap(blocks(40, 40, 5), (1.0, 4.0)))
    assert cells.shape == (80, 20)


def test_neighbours_differ_corners_too_and_grains_are_whole() -> None:
    grain = blocks(100, 100, 6)
    orientation = choose_orientations(grain, np.random.default_rng(0))
    for down, right in ((0, 1), (1, 0), (1, 1)):
        one, other = grain[: 100 - down, : 100 - right], grain[down:, right:]
        border = one != other
        assert (orientation[: 100 - down, : 100 - right] != orientation[down:, right:])[border].all()
    assert len(np.unique(grain * 20 + orientation)) == grain.max() + 1
    assert len(np.unique(orientation)) == 20


def test_maps_are_cut_side_by_side_and_the_rest_is_counted() -> None:
    grain = blocks(250, 420, 10)
    cut = cut_map(GrainMap(grain, (2.0, 2.0)), "across", "a", 0)
    assert cut.orientation.shape == cut.grain.shape == (8, 100, 100)
    np.testing.assert_array_equal(cut.grain[5], grain[100:200, 100:200])
    assert cut.left_over == pytest.approx(1 - 8e4 / grain.size)
    again, other = (cut_map(GrainMap(grain, (2.0, 2.0)), "across", "a", seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.orientation, cut.orientation)
    assert (other.orientation != cut.orientation).any()


def test_sections_begin_at_the_surface() -> None:
    grain = blocks(250, 200, 10)
    grain[:40] = -1
    along, across = (cut_map(GrainMap(grain, (2.0, 2.0)), plane, "a", 0) for plane in PLANES[::-1])
    assert along.grain.shape == (3, 64, 64)
    np.testing.assert_array_equal(along.grain[1], grain[40:104, 64:128])
    assert across.grain.shape == (4, 100, 100)
    np.testing.assert_array_equal(across.grain[0], grain[40:140, :100])


def test_what_is_not_indexed_is_filled_or_left_out() -> None:
    grain = blocks(100, 200, 10)
    grain[20:23, 30:50] = -1
    grain[:, 140:] = -1
    cut = cut_map(GrainMap(grain, (2.0, 2.0)), "across", "a", 0)
    assert (len(cut.grain), cut.unusable) == (1, 1)
    assert (cut.grain >= 0).all()
    with pytest.raises(SectionsError, match="more than half"):
        cut_map(GrainMap(grain[:, 100:], (2.0, 2.0)), "across", "a", 0)


def test_maps_smaller_than_a_section() -> None:
    with pytest.raises(SectionsError, match=r"a.ang: the map is 150×300 µm; a section across the tracks takes 200×200"):
        cut_map(GrainMap(blocks(300, 150, 10), (1.0, 1.0)), "across", "a.ang", 0)
