"""Conduction against a slow twin, and against Neumann's solution of a melting front."""

from __future__ import annotations

import math

import melt_pool_oracles as oracles
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq

from microrun.kernels.conduction import HeatLaw, conduct, find_potentials, find_temperatures
from microrun.runtime.workers import Workers

LAW = oracles.law_of()
SIDES = st.integers(1, 6)
SHAPES = st.tuples(SIDES, SIDES, st.integers(2, 20))
NUMBER = np.float32(1.5e-5)  # m kg⁻¹ s: nearly the longest stable step of 316L


def whole(shape: tuple[int, ...]) -> np.ndarray:
    return np.array([[0, side, 1] for side in shape])


def random_heat(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 2.5e6, shape).astype(np.float32)


def advance(enthalpy: np.ndarray, law: HeatLaw = LAW, number: np.float32 = NUMBER, steps: int = 1) -> None:
    """Steps without a source, in place."""
    potential, spare = np.empty_like(enthalpy), np.empty_like(enthalpy)
    find_potentials(whole(enthalpy.shape), law, enthalpy, potential)
    none, shares = np.zeros(enthalpy.shape[1:], np.float32), np.ones(len(enthalpy), np.float32)
    for _ in range(steps):
        conduct(whole(enthalpy.shape), law, number, none, shares, potential, enthalpy, spare)
        potential, spare = spare, potential


@given(st.floats(300, 5500))
def test_temperatures_are_those_of_the_integrated_heat_capacity(kelvin: float) -> None:
    heat = np.array([[[oracles.enthalpy_of(LAW, np.array(kelvin))]]], np.float32)
    found = np.empty_like(heat)
    find_temperatures(whole(heat.shape), LAW, heat, found)
    assert found.item() == pytest.approx(kelvin, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.integers(0, 2**31))
def test_a_step_is_that_of_the_slow_twin(shape: tuple[int, int, int], seed: int) -> None:
    enthalpy = random_heat(shape, seed)
    kelvin = oracles.temperature_of(LAW, enthalpy.astype(np.float64))
    expected = enthalpy + oracles.conducted(LAW, float(NUMBER), kelvin)
    potential, out = np.empty_like(enthalpy), np.empty_like(enthalpy)
    find_potentials(whole(shape), LAW, enthalpy, potential)
    heating = np.random.default_rng(seed).uniform(0, 1e4, shape[1:]).astype(np.float32)
    shares = np.random.default_rng(seed).uniform(0, 1, shape[0]).astype(np.float32)
    conduct(whole(shape), LAW, NUMBER, heating, shares, potential, enthalpy, out)
    assert_allclose(enthalpy, expected + shares[:, None, None] * heating, rtol=2e-5, atol=30)
    again = np.empty_like(out)
    find_potentials(whole(shape), LAW, enthalpy, again)
    assert_allclose(out, again, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(SHAPES, st.integers(0, 2**31))
def test_heat_is_kept(shape: tuple[int, int, int], seed: int) -> None:
    enthalpy = random_heat(shape, seed)
    before = enthalpy.sum(dtype=np.float64)
    low, high = enthalpy.min(), enthalpy.max()
    advance(enthalpy, steps=20)
    assert enthalpy.sum(dtype=np.float64) == pytest.approx(before, rel=1e-6)
    assert low * (1 - 1e-5) <= enthalpy.min() and enthalpy.max() <= high * (1 + 1e-5)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    shape = (13, 9, 37)
    alone, shared = random_heat(shape, 1), random_heat(shape, 1)
    advance(alone, steps=1)
    potential, out = np.empty_like(shared), np.empty_like(shared)
    find_potentials(whole(shape), LAW, shared, potential)
    none, shares = np.zeros(shape[1:], np.float32), np.ones(shape[0], np.float32)
    with Workers(threads) as workers:
        workers.run(conduct, whole(shape), LAW, NUMBER, none, shares, potential, shared, out)
    assert_array_equal(alone, shared)


def test_a_melting_front_moves_as_neumann_says() -> None:
    # One-phase Stefan problem: a solid at its melting point, a wall that is 200 K warmer.
    latent, capacity, conductivity, density, warmer = 2e5, 600.0, 30.0, 8000.0, 200.0
    melting, span = 1000.0, 0.5
    heats = (capacity, capacity + latent / span, capacity, 0.0, capacity * 1.0, capacity * (1 + span) + latent)
    law = HeatLaw(*map(np.float32, (melting - 1, melting, melting + span, conductivity, 0.0, *heats)))
    stefan = capacity * warmer / latent
    root = brentq(lambda x: x * math.exp(x**2) * math.erf(x) - stefan / math.sqrt(math.pi), 1e-3, 3)
    edge, cells = 2e-6, 120
    number = np.float32(0.3 * edge**2 * density * capacity / conductivity / (density * edge**2))
    seconds = 0.3 * edge**2 * density * capacity / conductivity
    enthalpy = np.full((1, 1, cells), law.solidus_j_kg, np.float32)
    wall = float(law.liquidus_j_kg) + capacity * (warmer - span)
    steps = 6_000
    potential, spare = np.empty_like(enthalpy), np.empty_like(enthalpy)
    none, shares = np.zeros((1, cells), np.float32), np.ones(1, np.float32)
    for _ in range(steps):
        enthalpy[0, 0, 0] = wall
        find_potentials(whole(enthalpy.shape), law, enthalpy, potential)
        conduct(whole(enthalpy.shape), law, number, none, shares, potential, enthalpy, spare)
    liquid = np.clip((enthalpy[0, 0, 1:] - law.solidus_j_kg) / (law.liquidus_j_kg - law.solidus_j_kg), 0, 1)
    front = (liquid.sum() + 0.5) * edge  # from the centre of the wall's cell
    alpha = conductivity / (density * capacity)
    assert front == pytest.approx(2 * root * math.sqrt(alpha * steps * seconds), rel=0.01)
