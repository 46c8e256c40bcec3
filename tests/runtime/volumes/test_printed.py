"""How printed grains stand: columns along z, in rows across the tracks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from microrun.runtime.volumes.measure import measure_grains
from microrun.runtime.volumes.printed import Printed, find_rows, join_printed, measure_printed

HATCH = 8


def columns(shift: int = 0, height: int = 48) -> NDArray[np.int32]:
    """Columns of 8 voxels across the tracks and 6 along them, as high as asked; rows begin at a voxel of choice."""
    z, y, x = np.indices((48, 48, 48))
    row, place = (y + shift) // HATCH, x // 6
    return (
        np.unique(((z // height) * 100 + row) * 100 + place, return_inverse=True)[1].reshape(z.shape).astype(np.int32)
    )


def scattered(count: int = 60) -> NDArray[np.int32]:
    """Grains around points anywhere."""
    points = np.random.default_rng(2).uniform(0, 48, (count, 3))
    voxels = np.indices((48, 48, 48)).reshape(3, -1).T
    return np.argmin([np.square(voxels - point).sum(axis=1) for point in points], axis=0).reshape(48, 48, 48)


def measured(labels: NDArray[np.int32]) -> Printed:
    return measure_printed(labels, measure_grains(labels, threads=1))


def test_columns_in_rows_are_found_at_the_distance_of_the_tracks() -> None:
    rows = find_rows([measured(columns()), measured(columns(shift=8))])
    assert rows.period in (4, HATCH) and rows.across > 0.98  # half a hatch repeats as well
    at_hatch = find_rows([measured(columns()), measured(columns(height=16))], HATCH)
    assert at_hatch.across == pytest.approx(1, abs=0.02)
    assert at_hatch.along < 0.2 and at_hatch.by_chance < 0.2


def test_grains_anywhere_stand_in_rows_by_chance_only() -> None:
    rows = find_rows([measured(scattered())], HATCH)
    assert max(rows.across, rows.along) < 3 * rows.by_chance
    best = find_rows([measured(scattered())])
    assert rows.by_chance < best.by_chance < 0.5


def test_columns_are_longer_along_z_and_lean_nowhere() -> None:
    tall = join_printed([measured(columns(height=24))])
    assert tall.intercepts == pytest.approx((47, 47 / 5, 47 / 7))
    assert tall.elongation == pytest.approx(np.sqrt(35))
    assert tall.inclination_deg < 1
    lying = np.ascontiguousarray(np.moveaxis(columns(height=24), 0, 2))
    assert join_printed([measured(lying)]).inclination_deg > 89
    assert 40 < join_printed([measured(scattered(300))]).inclination_deg < 75


def test_a_volume_of_one_grain_or_of_few_voxels_has_no_rows() -> None:
    one = measured(np.zeros((48, 48, 48), np.int32))
    assert one.intercepts.tolist() == [np.inf] * 3
    assert np.isfinite(find_rows([one], HATCH).by_chance)
    assert np.isnan(find_rows([measured(np.zeros((8, 8, 8), np.int32))]).period)
