"""The fake card keeps CUDA's rules: whoever breaks one is found out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from fake_cuda import BrokenRuleError, FakeCuda
from fake_cuda_engine import FakeCudaEngine, FunctionCompute, Gate, clean_card, make_inputs, project
from lanes import in_thread
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.engines.nvidia import cuda_lane
from microrun.runtime.engines.nvidia.cuda import Cuda, Device
from microrun.runtime.engines.nvidia.cuda_lane import CudaLane


@pytest.fixture(params=[True, False], ids=["late", "threads"])
def device(request: pytest.FixtureRequest) -> Iterator[FakeCuda]:
    with clean_card(late=request.param) as device:
        yield device


def test_the_fake_has_all_that_a_card_has() -> None:
    names = [name for name, value in vars(Device).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert {"make_stream", "wait", "allocate_pinned"} <= set(names)
    for name in names:
        expected = inspect.signature(getattr(Device, name))
        assert inspect.signature(getattr(FakeCuda, name)) == expected
        assert inspect.signature(getattr(Cuda, name)) == expected


class Made:
    """A stream, an event, four numbers on the card and in pinned memory, and a graph that copies them in."""

    def __init__(self, device: FakeCuda) -> None:
        self.device, self.stream, self.event = device, device.make_stream(), device.make_event()
        self.address, self.array = device.allocate(16), device.allocate_pinned((4,), np.float32)
        device.begin_capture(self.stream)
        device.copy_in(self.address, self.array, self.stream)
        self.graph = device.end_capture(self.stream)

    def copy_in(self, array: NDArray[Any] | None = None) -> None:
        self.device.copy_in(self.address, self.array if array is None else array, self.stream)

    def record(self) -> None:
        self.device.record(self.event, self.stream)

    def wait(self) -> None:
        self.record()
        self.device.wait(self.event)

    def launch(self) -> None:
        self.device.launch(self.graph, self.stream)

    def capture(self) -> None:
        self.device.begin_capture(self.stream)

    def change(self) -> None:
        self.array += 1

    def drop(self) -> None:
        del self.array

    def free(self) -> None:
        self.device.free(self.address)


def elsewhere(work: Callable[[], object]) -> None:
    """Do it in another thread; what it breaks is noted by the fake."""

    def quietly() -> None:
        with suppress(BrokenRuleError):
            work()

    in_thread(quietly)()


EARLY = "is given back before the work with it was waited for"
OUTSIDE = "do not lie within"
GONE = "there is no"
CAPTURING = "during a capture of the same thread"
MISUSES: dict[str, tuple[Callable[[Made], object], str]] = {
    "copy of ordinary memory": (lambda m: m.copy_in(np.zeros(4, np.float32)), f"{OUTSIDE} pinned memory"),
    "copy past the end": (lambda m: m.copy_in(m.device.allocate_pinned((5,), np.float32)), f"{OUTSIDE} memory"),
    "copy out past the end": (
        lambda m: m.device.copy_out(m.array, m.address + 4, m.stream),
        f"{OUTSIDE} memory",
    ),
    "copy with holes": (lambda m: m.copy_in(m.array[::2]), "with holes"),
    "changed before the copy": (lambda m: (m.copy_in(), m.change(), m.wait()), "changed before it was copied in"),
    "changed before the graph": (lambda m: (m.launch(), m.change(), m.wait()), "changed before it was copied in"),
    "freed too early": (lambda m: (m.copy_in(), m.free()), f"a memory {EARLY}"),
    "freed after the record": (lambda m: (m.copy_in(), m.record(), m.free()), f"a memory {EARLY}"),
    "pinned freed too early": (lambda m: (m.copy_in(), m.drop()), f"a pinned memory {EARLY}"),
    "stream destroyed too early": (lambda m: (m.copy_in(), m.device.destroy_stream(m.stream)), EARLY),
    "event destroyed too early": (lambda m: (m.record(), m.device.destroy_event(m.event)), EARLY),
    "graph destroyed too early": (lambda m: (m.launch(), m.device.destroy_graph(m.graph)), EARLY),
    "freed twice": (lambda m: (m.free(), m.free()), f"{GONE} memory"),
    "stream destroyed twice": (lambda m: [m.device.destroy_stream(m.stream) for _ in "12"], f"{GONE} stream"),
    "one thing for another": (lambda m: m.device.destroy_event(m.stream), f"{GONE} event"),
    "copy after free": (lambda m: (m.free(), m.copy_in()), f"{OUTSIDE} memory"),
    "launch after free": (lambda m: (m.free(), m.launch()), "which was given back"),
    "launch after the host's memory is gone": (lambda m: (m.drop(), m.launch()), "which was given back"),
    "launch on a stream that is gone": (lambda m: (m.device.destroy_stream(m.stream), m.launch()), f"{GONE} stream"),
    "launch of a graph that is gone": (lambda m: (m.device.destroy_graph(m.graph), m.launch()), f"{GONE} graph"),
    "launched twice": (lambda m: (m.launch(), m.record(), m.launch()), "launched again"),
    "wait without record": (lambda m: m.device.wait(m.event), "never recorded"),
    "allocated in a capture": (lambda m: (m.capture(), m.device.allocate(1)), f"allocate {CAPTURING}"),
    "pinned in a capture": (lambda m: (m.capture(), m.device.allocate_pinned((1,), "u1")), f"pinned {CAPTURING}"),
    "freed in a capture": (lambda m: (m.capture(), m.free()), f"giving back a memory {CAPTURING}"),
    "waited in a capture": (lambda m: (m.record(), m.capture(), m.device.wait(m.event)), f"wait {CAPTURING}"),
    "launched in a capture": (lambda m: (m.capture(), m.launch()), f"launch {CAPTURING}"),
    "captured twice": (lambda m: (m.capture(), elsewhere(m.capture)), "captured twice"),
    "enqueued in another's capture": (lambda m: (m.capture(), elsewhere(m.copy_in)), "that another one captures"),
    "another's capture ended": (
        lambda m: (m.capture(), elsewhere(lambda: m.device.end_capture(m.stream))),
        "not begun",
    ),
    "stream destroyed in a capture": (
        lambda m: (m.capture(), m.device.destroy_stream(m.stream)),
        "while it is captured",
    ),
    "capture ended twice": (lambda m: m.device.end_capture(m.stream), "not begun"),
}


@pytest.mark.parametrize(("misuse", "rule"), MISUSES.values(), ids=MISUSES.keys())
def test_a_broken_rule_is_noted(misuse: Callable[[Made], object], rule: str) -> None:
    device = FakeCuda(late=True)
    made = Made(device)
    with suppress(BrokenRuleError):
        misuse(made)
    assert len(device.broken_rules) == 1
    assert rule in device.broken_rules[0]
    with pytest.raises(AssertionError, match=r"before|within|no |holes|given back|again|never|during|captur|begun"):
        device.assert_clean()


def test_what_is_allowed_breaks_no_rule(device: FakeCuda) -> None:
    made = Made(device)
    assert not made.array.any()
    made.array[:] = [1, 2, 3, 4]
    out = device.allocate_pinned((4,), np.float32)
    made.capture()
    elsewhere(lambda: device.free(device.allocate(8)))  # another thread may
    device.copy_out(out, made.address, made.stream)
    graph = device.end_capture(made.stream)
    device.launch(graph, made.stream)
    made.wait()
    assert np.isnan(out).all()  # what nobody wrote to
    made.launch()
    device.launch(graph, made.stream)
    made.record()
    device.copy_out(out, made.address, made.stream)
    device.wait(made.event)
    made.wait()
    assert_array_equal(out, [1, 2, 3, 4])
    for release, number in (
        (device.destroy_graph, graph),
        (device.destroy_graph, made.graph),
        (device.free, made.address),
        (device.destroy_event, made.event),
        (device.destroy_stream, made.stream),
    ):
        release(number)


def test_late_means_that_nothing_is_done_before_it_is_waited_for() -> None:
    device = FakeCuda(late=True)
    made = Made(device)
    out = device.allocate_pinned((4,), np.float32)
    made.array[:] = 1
    made.launch()
    made.record()
    device.copy_out(out, made.address, made.stream)
    assert np.isnan(out).all()
    assert device.count("started", "copy_in") == 0
    device.wait(made.event)
    assert device.count("ended", "copy_in") == 1
    assert np.isnan(out).all(), "the event was recorded before the copy out"
    made.wait()
    assert (out == 1).all()


def test_what_is_not_given_back_is_named() -> None:
    made = Made(device := FakeCuda(late=True))
    for kind in ("stream", "event", "memory", "pinned memory", "graph"):
        with pytest.raises(AssertionError, match=f"not given back.*'{kind}'"):
            device.assert_clean()
    del made


# --- lanes that are wrong


class Unwaiting(CudaLane):
    def _wait(self) -> None:
        self._device.record(self._event, self._stream)


class Cold(CudaLane):
    """Captures what has never run."""

    def _work(self) -> None:
        if self._device.count("called", "record"):  # type: ignore[attr-defined]
            super()._work()


class Hasty(CudaLane):
    """Is closed without asking whether it runs."""

    def close(self) -> None:
        self._free()


class Careless(CudaLane):
    """Prepares the next batch in memory that the card still reads."""

    def _wait(self) -> None:
        self.inputs += 1
        super()._wait()


class Forgetful(FunctionCompute):
    def close(self) -> None:
        """Keep its memory."""


def broken_by(lane_class: type[CudaLane], monkeypatch: pytest.MonkeyPatch, function: Any = project) -> FakeCuda:
    """Run and close a lane of a class while it may still run; the card that saw it."""
    monkeypatch.setattr(cuda_lane, "CudaLane", lane_class)
    device = FakeCuda(late=True)
    engine = FakeCudaEngine(device, function=function, lazy=True)
    with suppress(BrokenRuleError):
        lane = engine.lane()
        lane.run(make_inputs(4))
    with suppress(BrokenRuleError):
        engine.close()
    return device


@pytest.mark.parametrize(
    ("lane_class", "rule"),
    [
        (Unwaiting, EARLY),
        (Cold, f"allocate {CAPTURING}"),
        (Careless, "changed before it was copied in"),
    ],
)
def test_wrong_lanes_are_found_out(lane_class: type[CudaLane], rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(rule in broken for broken in broken_by(lane_class, monkeypatch).broken_rules)


def test_a_lane_that_does_not_wait_gives_no_numbers() -> None:
    device = FakeCuda(late=True)
    lane = Unwaiting(device, (4, 1, 4, 4), (4, 3), FakeCudaEngine(device).make_compute)
    assert np.isnan(lane.run(make_inputs(4))).all()
    with pytest.raises(BrokenRuleError, match=EARLY):
        lane.close()


def test_a_lane_that_is_closed_while_it_runs_is_found_out() -> None:
    gate, device = Gate(), FakeCuda(late=True)
    lane = Hasty(device, (4, 1, 4, 4), (4, 3), FakeCudaEngine(device, function=gate).make_compute)
    gate.open.clear()
    running = in_thread(lambda: lane.run(make_inputs(4)))
    device.wait_until("started", "compute", 2)
    with pytest.raises(BrokenRuleError, match=EARLY):
        lane.close()
    gate.open.set()
    running()


def test_what_a_library_keeps_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fake_cuda_engine.FunctionCompute", Forgetful)
    device = FakeCuda()
    with FakeCudaEngine(device) as engine:
        engine.lane()
    with pytest.raises(AssertionError, match=r"not given back.*'memory'"):
        device.assert_clean()


def test_a_computation_that_raises_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    device = broken_by(CudaLane, monkeypatch, lambda inputs: 1 / 0)
    assert "ZeroDivisionError" in device.broken_rules[0]
