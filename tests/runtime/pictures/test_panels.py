"""Maps side by side: every panel shows what it is given, where it lies."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.testing import assert_allclose, assert_array_equal

from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.panels import draw_image, draw_labels, draw_values, make_panels, mark_point
from microrun.runtime.pictures.pattern_grid import count_columns
from microrun.runtime.scans.scan import Scan

SQUARE = Scan((4, 6), (8, 8), step_um=(0.5, 0.25))
HEXAGONAL = Scan((4, 6), (8, 8), grid="hexagonal", step_um=(1.0, 0.866))
VALUES = np.random.default_rng(0).random((4, 6))


def shown(figure: Figure, axis: int = 0) -> np.ndarray:
    """What the first picture of a panel shows."""
    return np.ma.getdata(figure.axes[axis].images[0].get_array())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 10, 33])
def test_there_are_enough_panels(count: int) -> None:
    figure, axes = make_panels(SQUARE, count)
    assert count <= len(axes) <= count + 2 * int(np.ceil(np.sqrt(count)))
    assert axes == figure.axes


def test_figures_of_long_maps_keep_a_sensible_size() -> None:
    for shape in ((1, 5000), (5000, 1)):
        width, height = make_panels(Scan(shape, (8, 8)), 4)[0].get_size_inches()
        assert 1 < height < 40
        assert 1 < width < 40


@pytest.mark.parametrize(("scan", "extent"), [(SQUARE, (0, 3, 1, 0)), (HEXAGONAL, (0, 6.5, 3.464, 0))])
def test_values_are_drawn_at_their_true_proportions(scan: Scan, extent: tuple[float, ...]) -> None:
    figure, axes = make_panels(scan, 1)
    draw_values(figure, axes[0], scan, VALUES, "name")
    assert_allclose(figure.axes[0].images[0].get_extent(), extent)
    assert figure.axes[0].get_title("left") == "name"
    assert len(figure.axes) == 2  # the map and its colour bar
    assert_array_equal(shown(figure)[0, :12], np.repeat(VALUES[0], 2) if scan is HEXAGONAL else VALUES[0])


def test_colours_reach_from_the_first_to_the_last_percentile() -> None:
    values = np.append(np.arange(199.0), 1e9).reshape(10, 20)
    values[0, 0] = np.nan
    scan = Scan((10, 20), (8, 8))
    figure, axes = make_panels(scan, 1)
    draw_values(figure, axes[0], scan, values, "one outlier")
    assert_allclose(figure.axes[0].images[0].get_clim(), np.nanpercentile(values, (1, 99)))
    assert figure.axes[0].images[0].get_clim()[1] < 200


@pytest.mark.parametrize("values", [np.full((4, 6), np.nan), np.full((4, 6), 2.5)], ids=["nothing", "a constant"])
def test_maps_without_contrast_are_drawn(values: np.ndarray, tmp_path: Path) -> None:
    figure, axes = make_panels(SQUARE, 1)
    draw_values(figure, axes[0], SQUARE, values, "flat")
    save_figure(figure, tmp_path / "flat.png")
    assert (tmp_path / "flat.png").read_bytes().startswith(b"\x89PNG")


def test_colours_are_drawn_as_they_are() -> None:
    colours = np.random.default_rng(1).random((4, 6, 3))
    figure, axes = make_panels(SQUARE, 1)
    draw_image(axes[0], SQUARE, colours, "colours")
    assert_array_equal(shown(figure), colours)
    assert len(figure.axes) == 1


def test_every_region_has_a_colour_of_its_own_and_nothing_is_hatched() -> None:
    labels = np.array([[0, 0, 1, 1, 2, 2], [0, -1, 1, 1, 2, 2], [3, 3, 3, -1, 5, 5], [3, 3, 3, 3, 5, 4]])
    figure, axes = make_panels(SQUARE, 2)
    draw_labels(axes[0], SQUARE, labels, "regions")
    draw_labels(axes[1], SQUARE, np.where(labels == 5, 9, labels), "others")
    image = shown(figure)
    found = [np.unique(image[labels == number], axis=0) for number in range(-1, 6)]
    assert [len(colours) for colours in found] == [1] * 7
    assert len(np.unique(np.concatenate(found), axis=0)) == 7
    assert found[0][0, 3] == 0
    assert all(colours[0, 3] == 1 for colours in found[1:])
    assert_array_equal(shown(figure, 1)[labels < 5], image[labels < 5])


def test_maps_without_regions_are_hatched() -> None:
    figure, axes = make_panels(SQUARE, 1)
    draw_labels(axes[0], SQUARE, np.full((4, 6), -1), "no regions")
    assert (shown(figure)[..., 3] == 0).all()


@pytest.mark.parametrize(
    ("scan", "point", "place"),
    [
        (SQUARE, (0, 0), (0.25, 0.125)),
        (SQUARE, (2, 5), (2.75, 0.625)),
        (HEXAGONAL, (2, 1), (1.5, 2.5 * 0.866)),
        (HEXAGONAL, (1, 1), (2.0, 1.5 * 0.866)),
        (Scan((4, 6), (8, 8)), (3, 2), (2.5, 3.5)),
    ],
)
def test_points_are_marked_in_their_pixel(scan: Scan, point: tuple[int, int], place: tuple[float, float]) -> None:
    figure, axes = make_panels(scan, 1)
    draw_image(axes[0], scan, np.zeros((4, 6, 3)), "map")
    before = len(axes[0].lines)
    mark_point(axes[0], scan, point)
    assert_allclose(np.ravel(axes[0].lines[before].get_data()), place)
    assert_allclose(figure.axes[0].images[0].get_extent()[0], 0)


def test_a_long_title_ends_before_the_next_panel_begins() -> None:
    figure, axes = make_panels(SQUARE, 2)
    for axis in axes:
        draw_values(figure, axis, SQUARE, VALUES, "components 1–3 of what a model knows as red, green, blue: " * 2)
    FigureCanvasAgg(figure).draw()
    first, second = (next(text for text in axis.findobj(Text) if "blue" in text.get_text()) for axis in axes)
    assert first.get_window_extent().x1 < second.get_window_extent().x0


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (12, 4), (24, 6), (7, 4)])
def test_grids_of_patterns_have_few_empty_places(count: int, columns: int) -> None:
    assert count_columns(count) == columns


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (5, 2000)])
def test_lines_of_points_are_drawn_thick_enough_to_be_seen_and_their_ticks_apart(shape: tuple[int, int]) -> None:
    scan = Scan(shape, (8, 8), step_um=(0.5, 0.5))
    figure, axes = make_panels(scan, 2)
    for axis in axes:
        draw_values(figure, axis, scan, np.random.default_rng(0).random(shape), "feature 3 · rank 1 of 16 · C 0.12")
    FigureCanvasAgg(figure).draw()
    box = axes[0].get_window_extent()
    assert min(box.width, box.height) / figure.dpi == pytest.approx(0.4, abs=0.01)
    titles = [text for text in axes[0].findobj(Text) if "feature" in text.get_text()]  # type: ignore[attr-defined]
    assert titles[0].get_fontsize() > 8
    for side in (axes[0].xaxis, axes[0].yaxis):
        labels = [tick.label1.get_window_extent() for tick in side.get_major_ticks()]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(labels))
