"""Absorptivity and depth found from a pool's size; sizes that no source gives."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from jobs import watch
from one_line import one_line

from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import finish
from microrun.training.simulate.melt_pool.calibrate import Target, calibrate
from microrun.training.simulate.melt_pool.depth_law import published_depth
from microrun.training.simulate.melt_pool.material import STEEL_316L
from microrun.training.simulate.melt_pool.measure import measure_pool
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.solve import compute_field

PROCESS = Process(120.0, 1.2)
STEP_UM = 8.0


@pytest.mark.parametrize("kind", ["eagar-tsai", "conduction"])
def test_a_fit_finds_the_source_again(kind: str) -> None:
    truth = replace(PROCESS, absorptivity=0.55, depth_um=40.0)
    pool = measure_pool(finish(compute_field(truth, STEEL_316L, kind, STEP_UM)))
    target = Target(pool.width_um, pool.depth_um)
    records, field = watch(calibrate(PROCESS, STEEL_316L, target, kind, STEP_UM))
    found = measure_pool(field)
    assert found.width_um == pytest.approx(pool.width_um, rel=0.01)
    assert found.depth_um == pytest.approx(pool.depth_um, rel=0.01)
    assert field.process.absorptivity == pytest.approx(0.55, rel=0.03)
    assert field.process.depth_um == pytest.approx(40.0, rel=0.08)
    assert all(record.phase.startswith("fit") for record in records)


def test_one_size_leaves_the_depth_of_the_source() -> None:
    field = finish(calibrate(PROCESS, STEEL_316L, Target(width_um=95.0), "conduction", STEP_UM))
    assert field.process.depth_um == PROCESS.depth_um
    assert measure_pool(field).width_um == pytest.approx(95, rel=0.01)


@pytest.mark.parametrize("target", [Target(300.0, 20.0), Target(900.0), Target(40.0, 150.0)])
def test_what_cannot_be_reached_is_refused_with_the_nearest(target: Target) -> None:
    with pytest.raises(MicrorunError) as error:
        finish(calibrate(PROCESS, STEEL_316L, target, "eagar-tsai", STEP_UM))
    one_line(error, f"no pool of {target} can be reached", "the nearest, of absorptivity", "µm wide")


@pytest.mark.parametrize(("width", "depth", "said"), [(None, None, "needs the width"), (-1.0, 5.0, "above 0 µm"),
                                                      (5.0, math.nan, "above 0 µm")])  # fmt: skip
def test_a_target_that_is_none_is_refused(width: float | None, depth: float | None, said: str) -> None:
    with pytest.raises(MicrorunError) as error:
        Target(width, depth)
    one_line(error, said)


def test_the_depth_law_is_refused_where_it_gives_no_depth() -> None:
    with pytest.raises(MicrorunError) as error:
        published_depth(Process(60.0, 1.0))
    one_line(error, "60 W and 1 m/s", "above 3.09", "give the depth")
