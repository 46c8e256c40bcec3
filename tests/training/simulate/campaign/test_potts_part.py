"""Parts of the Potts model: what melts, what grows from what, and the same for any number of threads."""

from __future__ import annotations

import dataclasses
from itertools import islice

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from small_pool import make_small_pool

from microrun.kernels.potts import FULL, MOLTEN
from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import finish
from microrun.training.simulate.campaign.potts_part import PottsPlan, find_mobility, grow_part

PLAN = PottsPlan(
    layers=2, tracks=2, length_um=48, hatch_um=28, layer_um=8, substrate_um=24, still_k=1300, substrate_steps=4
)
POOL = make_small_pool()


@pytest.fixture(scope="module")
def part() -> np.ndarray:
    return finish(grow_part(POOL, PLAN, seed=3, threads=1))


def test_the_part_has_its_plan_s_shape(part: np.ndarray) -> None:
    assert part.shape == PLAN.shape == (12 + 2 * 4, 2 * 14, 24)
    assert [PLAN.middle(track) for track in range(2)] == [7, 21]


def test_the_same_for_any_number_of_threads(part: np.ndarray) -> None:
    assert_array_equal(finish(grow_part(POOL, PLAN, seed=3, threads=3)), part)
    assert (finish(grow_part(POOL, PLAN, seed=4, threads=1)) != part).mean() > 0.5


def test_grains_grow_from_the_substrate_into_layers() -> None:
    plan = dataclasses.replace(PLAN, sweep_s=4e-7, layers=1)
    grown = finish(grow_part(POOL, plan, seed=3, threads=1))
    substrate = np.unique(grown[:12])
    assert np.isin(grown[12:], substrate).mean() > 0.4  # epitaxy, into what was powder
    assert len(np.unique(grown[12:])) < grown[12:].size / 10


def test_what_is_cold_is_not_touched(part: np.ndarray) -> None:
    deep = find_mobility(POOL, PLAN).shape[0]
    untouched = slice(0, 12 + 4 - deep)
    other = finish(grow_part(make_small_pool(peak_k=2000.0), PLAN, seed=3, threads=1))
    assert untouched.stop > 0
    assert_array_equal(other[untouched], part[untouched])


def test_powder_is_not_molten_before_its_layer() -> None:
    plan = PottsPlan(
        layers=3, tracks=1, length_um=24, hatch_um=28, layer_um=8, substrate_um=24, still_k=1300, substrate_steps=1
    )
    job = grow_part(POOL, plan, seed=0, threads=1)
    *_, after = islice(job, 2)  # the first track is done
    assert (after.done, after.total) == (1, 3)
    powder = np.arange(np.prod(plan.shape)).reshape(plan.shape)[16:]
    assert job.gi_frame is not None
    assert_array_equal(job.gi_frame.f_locals["spins"][16:], powder)


def test_mobility_follows_the_temperature() -> None:
    mobility = find_mobility(POOL, PLAN)
    assert mobility[-1].min() == MOLTEN
    others = mobility[mobility != MOLTEN]
    assert 0 < others.max() <= FULL
    assert others.min() == 0
    assert_array_equal(mobility, mobility[:, ::-1])
    assert all((mobility != 0).any(axis=axes).all() for axes in ((1, 2), (0, 2), (0, 1)))  # cut to what is mobile
    molten = (mobility == MOLTEN).sum()
    assert molten * 8 == pytest.approx((POOL.temperature >= POOL.material.liquidus_k).sum() * 64, rel=0.1)  # in µm³


def test_slower_lasers_leave_more_time_to_grow() -> None:
    counts = [
        len(np.unique(finish(grow_part(make_small_pool(speed_m_s=speed), PLAN, 0, 1))[-4:])) for speed in (0.5, 2.0)
    ]
    assert counts[0] < 0.8 * counts[1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layers": 0}, "layers is at least 1"),
        ({"layer_um": 3.0}, "layer_um is at least two cells"),
        ({"still_k": 0.0}, "still_k is above 0"),
        ({"sweep_s": float("nan")}, "sweep_s is above 0"),
    ],
)
def test_plans_that_are_not_possible(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(MicrorunError, match=said):
        PottsPlan(**wrong)  # type: ignore[arg-type]


def test_fields_that_do_not_fit() -> None:
    with pytest.raises(MicrorunError, match=r"nothing melts at 150 W and 2 m/s"):
        find_mobility(make_small_pool(peak_k=1500.0), PLAN)
    with pytest.raises(MicrorunError, match="still_k is below the liquidus"):
        find_mobility(POOL, PottsPlan(still_k=1800.0))
