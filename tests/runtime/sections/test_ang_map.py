"""Maps written as .ang: what orix and our own reader make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from microrun.runtime.array_types import Float64
from microrun.runtime.maps.orientation_file import read_orientations
from microrun.runtime.scans.ang import AngGrid, read_ang_grid
from microrun.runtime.scans.ang_head import AngPhase
from microrun.runtime.sections.ang_map import write_ang_map
from microrun.runtime.sections.grain_map import OrientationMap, to_quaternions
from microrun.runtime.sections.text_maps import read_ang

AUSTENITE = AngPhase("Austenite", "Fe", 43, 3.6)
NOTE = "Emulated experiment, no measurement."


@pytest.fixture
def measured() -> OrientationMap:
    rng = np.random.default_rng(0)
    euler: Float64 = rng.uniform((0, 0.1, 0), (6.2, 3, 6.2), (5, 7, 3))
    phase = np.where(rng.random((5, 7)) < 0.3, -1, 1).astype(np.int32)
    return OrientationMap(euler, phase, (1.5, 1.5))


@pytest.fixture
def path(tmp_path: Path, measured: OrientationMap) -> Path:
    write_ang_map(tmp_path / "map.ang", measured, AUSTENITE, [NOTE])
    return tmp_path / "map.ang"


def test_a_map_comes_back(path: Path, measured: OrientationMap) -> None:
    again = read_ang(path)
    assert_array_equal(again.phase, measured.phase)
    assert_allclose(again.euler[measured.phase > 0], measured.euler[measured.phase > 0], atol=1e-5)
    assert again.step_um == pytest.approx((1.5, 1.5))


def test_the_header_states_grid_phase_and_notes(path: Path) -> None:
    grid = read_ang_grid(path)
    assert grid == AngGrid((5, 7), (1.5, 1.5), "square", True)
    head = path.read_text()
    assert f"\n# {NOTE}\n" in head
    assert "Symmetry              43\n" in head


def test_orix_reads_the_same(path: Path, measured: OrientationMap) -> None:
    pytest.importorskip("orix")
    rotations, valid = (found := read_orientations(path)).rotations, found.valid
    assert_array_equal(valid, measured.phase > 0)
    backwards = to_quaternions(measured.euler) * (1, -1, -1, -1)  # orix turns the sample into the crystal
    agreement = np.abs((rotations * backwards).sum(axis=-1))  # q and −q are one rotation
    assert_allclose(agreement[valid], 1, atol=1e-9)
