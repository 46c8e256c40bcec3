"""Intercepts, areas and aspect ratios: counted by hand, and against scikit-image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from section_sets import draw_cells, make_set
from skimage.measure import regionprops

from microrun.runtime.sections.grains import find_grains
from microrun.runtime.sections.measures import (
    MEASURES,
    mean_by_section,
    measure_intercepts,
    measure_sections,
    measure_shapes,
)

labels_of = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(0, 3, (3, 6, 8)).astype(np.int32)
)


def test_intercepts_by_hand() -> None:
    labels = np.array([[[0, 0, 1, 1, 1], [2, 2, 2, 2, 2]], [[3, 4, 3, 4, 4], [3, 3, 3, 3, 4]]])
    across = measure_intercepts(labels, 2.0)
    np.testing.assert_array_equal(across.values, [4, 6, 10, 2, 2, 2, 4, 8, 2])
    np.testing.assert_array_equal(across.section, [0, 0, 0, 1, 1, 1, 1, 1, 1])
    down = measure_intercepts(labels.transpose(0, 2, 1), 2.0)
    np.testing.assert_array_equal(down.values[:10], [2] * 10)
    np.testing.assert_array_equal(down.values[10:], [4, 2, 2, 4, 2, 2, 4])


@settings(max_examples=50, deadline=None)
@given(labels_of, st.floats(0.1, 10))
def test_intercepts_of_every_line_add_up_to_it(labels: np.ndarray, step: float) -> None:
    for turned in (labels, labels.transpose(0, 2, 1)):
        count, rows, cols = turned.shape
        sample = measure_intercepts(turned, step)
        sums = np.bincount(sample.section, sample.values, count)
        np.testing.assert_allclose(sums, rows * cols * step)
        # and line by line: the end of every line is the end of an intercept
        ends = np.cumsum(sample.values / step).round().astype(int)
        assert set(range(cols, turned.size + 1, cols)) <= set(ends)


@settings(max_examples=30, deadline=None)
@given(labels_of)
def test_mirrors_and_renumbering_change_no_distribution(labels: np.ndarray) -> None:
    before = np.sort(measure_intercepts(labels, 1.0).values)
    for changed in (labels[:, :, ::-1], labels[:, ::-1], 7 - labels):
        np.testing.assert_array_equal(np.sort(measure_intercepts(changed, 1.0).values), before)


def test_shapes_are_those_of_skimage() -> None:
    cells = draw_cells((3, 60, 50), n_seeds=20)
    grains = find_grains(make_set(cells), by_id=False)
    size, aspect = measure_shapes(grains.labels, len(grains.section))
    for number in range(3):
        for region in regionprops(grains.labels[number] + 1):
            assert size[region.label - 1] == region.area
            major, minor = np.array(region.inertia_tensor_eigvals) + 1 / 12  # theirs are of points, ours of squares
            np.testing.assert_allclose(aspect[region.label - 1], np.sqrt(major / minor), rtol=1e-9)


@pytest.mark.parametrize(("angle", "ratio"), [(0, 1), (0, 3), (30, 3), (77, 2), (45, 5)])
def test_ellipses_have_their_aspect_ratio(angle: float, ratio: float) -> None:
    y, x = np.mgrid[-100:101, -100:101]
    turn = np.deg2rad(angle)
    along, beside = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    labels = ((along / (15 * ratio)) ** 2 + (beside / 15) ** 2 <= 1).astype(np.int32)[None]
    size, aspect = measure_shapes(labels, 2)
    assert aspect[1] == pytest.approx(ratio, rel=0.02)
    assert size[1] == pytest.approx(np.pi * 15**2 * ratio, rel=0.01)


def test_a_row_of_cells_is_as_long_as_it_has_cells() -> None:
    labels = np.zeros((1, 9, 9), np.int32)
    labels[0, 4, 1:8], labels[0, 0, 0] = 1, 2
    _, aspect = measure_shapes(labels, 3)
    np.testing.assert_allclose(aspect[1:], [7, 1])


def test_all_measures_in_micrometres() -> None:
    cells = np.zeros((2, 10, 10), np.int8)
    cells[:, :, 4:] = 1
    measured = measure_sections(find_grains(make_set(cells, step_um=3.0), by_id=False), 3.0)
    assert set(measured) == set(MEASURES)
    np.testing.assert_array_equal(np.unique(measured["horizontal_um"].values), [12, 18])
    np.testing.assert_array_equal(np.unique(measured["vertical_um"].values), [30])
    np.testing.assert_array_equal(measured["area_um2"].values, [360, 540] * 2)
    np.testing.assert_allclose(measured["aspect"].values, [10 / 4, 10 / 6] * 2)
    np.testing.assert_allclose(mean_by_section(measured["area_um2"], 2), [450, 450])


def test_the_documentation_states_the_bins() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sections-measures.md").read_text()
    for measure in MEASURES.values():
        line = next(line for line in text.splitlines() if line.startswith(f"| {measure.title} |"))
        bins = line.split("|")[3].replace(",", "").split()
        assert (float(bins[0]), float(bins[-1])) == (measure.bin_width, measure.first_edge)
        assert line.rstrip(" |").endswith(f"first {measure.compared}")
