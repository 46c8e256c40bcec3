"""Figures of sections: what they show, with its units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from section_sets import draw_cells, make_set

from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.sections import (
    draw_process_map,
    draw_representatives,
    draw_section_histograms,
    draw_trends,
    nearest_to_mean,
)
from microrun.runtime.progress import finish
from microrun.runtime.sections.measures import MEASURES
from microrun.runtime.sections.orientations import paint_orientations
from microrun.runtime.sections.report import Report, report_sections
from microrun.runtime.sections.section_set import SectionSet


def make_sections(powers: int, speeds: int, each: int = 2, seed: int = 0) -> SectionSet:
    power, speed = (grid.ravel().repeat(each) for grid in np.meshgrid(100.0 + 10 * np.arange(powers),
                                                                       0.5 + 0.1 * np.arange(speeds)))  # fmt: skip
    return make_set(draw_cells((len(power), 30, 30), 30, seed), power_w=power, speed_m_s=speed)


@pytest.fixture(scope="module")
def compared() -> Report:
    return finish(report_sections(make_sections(2, 2), make_sections(2, 2, seed=9), hatch_um=30.0))


def test_representatives_stand_above_those_of_the_reference(compared: Report, tmp_path: Path) -> None:
    figure = draw_representatives(compared)
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown[:4]] == [str(one.condition) for one in compared.conditions]
    assert shown[0].get_ylabel() == "sections: simulation"
    first = compared.own.conditions()[compared.conditions[0].condition]
    sections = compared.own.sections
    number = nearest_to_mean(compared.own, first)
    assert number in first
    expected = paint_orientations(sections.orientation[number], sections.euler)
    assert_allclose(shown[0].images[0].get_array(), expected)
    assert shown[0].images[0].get_extent() == [0, 60, 60, 0]
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_process_map_has_power_upwards_and_speed_to_the_right() -> None:
    figure = draw_process_map(make_sections(3, 2))
    labels = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert labels == ["120 W", "110 W", "100 W"]
    assert [axis.get_xlabel() for axis in figure.axes if axis.get_xlabel()] == ["0.5 m/s", "0.6 m/s"]
    assert "20 µm" in [text.get_text() for text in figure.axes[0].texts]


def test_scattered_conditions_lie_in_the_plane() -> None:
    power, speed = np.array([100, 120, 140, 160, 200, 160.5]), np.array([0.5, 0.9, 0.6, 1.0, 0.7, 1.0001])
    figure = draw_process_map(make_set(draw_cells((6, 20, 20)), power_w=power, speed_m_s=speed))
    plane = figure.axes[0]
    assert (plane.get_xlabel(), plane.get_ylabel()) == ("speed, m/s", "power, W")
    assert len(plane.child_axes) == 5
    assert plane.get_title() == "1 of 6 conditions, too near to another, are points"


def test_a_single_condition_shows_its_sections() -> None:
    figure = draw_process_map(make_sections(1, 1, each=3))
    assert sum(bool(axis.images) for axis in figure.axes) == 3
    assert figure.get_suptitle() == "100 W, 0.5 m/s"


def test_histograms_count_a_section(compared: Report) -> None:
    figure = draw_section_histograms(compared)
    assert [axis.get_xlabel() for axis in figure.axes] == [measure.title for measure in MEASURES.values()]
    horizontal = figure.axes[0].containers
    sample, width = compared.own.samples["horizontal_um"], MEASURES["horizontal_um"].bin_width
    expected = ((sample.values >= 0) & (sample.values < width)).sum() / 8
    bars = [container for container in horizontal if hasattr(container, "patches")]
    assert bars[0].patches[0].get_height() == pytest.approx(expected)
    assert len(bars) == 2


def test_trends_show_what_is_known(compared: Report) -> None:
    figure = draw_trends(compared)
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert labels[:5] == [*(measure.title for measure in MEASURES.values()), "lean, °"]
    assert "power, W" in labels
    without = draw_trends(finish(report_sections(make_sections(2, 1))))
    assert "lean, °" not in [axis.get_ylabel() for axis in without.axes]
