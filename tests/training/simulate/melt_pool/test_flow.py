"""The flow of the liquid: free of sources, still in the solid, and driven outwards by the surface."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.fft import idctn

from microrun.kernels.melt_flow import GHOSTS, FlowLaw
from microrun.runtime.progress import finish
from microrun.runtime.workers import Workers
from microrun.training.simulate.melt_pool.box import choose_box
from microrun.training.simulate.melt_pool.flow import INSIDE, Flow, MovingFlow
from microrun.training.simulate.melt_pool.material import STEEL_316L
from microrun.training.simulate.melt_pool.measure import measure_pool
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.solve import compute_field

SMALL = Process(80.0, 1.0)


@pytest.fixture(scope="module")
def moving() -> MovingFlow:
    """A pool whose liquid has flowed for a while."""
    with Workers(1) as workers:
        box = choose_box(SMALL, STEEL_316L, 6.0)
        heat = MovingFlow(box, SMALL, STEEL_316L, workers)
        for _ in range(40):
            heat.travel()
        return heat


def random_flow(shape: tuple[int, int, int], seed: int = 0) -> Flow:
    flow = Flow(shape, 1)
    rng = np.random.default_rng(seed)
    for axis, velocity in enumerate(flow.velocities):
        faces = list(INSIDE)
        faces[axis] = slice(GHOSTS + 1, -GHOSTS)
        part = velocity[tuple(faces)]
        velocity[tuple(faces)] = rng.normal(size=part.shape)
    return flow


@pytest.mark.parametrize("shape", [(8, 8, 16), (5, 7, 9), (1, 12, 20)])
def test_a_projected_flow_has_no_sources_and_no_flow_through_walls(shape: tuple[int, int, int]) -> None:
    flow = random_flow(shape)
    assert flow.divergence > 0.1
    flow._project(1e-7)
    assert flow.divergence < 2e-6
    for axis, velocity in enumerate(flow.velocities):
        walls = np.moveaxis(velocity, axis, 0)[[GHOSTS, -GHOSTS]]
        assert not walls.any()


def test_a_projection_takes_gradients_away_and_leaves_the_rest() -> None:
    flow = random_flow((6, 8, 10))
    flow._project(1e-7)
    free = [velocity.copy() for velocity in flow.velocities]
    potential = idctn(np.random.default_rng(1).normal(size=flow.shape), norm="ortho")
    for axis, velocity in enumerate(flow.velocities):
        faces = list(INSIDE)
        faces[axis] = slice(GHOSTS + 1, -GHOSTS)
        velocity[tuple(faces)] += np.diff(potential, axis=axis)
    flow._project(1e-7)
    for velocity, expected in zip(flow.velocities, free, strict=True):
        np.testing.assert_allclose(velocity, expected, atol=1e-5)


def test_a_flow_alone_loses_speed() -> None:
    flow = random_flow((8, 8, 8), seed=3)
    flow._project(1e-7)
    flow.pressure[:] = 0  # it was that of the sources
    flow.temperature[:] = 2500.0
    law = FlowLaw(*map(np.float32, (0.02, 0.05, 0.0, 1e-7, 1e7, 1650.0, 73.0)))
    energies = []
    with Workers(1) as workers:
        for _ in range(20):
            energies.append(sum(float((velocity[INSIDE] ** 2).sum()) for velocity in flow.velocities))
            flow.push(law, workers)
            assert flow.divergence < 1e-5
    assert (np.diff(energies) < 0).all()


def test_the_flow_is_free_of_sources_and_the_solid_is_still(moving: MovingFlow) -> None:
    flow = moving.flow
    assert flow.divergence < 1e-5
    fastest = max(float(np.abs(velocity[INSIDE]).max()) for velocity in flow.velocities)
    assert 1 < fastest < 10
    for axis, velocity in enumerate(flow.velocities):
        faces = (flow.temperature + np.roll(flow.temperature, 1, axis)) / 2
        solid = np.abs(velocity[INSIDE][faces[INSIDE] < STEEL_316L.solidus_k])
        assert solid.max() < 0.05 * fastest and solid.mean() < 0.002 * fastest


def test_the_surface_flows_from_hot_to_cold(moving: MovingFlow) -> None:
    _, across, along = (velocity[INSIDE][-1] for velocity in moving.flow.velocities)
    liquid = moving.flow.temperature[INSIDE][-1] > STEEL_316L.liquidus_k
    assert across[liquid].mean() > 0.1
    hottest = np.unravel_index(np.argmax(moving.flow.temperature[INSIDE][-1]), liquid.shape)[1]
    assert along[0, hottest - 6 : hottest - 1].mean() < 0 < along[0, hottest + 1 : hottest + 4].mean()


def test_marangoni_flow_makes_the_pool_wider_and_flatter_or_deeper_by_its_sign() -> None:
    sizes = {}
    for slope in (-4e-4, 1e-9, 4e-4):
        metal = replace(STEEL_316L, surface_tension_slope_n_mk=slope)
        sizes[slope] = measure_pool(finish(compute_field(SMALL, metal, "flow", 6.0)))
    still = measure_pool(finish(compute_field(SMALL, step_um=6.0)))
    assert sizes[1e-9].width_um == pytest.approx(still.width_um, rel=0.01)
    assert sizes[1e-9].depth_um == pytest.approx(still.depth_um, rel=0.01)
    assert sizes[-4e-4].width_um > 1.05 * still.width_um and sizes[-4e-4].depth_um < 0.9 * still.depth_um
    assert sizes[4e-4].depth_um > 1.1 * still.depth_um
