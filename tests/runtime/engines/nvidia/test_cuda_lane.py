"""Lanes of a card on a fake one that keeps CUDA's rules."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from fake_cuda import BROKEN, NO_MEMORY, REFUSED, FakeCuda, Moment
from fake_cuda_engine import SCRATCH_BYTES, FakeCudaEngine, FunctionCompute, Gate, clean_card, make_inputs, project
from hypothesis import given
from hypothesis import strategies as st
from lanes import in_thread
from numpy.testing import assert_array_equal

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.lanes import run_all, run_lanes
from microrun.runtime.engines.nvidia import cuda_lane
from microrun.runtime.engines.nvidia.cuda_lane import CudaLane, choose_lanes
from microrun.runtime.errors import EngineError

BATCH = 4
CLOSED = r"^the engine is closed$"
LANE_BYTES = SCRATCH_BYTES + 4 * BATCH * (16 + 3)  # of the card


CARDS: dict[str, dict[str, Any]] = {"late": {"late": True}, "threads": {}, "slow": {"delay_s": 1e-3}}


@pytest.fixture(params=CARDS.values(), ids=CARDS.keys())
def card(request: pytest.FixtureRequest) -> Any:
    """A card that does everything as late as it may, as soon as its threads can, or later."""
    return request.param


@pytest.fixture
def device(card: dict[str, Any]) -> Iterator[FakeCuda]:
    with clean_card(**card) as device:
        yield device


# --- results


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_results_come_in_order_whatever_the_lanes(device: FakeCuda, lanes: int, captured: bool) -> None:
    inputs = make_inputs(30)
    with FakeCudaEngine(device, lanes) as engine:
        engine.captured = captured
        assert_array_equal(run_all(engine, inputs), project(inputs))


@pytest.mark.parametrize("number", range(1, BATCH + 1))
def test_a_batch_is_padded_and_its_results_are_trimmed(device: FakeCuda, number: int) -> None:
    with FakeCudaEngine(device) as engine:
        lane = engine.lane()
        for seed in (1, 2):
            found = lane.run(make_inputs(number, seed))
            assert (found.shape, found.dtype) == ((number, 3), np.float32)
            assert_array_equal(found, project(make_inputs(number, seed)))


@given(st.lists(st.integers(1, BATCH), min_size=1, max_size=8), st.booleans(), st.booleans())
def test_any_split_into_batches_gives_the_same_bits(sizes: list[int], late: bool, captured: bool) -> None:
    inputs = make_inputs(sum(sizes))
    with clean_card(late=late) as device:
        one_by_one = run_split(device, captured, np.split(inputs, len(inputs)))
        assert_array_equal(one_by_one, project(inputs))
        assert_array_equal(run_split(device, captured, np.split(inputs, np.cumsum(sizes)[:-1])), one_by_one)


def run_split(device: FakeCuda, captured: bool, batches: list[Float32]) -> Float32:
    with FakeCudaEngine(device) as engine:
        engine.captured = captured
        lane = engine.lane()
        return np.concatenate([lane.run(batch).copy() for batch in batches])


def test_a_result_is_valid_until_the_next_run(device: FakeCuda) -> None:
    with FakeCudaEngine(device) as engine:
        lane, other = engine.lane(), engine.lane()
        found = lane.run(make_inputs(4))
        other.run(make_inputs(4, seed=1))
        assert_array_equal(found, project(make_inputs(4)))
        lane.run(make_inputs(4, seed=2))
        assert_array_equal(found, project(make_inputs(4, seed=2)))


def test_a_result_outlives_its_lane(device: FakeCuda) -> None:
    engine = FakeCudaEngine(device)
    found = engine.lane().run(make_inputs(2))
    engine.close()
    gc.collect()
    assert_array_equal(found, project(make_inputs(2)))
    assert (device.holds("memory"), device.holds("stream"), device.holds("pinned memory")) == (0, 0, 1)
    del found
    assert device.holds("pinned memory") == 0


# --- the card


def test_two_batches_are_in_flight_at_once(device: FakeCuda) -> None:
    gate = Gate()
    with FakeCudaEngine(device, function=gate) as engine:
        first, second = engine.lane(), engine.lane()
        since = len(device.log)
        gate.open.clear()
        one = in_thread(lambda: first.run(make_inputs(4)).copy())
        device.wait_until("started", "compute", 3)  # both have warmed up
        other = in_thread(lambda: second.run(make_inputs(4, seed=1)).copy())
        device.wait_until("started", "compute", 4)
        gate.open.set()
        assert_array_equal(one(), project(make_inputs(4)))
        assert_array_equal(other(), project(make_inputs(4, seed=1)))
    log = device.log[since:]
    computing = next(moment.stream for moment in log if (moment.what, moment.name) == ("started", "compute"))
    first_and_last = [log.index(Moment(what, "compute", computing)) for what in ("started", "ended")]
    others = {
        (moment.what, moment.name) for moment in log[slice(*first_and_last)] if moment.stream not in (0, computing)
    }
    assert {("called", "launch"), ("enqueued", "copy_in"), ("ended", "copy_in"), ("started", "compute")} <= others


@pytest.mark.parametrize("lazy", [True, False])
def test_it_has_run_before_it_is_captured(device: FakeCuda, lazy: bool) -> None:
    with FakeCudaEngine(device, lazy=lazy) as engine:
        lane = engine.lane()
        names = [(moment.what, moment.name) for moment in device.log]
        assert names.index(("ended", "copy_out")) < names.index(("called", "begin_capture"))
        assert_array_equal(lane.run(make_inputs(4)), project(make_inputs(4)))


def test_a_captured_lane_launches_one_graph_per_run(device: FakeCuda) -> None:
    with FakeCudaEngine(device) as engine:
        lane = engine.lane()
        for _ in range(5):
            lane.run(make_inputs(4))
    assert [device.count("called", name) for name in ("begin_capture", "compute", "launch")] == [1, 2, 5]
    assert device.count("ended", "compute") == 1 + 5


def test_without_capture_all_is_enqueued_at_every_run(device: FakeCuda) -> None:
    with FakeCudaEngine(device, lazy=True) as engine:
        engine.captured = False
        lane = engine.lane()
        for _ in range(5):
            lane.run(make_inputs(4))
    assert [device.count("called", name) for name in ("begin_capture", "launch", "compute")] == [0, 0, 1 + 5]


def test_lanes_are_made_while_others_run(device: FakeCuda) -> None:
    def work(seed: int) -> bool:
        return all(np.array_equal(engine.lane().run(inputs), project(inputs)) for inputs in [make_inputs(3, seed)] * 4)

    with FakeCudaEngine(device) as engine:
        results = [in_thread(lambda seed=seed: work(seed)) for seed in range(4)]  # type: ignore[misc]
        assert all(result() for result in results)


# --- errors


def try_everything(device: FakeCuda, captured: bool) -> list[str]:
    """Open, run three times, close; every run works or raises, and gives the right results. Returns the errors."""
    errors: list[str] = []
    with FakeCudaEngine(device) as engine:
        engine.captured = captured
        try:
            lane = engine.lane()
        except EngineError as error:
            return [str(error)]
        for seed in range(3):
            try:
                assert_array_equal(lane.run(make_inputs(3, seed)), project(make_inputs(3, seed)))
            except EngineError as error:
                errors.append(str(error))
    return errors


@pytest.mark.parametrize("captured", [True, False])
def test_whichever_call_fails_it_surfaces_and_all_is_given_back(card: dict[str, Any], captured: bool) -> None:
    failed = []
    for number in count(1):
        with clean_card(**card, fails_at=number) as device:
            errors = try_everything(device, captured)
        if not errors:
            break
        assert len(errors) == 1
        failed.append(errors[0].removesuffix(f" {REFUSED}"))
    made = ["make_stream", "make_event", *["allocate_pinned", "allocate"] * 2, "allocate"]
    work, wait = ["copy_in", "compute", "copy_out"], ["record", "wait"]
    capture = ["begin_capture", *work, "end_capture"]
    expected = [*work, *wait, *capture, *["launch", *wait] * 3] if captured else [*work, *wait] * 4
    assert failed == made + expected


@pytest.mark.parametrize("captured", [True, False])
def test_once_the_card_is_broken_every_run_says_so_and_all_is_given_back(card: dict[str, Any], captured: bool) -> None:
    failures = []
    for number in count(1):
        with clean_card(**card, breaks_at=number) as device:
            errors = try_everything(device, captured)
        if not errors:
            break
        assert set(errors) == {BROKEN}
        failures.append(len(errors))
    assert failures == [1] * 3 + [3] * 3 + [2] * 3 + [1] * 3  # the warm-up, and each of the runs


def test_lanes_are_made_until_the_card_is_full(device: FakeCuda) -> None:
    device.card = replace(device.card, memory_bytes=2 * LANE_BYTES + 1)
    with FakeCudaEngine(device) as engine:
        lanes = [engine.lane(), engine.lane()]
        with pytest.raises(EngineError) as error:
            engine.lane()
        assert str(error.value) == NO_MEMORY
        for lane in lanes:
            assert_array_equal(lane.run(make_inputs(4)), project(make_inputs(4)))


def test_a_library_that_cannot_be_bound_leaves_nothing_behind(device: FakeCuda) -> None:
    def refuse(stream: int, inputs: int, outputs: int) -> FunctionCompute:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        CudaLane(device, (4, 2), (4, 3), refuse)


# --- closing


def test_closing_waits_for_what_runs(device: FakeCuda) -> None:
    gate = Gate()
    engine = FakeCudaEngine(device, function=gate)
    lane, closed = engine.lane(), threading.Event()
    gate.open.clear()
    running = in_thread(lambda: lane.run(make_inputs(4)))
    device.wait_until("started", "compute", 2)
    closing = in_thread(lambda: (engine.close(), closed.set()))
    assert not closed.wait(0.05)
    assert device.holds("memory") == 3
    gate.open.set()
    closing()
    assert_array_equal(running(), project(make_inputs(4)))
    assert device.holds("memory") == 0
    with pytest.raises(EngineError, match=CLOSED):
        lane.run(make_inputs(4))


def test_closing_in_the_middle_of_many_batches(device: FakeCuda) -> None:
    engine = FakeCudaEngine(device, lanes=3)
    results = run_lanes(engine, (make_inputs(4, seed) for seed in range(100)), lambda lane, batch: lane.run(batch))
    for _ in range(5):
        next(results)
    engine.close()
    with pytest.raises(EngineError, match=CLOSED):
        list(results)


def test_closing_twice_is_closing_once(device: FakeCuda) -> None:
    engine = FakeCudaEngine(device)
    lane = engine.lane()
    for _ in range(2):
        lane.close()
        engine.close()
    assert device.count("called", "make_stream") == 1


def test_a_lane_that_nobody_keeps_gives_everything_back(device: FakeCuda) -> None:
    engine = FakeCudaEngine(device)
    lane = engine.lane()
    lane.run(make_inputs(4))
    del lane
    assert [device.holds(kind) for kind in ("stream", "event", "graph", "memory", "pinned memory")] == [0] * 5
    run_all(engine, make_inputs(20))
    assert device.holds("stream") == 0


@pytest.mark.parametrize(
    ("cores", "lane_bytes", "free_bytes", "lanes"),
    [(8, 100, 10_000, 9), (8, 100, 550, 5), (8, 100, 99, 2), (8, 0, 5, 5), (1, 1, 10_000, 2), (64, 1, 10_000, 65)],
)
def test_lanes_fit_cores_and_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int, lane_bytes: int, free_bytes: int, lanes: int
) -> None:
    monkeypatch.setattr(cuda_lane, "count_cores", lambda: cores)
    assert choose_lanes(lane_bytes, free_bytes) == lanes
