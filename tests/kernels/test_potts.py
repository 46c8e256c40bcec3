"""Potts sweeps, bit for bit as a slow twin does them, and the kinetics they are known for."""

from __future__ import annotations

import numpy as np
import potts_oracles as oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from microrun.kernels.potts import MOLTEN, UNKNOWN, melt, sweep_key, sweep_mobile, sweep_potts
from microrun.training.simulate.potts import Shape, chances

SIDES = st.integers(3, 6)
SHAPES = st.tuples(SIDES, SIDES, SIDES)
TEMPERATURES = st.sampled_from([0.0, 0.3, 2.0])
SEEDS = st.integers(0, 2**62)


def few_spins(shape: Shape, seed: int, count: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, count, shape, np.int32)


def windows_of(shape: Shape) -> list[np.ndarray]:
    """The sub-lattices of a periodic volume, written out."""
    axes = []
    for side in shape:
        axes.append([(0, side - side % 2, 2), (1, side - side % 2, 2)])
        if side % 2:
            axes[-1].append((side - 1, side, 1))
    return [np.array([z, y, x]) for z in axes[0] for y in axes[1] for x in axes[2]]


def sweep(spins: np.ndarray, events: np.ndarray, key: int, temperature: float) -> None:
    for window in windows_of(spins.shape):
        sweep_potts(window, np.uint64(key), chances(temperature), events, spins)


@given(SEEDS, st.integers(0, 2**40))
def test_keys_are_those_of_splitmix64(seed: int, number: int) -> None:
    assert sweep_key(seed, number) == oracles.sweep_key(seed, number)


def test_random_bits_are_those_of_splitmix64_as_published() -> None:
    # The first outputs for the seed 1234567, of which Rosetta Code and many ports make their test.
    assert [oracles.draw(1234567, number) for number in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@settings(max_examples=25)
@given(SHAPES, TEMPERATURES, SEEDS)
def test_sweeps_are_those_of_the_slow_twin(shape: Shape, temperature: float, seed: int) -> None:
    spins = few_spins(shape, seed % 2**32)
    slow = spins.copy()
    events = np.full(shape, UNKNOWN, np.uint8)
    accept = [int(chance) for chance in chances(temperature)]
    for number in range(12):
        sweep(spins, events, sweep_key(seed, number), temperature)
        for sub_lattice in oracles.sub_lattices(shape):
            oracles.visit_potts(slow, sub_lattice, oracles.sweep_key(seed, number), accept)
        assert_array_equal(spins, slow)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_known_events_are_true_at_every_moment(temperature: float) -> None:
    spins, events = few_spins((5, 6, 7), 3), np.full((5, 6, 7), UNKNOWN, np.uint8)
    known = 0
    for number in range(40):
        sweep(spins, events, sweep_key(1, number), temperature)
        for place in zip(*np.nonzero(events != UNKNOWN), strict=True):
            around, own = oracles.neighbours(spins, place, True), spins[place]
            others = {spin for spin in around if spin != own}
            possible = any(temperature or around.count(spin) >= around.count(own) for spin in others)
            assert events[place] == (len(others) if possible else 0)
            known += 1
    assert known > 1000


def test_without_temperature_the_energy_never_grows() -> None:
    spins, events = few_spins((6, 6, 6), 5, 20), np.full((6, 6, 6), UNKNOWN, np.uint8)
    energies = [oracles.energy(spins, True)]
    for number in range(30):
        sweep(spins, events, sweep_key(2, number), 0)
        energies.append(oracles.energy(spins, True))
    assert (np.diff(energies) <= 0).all()
    assert energies[-1] < 0.9 * energies[0]


def test_a_flip_that_costs_energy_happens_as_often_as_the_temperature_says() -> None:
    side, temperature, trials, flipped = 40, 24.0, 0, 0
    for number in range(30):
        spins, events = np.zeros((side,) * 3, np.int32), np.full((side,) * 3, UNKNOWN, np.uint8)
        spins[::4, ::4, ::4] = 1  # alone: no neighbour like it, so its neighbours' flips cost 25 − 1 = 24
        window = np.array([[1, side, 4], [0, side, 4], [0, side, 4]])
        sweep_potts(window, np.uint64(sweep_key(3, number)), chances(temperature), events, spins)
        flipped += int(spins[1::4, ::4, ::4].sum())
        trials += spins[1::4, ::4, ::4].size
    expected = trials * np.exp(-24 / temperature) / 26
    assert abs(flipped - expected) < 4 * np.sqrt(expected)


def test_every_event_happens_once_in_26_sweeps_on_average() -> None:
    side, trials, flipped = 40, 0, 0
    for number in range(60):
        spins, events = np.zeros((side,) * 3, np.int32), np.full((side,) * 3, UNKNOWN, np.uint8)
        spins[::4, ::4, ::4] = 1
        window = np.array([[0, side, 4]] * 3)
        sweep_potts(window, np.uint64(sweep_key(4, number)), chances(0), events, spins)
        flipped += int((spins[::4, ::4, ::4] == 0).sum())
        trials += spins[::4, ::4, ::4].size
    assert flipped == pytest.approx(trials / 26, rel=0.05)


@settings(max_examples=25)
@given(SHAPES, TEMPERATURES, SEEDS)
def test_mobile_sweeps_are_those_of_the_slow_twin(shape: Shape, temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed % 2**32)
    mobility = rng.integers(MOLTEN, 2**16, shape, np.int32, endpoint=True)
    mobility[rng.random(shape) < 0.2] = 0
    spins = few_spins(shape, seed % 2**32)
    slow = spins.copy()
    accept, key = chances(temperature), sweep_key(seed, 0)
    corner = np.zeros(3, np.int64)
    for first in np.ndindex(2, 2, 2):
        window = np.array([[start, side, 2] for start, side in zip(first, shape, strict=True)])
        sweep_mobile(window, np.uint64(key), accept, mobility, corner, spins)
        for place in np.ndindex(shape):
            if tuple(p % 2 for p in place) == first and mobility[place] > 0:
                bits = oracles.draw(key, int(np.ravel_multi_index(place, shape)))
                oracles.try_flip(slow, place, bits, mobility[place] / 2**16, False, [int(a) for a in accept])
    assert_array_equal(spins, slow)


def test_melting_changes_the_molten_voxels_of_the_window_only() -> None:
    mobility = np.zeros((4, 4, 4), np.int32)
    mobility[1:3] = MOLTEN
    spins = np.full((6, 6, 6), -5, np.int32)
    corner = np.array([1, 1, 1])
    window = np.array([[1, 5, 1], [1, 5, 1], [1, 4, 1]])
    melt(window, np.uint64(7), mobility, corner, spins)
    molten = np.zeros(spins.shape, bool)
    molten[2:4, 1:5, 1:4] = True
    assert_array_equal(spins != -5, molten)
    assert (spins[molten] >= 0).all()
    assert len(np.unique(spins[molten])) == molten.sum()
