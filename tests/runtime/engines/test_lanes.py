"""All lanes of an engine at once: results in order, few items in flight, an error stops the rest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from make_models import tiny_spec
from numpy.testing import assert_array_equal

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import Engine, EngineInfo, Lane
from microrun.runtime.engines.lanes import PENDING_PER_LANE, run_all, run_lanes
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.runtime.testing import FunctionLane, ProjectionEngine

WAIT_S = 20.0  # for what would otherwise hang; nothing takes that long


class CountingLane(Lane):
    """A lane that notices when two threads use it at once."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self.inputs = np.zeros((4, 1), np.float32)

    def compute(self, count: int) -> Float32:
        assert self._busy.acquire(blocking=False), "two threads share a lane"
        try:
            return self.inputs[:count]
        finally:
            self._busy.release()


class CountingEngine(Engine):
    """An engine that keeps the lanes it made."""

    def __init__(self, lanes: int) -> None:
        super().__init__(tiny_spec(), EngineInfo(Path("counting"), "0" * 64, "none", "cpu", "f32", lanes, 4))
        self.made: list[CountingLane] = []

    def lane(self) -> CountingLane:
        self.made.append(CountingLane())
        return self.made[-1]


class Items:
    """Numbers that count how many of them were taken."""

    def __init__(self, count: int) -> None:
        self.count, self.taken = count, 0

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            self.taken += 1
            yield number


def run_engine() -> ProjectionEngine:
    spec = ModelSpec("tiny", "encoder", 5, Preprocessing((4, 4), 0))
    return ProjectionEngine(spec, lanes=3, batch=4)


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(lanes: int) -> None:
    def work(lane: Lane, item: int) -> int:
        lane.run(np.zeros((1, 1), np.float32))
        threading.Event().wait(0.002 * (item % 3 == 0))  # others overtake it
        return item**2

    engine = CountingEngine(lanes)
    assert list(run_lanes(engine, range(40), work)) == [item**2 for item in range(40)]
    assert len(engine.made) == lanes


def test_all_lanes_work_at_once() -> None:
    together = threading.Barrier(3)

    def work(lane: Lane, item: int) -> Lane:
        together.wait(WAIT_S)
        return lane

    assert len(set(run_lanes(CountingEngine(3), range(3), work))) == 3


def test_without_items_there_are_no_results() -> None:
    assert list(run_lanes(CountingEngine(2), [], lambda lane, item: item)) == []


@pytest.mark.parametrize("lanes", [1, 3])
def test_items_are_taken_when_they_are_needed(lanes: int) -> None:
    items = Items(100)
    results = run_lanes(CountingEngine(lanes), items, lambda lane, item: item)
    assert items.taken == 0
    for done, _ in enumerate(results, 1):
        assert done <= items.taken <= done + PENDING_PER_LANE * lanes
    assert items.taken == 100


def test_an_error_surfaces_and_stops_the_rest() -> None:
    items = Items(1000)

    def work(lane: Lane, item: int) -> int:
        if item == 5:
            raise ValueError("item 5")
        return item

    results = run_lanes(CountingEngine(2), items, work)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="item 5"):
        next(results)
    assert items.taken <= 6 + PENDING_PER_LANE * 2
    assert next(results, None) is None


def test_an_error_of_the_items_surfaces() -> None:
    def items() -> Iterator[int]:
        yield from (0, 1)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(run_lanes(CountingEngine(2), items(), lambda lane, item: item))


def test_lanes_are_free_again_after_an_error() -> None:
    def work(lane: Lane, item: int) -> int:
        if item == 0:
            raise ValueError
        return item

    engine = CountingEngine(1)
    with pytest.raises(ValueError):
        list(run_lanes(engine, range(3), work))
    assert list(run_lanes(engine, range(1, 4), work)) == [1, 2, 3]


def test_who_stops_early_leaves_no_thread_behind() -> None:
    before, items = threading.active_count(), Items(1000)
    results = run_lanes(CountingEngine(3), items, lambda lane, item: item)
    next(results)
    results.close()
    assert threading.active_count() == before
    assert items.taken < 10


@pytest.mark.parametrize("count", [1, 3, 4, 5, 30])
def test_many_inputs_are_run_in_batches(count: int) -> None:
    engine = run_engine()
    inputs = np.random.default_rng(0).standard_normal((count, 1, 4, 4)).astype(np.float32)
    found = run_all(engine, inputs)
    assert found.shape == (count, 5)
    assert_array_equal(found, engine.project(inputs))


def test_what_a_lane_returns_is_copied() -> None:
    class Reusing(CountingEngine):
        """Each lane writes all its results into one buffer."""

        def lane(self) -> Lane:  # type: ignore[override]
            return FunctionLane(lambda inputs: inputs, (4, 8))

    inputs = np.arange(80, dtype=np.float32).reshape(10, 8)
    assert_array_equal(run_all(Reusing(2), inputs), inputs)
