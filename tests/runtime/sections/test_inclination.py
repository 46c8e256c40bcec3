"""Angles of gratings, fans and layers that are drawn with known ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from microrun.runtime.sections.inclination import find_borders, lean_of, measure_across, measure_along, measure_depth

Cells = NDArray[np.int32]


def grating(angle_deg: float, shape: tuple[int, int] = (64, 64), width: float = 6, offset: float = 0.3) -> Cells:
    """Stripes that lean to the right on their way up."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    turn = np.deg2rad(angle_deg)
    return np.floor((cols * np.cos(turn) + rows * np.sin(turn)) / width + offset).astype(np.int32)


def fan(track: float, axis: float, steepest_deg: float, shape: tuple[int, int] = (90, 100), seed: int = 0) -> Cells:
    """Stripes that lean towards the axes of tracks, in proportion to the distance from them, with uneven widths."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    place = (cols - axis) / track
    tracks, within = np.rint(place), (place - np.rint(place)) * track
    # Upwards the distance from the axis shrinks at the rate tan(steepest) / (track / 2): exponentially.
    start = within * np.exp(np.tan(np.deg2rad(steepest_deg)) / (track / 2) * (shape[0] / 2 - rows))
    edges = np.cumsum(np.random.default_rng(seed).uniform(4, 8, 100))
    return (np.searchsorted(edges, start + 150) + 1000 * tracks).astype(np.int32)


@pytest.mark.parametrize("angle", [-60, -25, -8, 0, 12, 30, 45, 75])
def test_gratings_lean_as_they_were_drawn(angle: float) -> None:
    labels = np.stack([grating(angle, offset=offset) for offset in (0.1, 0.45, 0.8)])
    found = measure_along(find_borders(labels), np.arange(3))
    assert found.angle.value == pytest.approx(angle, abs=0.7)
    assert found.angle.low - 0.7 <= angle <= found.angle.high + 0.7
    assert found.coherence > 0.95


def test_mirrors_lean_the_other_way_and_squares_not_at_all() -> None:
    labels = np.stack([grating(20), grating(40)])
    there, back = (measure_along(find_borders(one), np.arange(2)) for one in (labels, labels[:, :, ::-1]))
    assert back.angle.value == pytest.approx(-there.angle.value, abs=1e-9)
    assert there.angle.high - there.angle.low > 10  # of two that disagree
    rows, cols = np.mgrid[:60, :60]
    squares = (rows // 10 * 100 + cols // 10).astype(np.int32)[None]
    assert measure_along(find_borders(squares), np.arange(1)).coherence < 0.05


def test_a_level_grating_keeps_its_interval_small() -> None:
    labels = np.stack([grating(89), grating(-89), grating(90)])
    found = measure_along(find_borders(labels), np.arange(3)).angle
    assert abs(abs(found.value) - 90) < 1
    assert found.high - found.low < 5


@pytest.mark.parametrize("axis", [0.0, 13.0, 37.5])
def test_fans_lean_towards_the_axes_of_tracks_wherever_they_are(axis: float) -> None:
    steepest = 40.0
    labels = np.stack([fan(50, axis + 3 * n, steepest, seed=n) for n in range(8)])
    found = measure_across(find_borders(labels), 50, np.arange(8))
    assert found is not None
    expected = np.rad2deg(np.arctan(np.tan(np.deg2rad(steepest)) / 2))  # at a quarter of the width
    assert found.angle.value == pytest.approx(expected, abs=2.5)
    assert found.angle.low > 0.8 * expected


def equiaxed(sections: int, seed: int = 0) -> Cells:
    generator = np.random.default_rng(seed)
    rows, cols = np.mgrid[:90, :100]
    labels = []
    for _ in range(sections):
        seeds = generator.random((250, 2)) * (90, 100)
        distance = (rows[..., None] - seeds[:, 0]) ** 2 + (cols[..., None] - seeds[:, 1]) ** 2
        labels.append(distance.argmin(axis=-1).astype(np.int32))
    return np.stack(labels)


def test_equiaxed_sections_lean_nowhere() -> None:
    borders = find_borders(equiaxed(12))
    found = measure_across(borders, 50, np.arange(12))
    assert found is not None
    assert found.coherence < 0.1
    assert measure_across(borders, 120, np.arange(12)) is None
    assert np.isnan(measure_depth(borders, np.arange(12), 2.0).value)


@pytest.mark.parametrize("depth", [25, 58])
def test_the_depth_is_where_columns_end(depth: int) -> None:
    columns = np.stack([fan(50, 25, 40, seed=n) for n in range(12)]) + 10_000
    labels = np.where(np.arange(90)[:, None] < depth, columns, equiaxed(12)).astype(np.int32)
    found = measure_depth(find_borders(labels), np.arange(12), 2.0)
    assert found.value == pytest.approx(2 * depth, abs=6)
    assert found.low <= found.value <= found.high
    upside_down = measure_depth(find_borders(labels[:, ::-1].copy()), np.arange(12), 2.0)
    assert np.isnan(upside_down.value)


def test_there_is_no_depth_without_a_change() -> None:
    labels = np.stack([grating(20, offset=offset) for offset in (0.1, 0.5)])
    assert np.isnan(measure_depth(find_borders(labels), np.arange(2), 2.0).value)
    assert np.isnan(measure_depth(find_borders(labels[:, :12]), np.arange(2), 2.0).value)


def test_a_lean_is_positive_to_the_right() -> None:
    assert lean_of(find_borders(grating(30)[None]).sums()[0]) == pytest.approx(30, abs=1)
