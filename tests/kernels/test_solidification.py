"""The phase field's kernel against the paper's equations in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solidification_oracles import advance, derivative, energy

from microrun.kernels.potts import sweep_key
from microrun.kernels.solidification import ORIENTATIONS, UNDERCOOLINGS, Place, Step, Window, advance_window
from microrun.training.simulate.solidify.laws import STEEL_LAWS

CELL, STEP, LIQUIDUS = 2e-6, 4e-7, 1723.0


def make_eta(shape, seed, sharp=False):
    rng = np.random.default_rng(seed)
    if sharp:
        return (rng.integers(0, ORIENTATIONS, shape)[..., None] == np.arange(ORIENTATIONS)).astype(np.float32)
    return rng.dirichlet(np.full(ORIENTATIONS, 0.2), shape).astype(np.float32)


def make_window(temperature):
    """All cells of a static field, with the margin that a window has along x."""
    margin = ((0, 0), (0, 0), (1, 1))
    padded = np.pad(temperature, margin, mode="edge").astype(np.float32)
    mobility = STEEL_LAWS.mobility_at(padded.astype(np.float64)).astype(np.float32)
    rows = temperature.shape[:2]
    return Window(padded, mobility, np.ones(rows, np.int64), np.full(rows, temperature.shape[2] + 1))


def make_step(chances=None, key=0):
    return Step(
        np.float32(STEP * STEEL_LAWS.barrier), np.float32(STEP * STEEL_LAWS.gradient / CELL**2), np.float32(LIQUIDUS),
        np.zeros(UNDERCOOLINGS) if chances is None else chances, np.uint64(key),
    )  # fmt: skip


def run(eta, window, step=None, shift=-1, fraction=0.0, columns=None):
    out, nuclei = eta.copy(), np.zeros(len(eta), np.int64)
    place = Place(shift, np.float32(fraction), columns or eta.shape[2])
    advance_window(np.array([0, len(eta)]), eta, window, place, step or make_step(), nuclei, out)
    return out, nuclei


def test_derivative_is_that_of_the_energy():
    rng = np.random.default_rng(3)
    eta = rng.random((3, 3, 4, 5))
    temperature = np.where(rng.random((3, 3, 4)) < 0.5, 1600.0, 1900.0)
    expected = derivative(eta, temperature, STEEL_LAWS, LIQUIDUS, CELL) * CELL**3
    for index in [(1, 1, 1, 0), (0, 2, 3, 4), (2, 0, 0, 2)]:
        nudge = np.zeros_like(eta)
        nudge[index] = 1e-5
        high, low = (energy(eta + sign * nudge, temperature, STEEL_LAWS, LIQUIDUS, CELL) for sign in (1, -1))
        assert (high - low) / 2e-5 == pytest.approx(expected[index], rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.tuples(*[st.integers(1, 5)] * 3), st.booleans())
def test_step_equals_the_equations(seed, shape, sharp):
    eta = make_eta(shape, seed, sharp)
    temperature = np.random.default_rng(seed).uniform(1200, 2300, shape)
    out, _ = run(eta, make_window(temperature))
    stored = temperature.astype(np.float32).astype(np.float64)
    expected = advance(eta.astype(np.float64), stored, STEEL_LAWS, LIQUIDUS, CELL, STEP)
    np.testing.assert_allclose(out, np.maximum(expected, 0), atol=1e-6)


def test_many_steps_on_a_static_field_stay_at_the_equations():
    shape = (6, 7, 8)
    eta, temperature = make_eta(shape, 1, sharp=True), np.linspace(1500, 1800, 8) + np.zeros(shape)
    window, expected = make_window(temperature), eta.astype(np.float64)
    stored = temperature.astype(np.float32).astype(np.float64)
    for _ in range(200):
        eta, _ = run(eta, window)
        expected = np.maximum(advance(expected, stored, STEEL_LAWS, LIQUIDUS, CELL, STEP), 0)
    np.testing.assert_allclose(eta, expected, atol=2e-5)
    assert np.array_equal(eta.argmax(-1), expected.argmax(-1))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.permutations(range(ORIENTATIONS)))
def test_orientations_are_alike(seed, order):
    eta = make_eta((3, 3, 3), seed)
    window = make_window(np.random.default_rng(seed).uniform(1300, 2100, (3, 3, 3)))
    out, _ = run(eta, window)
    permuted, _ = run(np.ascontiguousarray(eta[..., order]), window)
    np.testing.assert_allclose(permuted, out[..., order], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_order_parameters_stay_between_none_and_one(seed, sharp):
    eta = make_eta((4, 4, 4), seed, sharp)
    window = make_window(np.random.default_rng(seed).uniform(1200, 3000, (4, 4, 4)))
    for _ in range(30):
        eta, _ = run(eta, window)
    assert eta.min() >= 0
    assert eta.max() <= 1 + 1e-5


def test_cells_outside_of_the_spans_are_left_alone_and_cooled_ones_copied():
    eta = make_eta((1, 1, 8), 2)
    temperature = np.full((1, 1, 8), 1700.0)
    window = make_window(temperature)._replace(first=np.array([[4]]), stop=np.array([[7]]))
    before = make_eta((1, 1, 8), 5)
    out = before.copy()
    advance_window(np.array([0, 1]), eta, window, Place(-1, np.float32(0), 8), make_step(), np.zeros(1, np.int64), out)
    assert np.array_equal(out[0, 0, :2], before[0, 0, :2])
    assert np.array_equal(out[0, 0, 2], eta[0, 0, 2])  # has just cooled
    assert not np.array_equal(out[0, 0, 3:6], eta[0, 0, 3:6])
    assert np.array_equal(out[0, 0, 6:], before[0, 0, 6:])


def test_the_ring_hides_nothing():
    """The same columns give the same wherever the ring begins."""
    columns, temperature = 9, np.linspace(1400, 1900, 9) + np.zeros((2, 2, 9))
    eta = make_eta((2, 2, columns), 4)
    plain, _ = run(eta, make_window(temperature))
    ring = columns + 2
    for shift in (0, 5, 23):
        turned = np.zeros((2, 2, ring, ORIENTATIONS), np.float32)
        places = (np.arange(columns) + shift) % ring
        turned[:, :, places] = eta
        # The columns before and behind are there too, and alike at the ends, as without flux.
        turned[:, :, (shift - 1) % ring], turned[:, :, (shift + columns) % ring] = eta[:, :, 0], eta[:, :, -1]
        out, _ = run(turned, make_window(temperature), shift=shift - 1, columns=1000)
        if shift:
            assert np.array_equal(out[:, :, places], plain)


def test_a_fraction_of_a_cell_lies_between_columns():
    temperature = np.linspace(1300, 1500, 6) + np.zeros((1, 1, 6))
    eta = make_eta((1, 1, 6), 8)
    out, _ = run(eta, make_window(temperature), fraction=0.25)
    shifted = temperature.copy()
    shifted[..., 1:] -= 0.25 * 40
    expected = advance(eta.astype(np.float64), shifted, STEEL_LAWS, LIQUIDUS, CELL, STEP)
    np.testing.assert_allclose(out, expected, atol=1e-4)  # the mobility is interpolated, too: no exact exponential


def fisher_speed(temperature):
    """Speed of a front into liquid on the lattice: the slowest of all exponential heads, with explicit steps."""
    mobility = STEEL_LAWS.mobility_at(np.array(temperature))
    steep = np.linspace(0.05, 8, 4000)
    growth = mobility * (STEEL_LAWS.barrier + 2 * STEEL_LAWS.gradient / CELL**2 * (np.cosh(steep) - 1))
    return (np.log1p(STEP * growth) / STEP * CELL / steep).min()


@pytest.mark.parametrize("temperature", [1700.0, 1600.0])
def test_the_front_moves_as_fast_as_theory_says(temperature):
    columns, places = 110, {}
    eta = np.zeros((1, 1, columns, ORIENTATIONS), np.float32)
    eta[:, :, :5, 3] = 1
    window = make_window(np.full((1, 1, columns), temperature))
    for number in range(12000):
        eta, _ = run(eta, window)
        places.setdefault(int((eta[0, 0, :, 3] > 0.5).sum()), number)
        if max(places) >= 100:
            break
    low, high = 50, max(places)
    first, last = places[low], places[high]
    measured = (high - low) * CELL / ((last - first) * STEP)
    assert measured == pytest.approx(fisher_speed(temperature), rel=0.05)  # a pulled front comes near from below
    assert measured < 0.31


def nucleation_case(chance, undercooling, molten=True, cooling=True, key=7):
    shape = (20, 30, 40)
    slope = 1e-3 if cooling else -1e-3  # K per column: too small to matter, but it tells what cools
    temperature = LIQUIDUS - undercooling + slope * np.arange(shape[2]) + np.zeros(shape)
    eta = np.zeros((*shape, ORIENTATIONS), np.float32)
    if not molten:
        eta[..., 0] = 1
    window = make_window(temperature)
    step = make_step(np.full(UNDERCOOLINGS, chance), sweep_key(key, 0))
    return run(eta, window, step)


def test_nuclei_come_by_chance_and_are_grains_of_all_orientations():
    out, nuclei = nucleation_case(0.05, 10)
    count = 20 * 30 * 39  # the first column has nothing colder beside it
    assert nuclei.sum() == pytest.approx(0.05 * count, abs=5 * np.sqrt(0.05 * count))
    born = out[out.sum(-1) > 0]
    assert len(born) == nuclei.sum()
    assert set(np.unique(born)) == {0.0, 1.0}
    shares = born.sum(0) / len(born)
    assert shares.min() > 0.03
    assert shares.max() < 0.07


@pytest.mark.parametrize(
    ("undercooling", "molten", "cooling"), [(10, False, True), (10, True, False), (60, True, True), (-5, True, True)]
)
def test_nothing_nucleates_in_the_solid_while_it_warms_or_outside_of_the_range(undercooling, molten, cooling):
    _, nuclei = nucleation_case(0.5, undercooling, molten, cooling)
    assert not nuclei.any()


def test_chances_are_interpolated_between_whole_kelvins():
    chances = np.zeros(UNDERCOOLINGS)
    chances[11] = 0.2
    temperature = LIQUIDUS - 10.25 - 0.03 + 1e-3 * np.arange(60) + np.zeros((30, 40, 60))  # 10.25 K on average
    eta = np.zeros((30, 40, 60, ORIENTATIONS), np.float32)
    _, nuclei = run(eta, make_window(temperature), make_step(chances, 99))
    count = 30 * 40 * 59
    assert nuclei.sum() == pytest.approx(0.05 * count, abs=6 * np.sqrt(0.05 * count))


def test_planes_in_parts_give_the_same():
    eta, temperature = make_eta((7, 5, 9), 6), np.random.default_rng(6).uniform(1500, 1900, (7, 5, 9))
    window, step = make_window(temperature), make_step(np.full(UNDERCOOLINGS, 0.3), 11)
    whole, nuclei = run(eta, window, step)
    parts, counted = eta.copy(), np.zeros(7, np.int64)
    for part in ([0, 1], [1, 4], [4, 7]):
        advance_window(np.array(part), eta, window, Place(-1, np.float32(0), 9), step, counted, parts)
    assert np.array_equal(parts, whole)
    assert np.array_equal(counted, nuclei)
