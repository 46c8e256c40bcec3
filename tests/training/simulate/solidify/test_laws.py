import math

import numpy as np
import pytest
from small_pool import make_small_pool

from microrun.runtime.errors import MicrorunError
from microrun.training.simulate.solidify.laws import STEEL_LAWS, Laws
from microrun.training.simulate.solidify.plan import Plan

LIQUIDUS = make_small_pool().material.liquidus_k


def test_mobility_follows_arrhenius_up_to_the_hottest_temperature():
    cold, warm, hot, hotter = STEEL_LAWS.mobility_at(np.array([1200.0, 1723.0, 2000.0, 3000.0]))
    assert warm == pytest.approx(3.5e3 * math.exp(-1.4e5 / (8.314462618 * 1723)))
    assert cold < warm < hot == hotter


def test_largest_step_is_where_the_stiffest_wave_begins_to_grow():
    """A checkerboard of one order parameter in the solid, η = 1: growth by 1 − dt·L·(m·(3 − 1) …) per step."""
    limit = STEEL_LAWS.largest_step(2.0)
    assert limit == pytest.approx(5.9e-7, rel=0.02)
    mobility = STEEL_LAWS.mobility_at(np.array(2000.0))
    # An order parameter that is none within grains of another one: its rate is m·(−1 + 4) and 12 κ/dx² on the lattice.
    growth = 1 - limit * mobility * (3 * STEEL_LAWS.barrier + 12 * STEEL_LAWS.gradient / 4e-12)
    assert growth == pytest.approx(-1)


@pytest.mark.parametrize(("undercooling", "chance"), [(5, 5.3e-7), (10, 1.9e-5), (20, 4.5e-5), (37, 5.0e-5)])
def test_chances_of_nucleation_are_those_computed_by_hand(undercooling, chance):
    found = STEEL_LAWS.nucleation_chances(LIQUIDUS, 2.0, 2e-7)[undercooling]
    assert found == pytest.approx(chance, rel=0.04)


def test_nucleation_needs_undercooling_and_wetting():
    rates = STEEL_LAWS.nucleation_rate(np.array([0.5, 5.0, 20.0]), LIQUIDUS)
    assert rates[0] < 1e-6 * rates[1]
    assert rates[1] < rates[2] / 10
    assert Laws(wetting_deg=20.0).nucleation_rate(np.array([37.0]), LIQUIDUS)[0] < 1e-6 * rates[2]


def test_chances_are_proportional_to_time_and_volume():
    chances = STEEL_LAWS.nucleation_chances(LIQUIDUS, 2.0, 2e-7)[20]
    assert STEEL_LAWS.nucleation_chances(LIQUIDUS, 1.0, 4e-7)[20] == pytest.approx(chances / 4, rel=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [{"mobility": 0}, {"barrier": -1}, {"gradient": float("nan")}, {"hot_k": 2500}, {"wetting_deg": 200}],
)
def test_laws_that_make_no_sense_are_refused(wrong):
    with pytest.raises(MicrorunError, match=next(iter(wrong))):
        Laws(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": 0}, {"tracks": 0}, {"length_um": -1}, {"length_um": float("nan")}, {"hatch_um": 1},
        {"layer_um": 1.5}, {"cell_um": 0}, {"substrate_um": -2}, {"seed": -1}, {"seed": 1 << 63},
    ],
)  # fmt: skip
def test_plans_that_make_no_sense_are_refused(wrong):
    with pytest.raises(MicrorunError, match=next(iter(wrong))):
        Plan(**wrong)


def test_steps_that_are_not_stable_or_jump_over_cells_are_refused():
    Plan(step_s=5e-7).check_step(STEEL_LAWS, 1.0)
    with pytest.raises(MicrorunError, match=r"below 5.8e-07 s"):
        Plan(step_s=6e-7).check_step(STEEL_LAWS, 1.0)
    with pytest.raises(MicrorunError, match="above 0"):
        Plan(step_s=0).check_step(STEEL_LAWS, 1.0)
    with pytest.raises(MicrorunError, match="moves 4 µm"):
        Plan(step_s=4e-7).check_step(STEEL_LAWS, 10.0)


def test_a_part_that_no_memory_holds_is_refused():
    with pytest.raises(MicrorunError, match="cells; at most"):
        Plan(layers=1000, tracks=100, length_um=9e4).shape((20, 20, 50))
