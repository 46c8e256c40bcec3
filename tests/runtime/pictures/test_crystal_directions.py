"""Boundaries lie where orientations change, keys and pole figures are those of the phases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from microrun.runtime.maps.conventional import PhysicsMaps, map_orientations
from microrun.runtime.maps.orientations import OrientedMap
from microrun.runtime.pictures.crystal_directions import draw_boundaries, draw_poles, name_symmetry
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.panels import make_panels
from microrun.runtime.pictures.physics_maps import draw_physics
from microrun.runtime.scans.scan import Scan

SQUARE = Scan((2, 3), (8, 8), step_um=(0.5, 0.25))
HEXAGONAL = Scan((2, 3), (8, 8), grid="hexagonal", step_um=(1.0, 0.8))


def oriented(angles_deg: np.ndarray, phase: np.ndarray | None = None) -> OrientedMap:
    """Rotations about the normal by the angles."""
    quaternions = Rotation.from_euler("z", angles_deg.reshape(-1, 1), degrees=True).as_quat(scalar_first=True)
    phases = np.zeros(angles_deg.shape, np.int64) if phase is None else phase
    return OrientedMap(quaternions.reshape(*angles_deg.shape, 4), phases, {0: "fcc", 1: "hcp"})


def segments(scan: Scan, found: OrientedMap) -> list[np.ndarray]:
    """Low-angle and high-angle boundaries, (n, 2, 2) each."""
    _, (axis,) = make_panels(scan, 1)
    draw_boundaries(axis, scan, found)
    return [np.array(lines.get_segments()).reshape(-1, 2, 2) for lines in axis.collections]


def test_boundaries_lie_between_points_that_differ() -> None:
    low, high = segments(SQUARE, oriented(np.array([[0, 0, 30], [0, 0, 33.0]])))
    assert_allclose(high, [[[1.0, 0], [1.0, 0.25]], [[1.0, 0.25], [1.0, 0.5]]])
    assert_allclose(low, [[[1.0, 0.25], [1.5, 0.25]]])


def test_points_of_two_phases_are_apart_and_beside_nothing_there_is_no_line() -> None:
    phase = np.array([[0, 1, 1], [-1, 1, 1]])
    low, high = segments(SQUARE, oriented(np.zeros((2, 3)), phase))
    assert len(low) == 0
    assert_allclose(high, [[[0.5, 0], [0.5, 0.25]]])


def test_on_a_hexagonal_grid_rows_share_half_an_edge() -> None:
    _, high = segments(HEXAGONAL, oriented(np.array([[0, 0, 0], [30, 30, 30.0]])))
    assert_allclose(high[:, :, 1], 0.8)
    assert_allclose(np.sort(high[:, :, 0].ravel()), np.sort([0.5, 1, 1, 1.5, 1.5, 2, 2, 2.5, 2.5, 3]))


def test_the_picture_holds_three_directions_a_key_and_what_is_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scan = Scan((6, 8), (8, 8), step_um=(0.5, 0.5))
    phase = np.zeros((6, 8), np.int64)
    phase[0, :3], phase[1] = -1, 1
    found = oriented(rng.uniform(0, 90, (6, 8)), phase)
    blank = PhysicsMaps(*rng.random((3, 6, 8)))
    figure = draw_physics(scan, map_orientations(blank, found, scan), found=found, heading="scan.up2")
    titles = [axis.get_title("left") for axis in figure.axes]
    assert [title for title in titles if title.startswith("inverse")] == [
        "inverse pole figure, X",
        "inverse pole figure, Y",
        "inverse pole figure, Z, the normal",
    ]
    said = [text.get_text() for text in figure.texts]
    assert said[0] == "scan.up2"
    assert "3 of 48 points are not indexed" in said[1]
    assert "colour key, fcc: 77.1% of the points" in said
    assert "colour key, hcp: 16.7% of the points" in said
    for ending in ("png", "svg", "pdf"):
        save_figure(figure, tmp_path / f"map.{ending}")
    assert [path.read_bytes()[:5] for path in sorted(tmp_path.iterdir())] == [b"%PDF-", b"\x89PNG\r", b"<?xml"]


@pytest.mark.parametrize(("symmetry", "counts"), [("fcc", (3, 6, 4)), ("hcp", (1, 3, 3)), ("mmm", (1, 1, 1))])
def test_pole_figures_show_all_poles_of_a_family(symmetry: str, counts: tuple[int, ...]) -> None:
    tilted = Rotation.from_euler("zxz", [[13, 27, 41]], degrees=True).as_quat(scalar_first=True)
    figure = draw_poles(OrientedMap(tilted[None], np.zeros((1, 1), np.int64), {0: symmetry}), "scan")
    drawn = [sum(len(lines.get_offsets()) for lines in axis.collections) for axis in figure.axes]
    assert_array_equal(drawn, counts)


def test_numbers_of_point_groups_are_named() -> None:
    assert [name_symmetry(each) for each in ("43", "62", "fcc", "6/mmm")] == ["m-3m", "6/mmm", "fcc", "6/mmm"]
