"""The phase field of hot cells against the paper's equations on all cells, in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solidification_oracles import advance

from microrun.kernels.potts import sweep_key
from microrun.kernels.solidification import ORIENTATIONS, UNDERCOOLINGS, Step
from microrun.kernels.solidification_history import (
    COLD,
    FIXED,
    GOES_ON,
    NONE,
    NUCLEATED,
    Events,
    Hot,
    Moment,
    advance_history,
    close_cells,
    fixed_rows,
    open_cells,
)
from microrun.training.simulate.solidify.laws import STEEL_LAWS

CELL, STEP, LIQUIDUS, HOTTEST = 2e-6, 4e-7, 1723.0, 2000
MOBILITY = np.append(0, STEEL_LAWS.mobility_at(np.arange(1.0, HOTTEST + 1))).astype(np.float32)


def make_step(chances=None, key=0):
    return Step(
        np.float32(STEP * STEEL_LAWS.barrier), np.float32(STEP * STEEL_LAWS.gradient / CELL**2), np.float32(LIQUIDUS),
        np.zeros(UNDERCOOLINGS) if chances is None else chances, np.uint64(key),
    )  # fmt: skip


class Scene:
    """Some cells of a box are hot, each in an event of its own; rows stand in any order."""

    def __init__(self, seed, shape, share=0.6):
        rng = np.random.default_rng(seed)
        self.shape, cells = shape, int(np.prod(shape))
        self.orientation = rng.integers(NONE, ORIENTATIONS, shape).astype(np.int8)
        self.order = rng.permutation(np.flatnonzero(rng.random(cells) < share))
        self.top = int(rng.integers(1, shape[0] + 1))
        self.order = self.order[self.order < self.top * shape[1] * shape[2]]
        count = len(self.order)
        self.elapsed, self.rate = rng.uniform(-2e-4, 4e-4, count), rng.uniform(3e5, 3e6, count)
        self.values = rng.dirichlet(np.full(ORIENTATIONS, 0.2), count).astype(np.float32)

    @property
    def temperature(self):
        cooled = np.maximum(LIQUIDUS - self.rate * self.elapsed, 0)
        return np.where(self.elapsed >= 0, cooled, HOTTEST).astype(np.float32).astype(np.float64)

    def run(self, step=None, parts=1, order=None):
        """The rows' new values and marks, in the order of `self.order`."""
        order = np.arange(len(self.order)) if order is None else order
        slot = np.full(self.shape, NONE, np.int32)
        slot.ravel()[self.order[order]] = FIXED + np.arange(len(order))
        pad = np.zeros(FIXED, np.int64)
        event = np.append(pad, order)
        hot = Hot(np.append(pad, self.order[order]), event, slot, self.orientation)
        events = Events(self.order, 1.0 - self.elapsed, self.rate)
        eta = np.concatenate([fixed_rows(), self.values[order]])
        out, mark = np.full_like(eta, np.nan), np.full(len(eta), 9, np.uint8)
        moment = Moment(1.0, self.top, np.float32(1200), MOBILITY)
        for rows in np.array_split(np.arange(FIXED, len(eta)), parts):
            if len(rows):
                bounds = np.array([rows[0], rows[-1] + 1])
                advance_history(bounds, eta, hot, events, moment, step or make_step(), mark, out)
        values, marks = np.empty_like(self.values), np.empty(len(order), np.uint8)
        values[order], marks[order] = out[FIXED:], mark[FIXED:]
        return values, marks

    def by_hand(self):
        """All cells of the planes that there are, in float64; cold ones are one-hot."""
        eta = (self.orientation[..., None] == np.arange(ORIENTATIONS)).astype(np.float64)
        temperature = np.full(self.shape, 300.0)
        eta.reshape(-1, ORIENTATIONS)[self.order] = self.values
        temperature.ravel()[self.order] = self.temperature
        laid = slice(0, self.top)
        eta[laid] = advance(eta[laid], temperature[laid], STEEL_LAWS, LIQUIDUS, CELL, STEP)
        moved = np.maximum(eta.reshape(-1, ORIENTATIONS)[self.order], 0)
        return np.where(self.temperature[:, None] > 1200, moved, self.values)


scenes = st.builds(Scene, st.integers(0, 2**32), st.tuples(*[st.integers(1, 5)] * 3), st.sampled_from([0.2, 0.6, 1.0]))


@settings(max_examples=40, deadline=None)
@given(scenes)
def test_step_equals_the_equations(scene):
    values, marks = scene.run()
    np.testing.assert_allclose(values, scene.by_hand(), atol=2e-6)
    np.testing.assert_array_equal(marks, np.where(scene.temperature > 1200, GOES_ON, COLD))


@settings(max_examples=20, deadline=None)
@given(scenes, st.integers(1, 4), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_parts_change_a_bit(scene, parts, random):
    order = list(range(len(scene.order)))
    random.shuffle(order)
    step = make_step(np.full(UNDERCOOLINGS, 0.3), sweep_key(5, 7))
    for one, other in zip(scene.run(step), scene.run(step, parts, np.array(order, np.int64)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_molten_cells_nucleate_as_often_as_they_should():
    scene = Scene(1, (20, 30, 40), 1.0)
    scene.values[:] = 0.01
    scene.elapsed[:] = 1e-5
    scene.rate[:] = 1e6  # 10 K below the liquidus
    values, marks = scene.run(make_step(np.linspace(0, 0.37, UNDERCOOLINGS), sweep_key(3, 1)))
    born = marks == NUCLEATED
    assert born.mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.1 * 0.9 / len(born)))
    assert (np.sort(values[born], axis=1)[:, -2:] == (0, 1)).all()
    assert len(np.unique(values[born].argmax(axis=1))) == ORIENTATIONS


@pytest.mark.parametrize(("elapsed", "value"), [(-1e-5, 0.01), (4e-5, 0.01), (1e-5, 0.9)])
def test_nothing_nucleates_above_the_liquidus_far_below_or_in_solid(elapsed, value):
    scene = Scene(1, (6, 6, 6), 1.0)
    scene.values[:] = 0
    scene.values[:, 0] = value
    scene.elapsed[:], scene.rate[:] = elapsed, 1e6
    assert not (scene.run(make_step(np.ones(UNDERCOOLINGS)))[1] == NUCLEATED).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_cells_open_and_close_as_in_a_dictionary(seed):
    rng = np.random.default_rng(seed)
    shape = (2, 3, 4)
    cells = rng.integers(0, 24, 60)
    events = Events(cells.astype(np.int64), np.zeros(60), np.ones(60))
    orientation = rng.integers(0, ORIENTATIONS, shape).astype(np.int8)
    hot = Hot(np.zeros(99, np.int64), np.zeros(99, np.int64), np.full(shape, NONE, np.int32), orientation)
    eta = np.zeros((99, ORIENTATIONS), np.float32)
    known, solid = {}, dict(enumerate(orientation.ravel().tolist()))
    count, first = FIXED, 0
    while first < 60:
        stop = first + int(rng.integers(0, 9))
        stop = min(stop, 60)
        count = open_cells(first, stop, count, events, hot, eta)
        for event in range(first, stop):
            cell = int(cells[event])
            value = known[cell][1] if cell in known else np.eye(1, ORIENTATIONS, solid[cell])[0] * (solid[cell] >= 0)
            known[cell] = (event, value)
        first = stop
        for row in range(FIXED, count):  # something happens to them
            known[hot.cell[row]] = (known[hot.cell[row]][0], rng.random(ORIENTATIONS).astype(np.float32) * 0.15)
            eta[row] = known[hot.cell[row]][1]
        mark = rng.choice([GOES_ON, COLD, NUCLEATED], 99).astype(np.uint8)
        closed = [int(hot.cell[row]) for row in range(FIXED, count) if mark[row] == COLD]
        count = close_cells(count, mark, 0.145, hot, eta)
        for cell in closed:
            value = known.pop(cell)[1]
            solid[cell] = int(value.argmax()) if value.max() >= np.float32(0.145) else NONE
        assert count - FIXED == len(known)
        for cell, (event, value) in known.items():
            row = hot.slot.ravel()[cell]
            assert (hot.cell[row], hot.event[row]) == (cell, event)
            np.testing.assert_array_equal(eta[row], value)
        assert [solid[cell] for cell in range(24) if cell not in known] == [
            int(orientation.ravel()[cell]) for cell in range(24) if hot.slot.ravel()[cell] == NONE
        ]
