"""Flow on a staggered grid against a slow twin, and against a solution made for the purpose."""

from __future__ import annotations

import math

import melt_pool_oracles as oracles
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from microrun.kernels.conduction import HeatLaw, conduct, find_potentials
from microrun.kernels.melt_flow import GHOSTS, FlowLaw, advect, push
from microrun.runtime.workers import Workers

SIDES = st.integers(1, 4)
SHAPES = st.tuples(SIDES, SIDES, st.integers(1, 12))
INSIDE = (slice(GHOSTS, -GHOSTS),) * 3
LAW = FlowLaw(*map(np.float32, (0.05, 0.01, -3e-4, 2e-7, 1e7, 1650.0, 73.0)))


def padded(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(side + 2 * GHOSTS for side in shape)


def random_field(shape: tuple[int, ...], seed: int, low: float, high: float) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, padded(shape)).astype(np.float32)


def strides_of(values: np.ndarray) -> np.ndarray:
    return np.array(values.strides) // values.itemsize


def window_of(shape: tuple[int, ...], axis: int | None = None) -> np.ndarray:
    return np.array([[GHOSTS + (own == axis), GHOSTS + side, 1] for own, side in enumerate(shape)])


def run_push(shape: tuple[int, ...], axis: int, fields: tuple, threads: int = 1) -> np.ndarray:
    flows, kelvin, pressure = fields
    order = [axis, *(other for other in range(3) if other != axis)]
    shear = np.zeros(shape[0] + 2 * GHOSTS, np.float32)
    shear[-GHOSTS - 1] = axis != 0
    out = np.zeros_like(kelvin)
    with Workers(threads) as workers:
        workers.run(
            push, window_of(shape, axis), strides_of(kelvin)[order], LAW, tuple(flows[own].ravel() for own in order),
            kelvin.ravel(), pressure.ravel(), shear, out.ravel(),
        )  # fmt: skip
    return out


def random_flow(shape: tuple[int, ...], seed: int) -> tuple:
    flows = [random_field(shape, seed + axis, -4, 4) for axis in range(3)]
    return flows, random_field(shape, seed + 3, 1550, 1900), random_field(shape, seed + 4, -1e5, 1e5)


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.integers(0, 2**31), st.integers(0, 2))
def test_velocities_are_those_of_the_slow_twin(shape: tuple[int, int, int], seed: int, axis: int) -> None:
    fields = random_flow(shape, seed)
    assert_allclose(
        run_push(shape, axis, fields)[INSIDE], oracles.pushed(LAW, fields[0], axis, *fields[1:], GHOSTS)[INSIDE],
        rtol=2e-3, atol=2e-5,
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.integers(0, 2**31))
def test_what_is_carried_is_that_of_the_slow_twin(shape: tuple[int, int, int], seed: int) -> None:
    flows, values, _ = random_flow(shape, seed)
    out = np.zeros_like(values)
    flat = tuple(flow.ravel() for flow in flows)
    advect(window_of(shape), strides_of(values), np.float32(0.05), flat, values.ravel(), out.ravel())
    expected = oracles.advected(np.float32(0.05), flows, values, GHOSTS)
    assert_allclose(out[INSIDE], expected[INSIDE], rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.integers(0, 2**31), st.floats(-1e6, 1e6, width=32))
def test_what_is_the_same_everywhere_stays_so(shape: tuple[int, int, int], seed: int, value: float) -> None:
    flows, values, _ = random_flow(shape, seed)
    values[:] = value
    out = np.full_like(values, value)
    flat = tuple(flow.ravel() for flow in flows)
    advect(window_of(shape), strides_of(values), np.float32(0.05), flat, values.ravel(), out.ravel())
    assert_array_equal(out, values)


@given(st.integers(0, 2**31), st.floats(0, 0.5))
@settings(max_examples=25, deadline=None)
def test_a_steady_stream_makes_no_new_extremes(seed: int, courant: float) -> None:
    shape = (1, 1, 40)
    values = random_field(shape, seed, 0, 1)
    flows = [np.zeros_like(values), np.zeros_like(values), np.ones_like(values)]
    out = values.copy()
    flat = tuple(flow.ravel() for flow in flows)
    advect(window_of(shape), strides_of(values), np.float32(courant), flat, values.ravel(), out.ravel())
    assert values.min() - 1e-6 <= out.min() and out.max() <= values.max() + 1e-6


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_number_of_threads_changes_nothing(axis: int) -> None:
    shape = (9, 6, 33)
    fields = random_flow(shape, 5)
    assert_array_equal(run_push(shape, axis, fields), run_push(shape, axis, fields, threads=4))


def test_the_mushy_zone_slows_and_never_drives() -> None:
    shape = (1, 1, 20)
    flows = [np.zeros(padded(shape), np.float32) for _ in range(3)]
    flows[2][:] = 1.0
    pressure = np.zeros_like(flows[0])
    kelvin = np.broadcast_to(np.linspace(1640, 1730, shape[2] + 2 * GHOSTS, dtype=np.float32), flows[0].shape).copy()
    slowed = run_push(shape, 2, (flows, kelvin, pressure))[GHOSTS, GHOSTS, GHOSTS + 1 : -GHOSTS]
    shear = np.float32(LAW.shear) * np.diff(kelvin[0, 0])[0]
    assert (slowed <= 1 + shear + 1e-6).all() and (slowed >= shear - 1e-6).all() and (np.diff(slowed) >= -1e-6).all()


def test_advection_and_conduction_together_are_of_second_order() -> None:
    # A made solution T = T₀ + A cos(πx) cos(πy) in a cell of flow ψ = sin(πx) sin(πy), held by a source.
    errors = [made_solution_error(cells) for cells in (12, 24, 48)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert errors[-1] < 2e-3 and (orders > 1.7).all() and (orders < 2.5).all(), (errors, orders)


def made_solution_error(cells: int) -> float:
    """Mean error, by the amplitude, after a tenth of the time in which heat crosses the square."""
    peclet, capacity = 10.0, 1.0
    law = HeatLaw(*map(np.float32, (0, 1e6, 1e6 + 1, 1, 0, capacity, 1, 1, 0, 1e6, 1e6 + 1)))
    shape, edge = (1, cells, cells), 1 / cells
    centres, faces = (np.arange(cells) + 0.5) * edge, np.arange(cells + 1) * edge
    y, x = np.meshgrid(centres, centres, indexing="ij")
    exact = np.cos(np.pi * x) * np.cos(np.pi * y)
    flows = [np.zeros(padded(shape), np.float32) for _ in range(3)]
    across, along = flows[1][GHOSTS, GHOSTS:, GHOSTS:], flows[2][GHOSTS, GHOSTS:, GHOSTS:]
    stream = peclet * np.sin(np.pi * faces)[:, None] * np.sin(np.pi * faces)[None, :] / np.pi
    along[:cells, : cells + 1] = np.diff(stream, axis=0)[:, : cells + 1] / edge  # u = ∂ψ/∂y
    across[: cells + 1, :cells] = -np.diff(stream, axis=1)[: cells + 1] / edge  # v = −∂ψ/∂x
    along[:cells][:, cells + 1 :], across[cells + 1 :] = 0, 0
    u = peclet * np.sin(np.pi * x) * np.cos(np.pi * y)
    v = -peclet * np.cos(np.pi * x) * np.sin(np.pi * y)
    source = -np.pi * (u * np.sin(np.pi * x) * np.cos(np.pi * y) + v * np.cos(np.pi * x) * np.sin(np.pi * y))
    source += 2 * np.pi**2 * exact
    steps = math.ceil(0.1 / (0.1 * edge**2))
    seconds = 0.1 / steps
    heat = np.zeros(padded(shape), np.float32)
    enthalpy, shares = exact[None].astype(np.float32), np.ones(1, np.float32)
    potential, spare, out = np.empty_like(enthalpy), np.empty_like(enthalpy), np.zeros_like(heat)
    whole, heating = np.array([[0, side, 1] for side in shape]), (source * seconds).astype(np.float32)
    for _ in range(steps):
        heat[INSIDE] = enthalpy
        heat[:] = np.pad(heat[INSIDE], GHOSTS, mode="symmetric")
        advect(
            window_of(shape), strides_of(heat), np.float32(seconds / edge), tuple(flow.ravel() for flow in flows),
            heat.ravel(), out.ravel(),
        )  # fmt: skip
        enthalpy[:] = out[INSIDE]
        find_potentials(whole, law, enthalpy, potential)
        conduct(whole, law, np.float32(seconds / edge**2), heating, shares, potential, enthalpy, spare)
    return float(np.abs(enthalpy[0] - exact).mean())
