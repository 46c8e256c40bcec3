"""A lane on a card: pinned buffers, a stream, and one captured graph of copy, computation and copy."""

from __future__ import annotations

import threading
import weakref
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Protocol

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.engine import Engine, EngineInfo, Lane
from microrun.runtime.engines.known_answers import check_error, check_inputs
from microrun.runtime.engines.nvidia.cuda import Device
from microrun.runtime.errors import EngineError
from microrun.runtime.spec import ModelSpec

CHECK_RUNS = 3  # a library may capture its graph in the second, and what a replay of it computes is the question
LEAST_LANES = 2  # the card must have the next batch before it has finished this one


class Compute(Protocol):
    """What computes: bound to one stream and to fixed addresses of one input and one output."""

    def enqueue(self) -> None:
        """Enqueue one run, or do it."""

    def close(self) -> None:
        """Free what it holds of the card."""


MakeCompute = Callable[[int, int, int], Compute]  # of a stream and the addresses of input and output


class CudaLane(Lane):
    """One worker: it copies in, computes and copies out on a stream of its own.

    While it waits for the card its thread sleeps, so that the threads of other lanes prepare patterns or feed
    the card: with two lanes and more, copies hide behind computation.

    Parameters
    ----------
    device
        The card.
    input_shape, output_shape
        With the batch.
    make_compute
        Called once with the lane's stream and addresses.
    capture
        Whether the computation is recorded, with both copies, into one graph that is launched as a whole; it has
        then run once already, for libraries allocate and compile on their first run. Otherwise it is enqueued
        at every run.

    Raises
    ------
    EngineError
        If the card has too little memory, or fails.
    """

    def __init__(
        self,
        device: Device,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        make_compute: MakeCompute,
        capture: bool = True,
    ) -> None:
        self._running = threading.Lock()
        with ExitStack() as held:
            self._allocate(held, device, input_shape, output_shape)
            self._compute = make_compute(self._stream, self._addresses[0], self._addresses[1])
            held.callback(self._compute.close)
            self._finish(self._work)
            self._graph = None
            if capture:
                self._graph = self._capture()
                held.callback(device.destroy_graph, self._graph)
            # Not a method of self, which would keep the lane alive.
            self._free = weakref.finalize(self, held.pop_all().close)

    def compute(self, count: int) -> Float32:
        """Run the first rows of the inputs, which lie in page-locked memory; behind them lie older ones.

        Raises
        ------
        EngineError
            If the card fails, or the engine was closed.
        """
        with self._running:
            if not self._free.alive:
                raise EngineError("the engine is closed")
            graph = self._graph
            self._finish(self._work if graph is None else lambda: self._device.launch(graph, self._stream))
            return self._outputs[:count]

    def close(self) -> None:
        """Free everything, once a run that is going on has ended."""
        with self._running:
            self._free()

    def _allocate(
        self, held: ExitStack, device: Device, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
    ) -> None:
        self._device = device
        self._stream = device.make_stream()
        held.callback(device.destroy_stream, self._stream)
        self._event = device.make_event()
        held.callback(device.destroy_event, self._event)
        arrays, self._addresses = [], []
        for shape in (input_shape, output_shape):
            array: Float32 = device.allocate_pinned(shape, np.float32)
            address = device.allocate(array.nbytes)
            held.callback(device.free, address)
            arrays.append(array)
            self._addresses.append(address)
        self.inputs, self._outputs = arrays

    def _work(self) -> None:
        self._device.copy_in(self._addresses[0], self.inputs, self._stream)
        self._compute.enqueue()
        self._device.copy_out(self._outputs, self._addresses[1], self._stream)

    def _finish(self, work: Callable[[], None]) -> None:
        try:
            work()
            self._wait()
        except BaseException:
            with suppress(EngineError):  # what was enqueued still needs memory that the caller writes or frees next
                self._wait()
            raise

    def _wait(self) -> None:
        self._device.record(self._event, self._stream)
        self._device.wait(self._event)

    def _capture(self) -> int:
        self._device.begin_capture(self._stream)
        try:
            self._work()
        except BaseException:
            with suppress(EngineError):  # the stream must leave its capture; what comes of it is worthless
                self._device.destroy_graph(self._device.end_capture(self._stream))
            raise
        return self._device.end_capture(self._stream)


class CudaEngine(Engine):
    """Base of engines on a card: their lanes give the card's memory back when the engine is closed.

    Parameters
    ----------
    spec, info
        As any engine's.
    device
        The card.
    """

    captured = True

    def __init__(self, spec: ModelSpec, info: EngineInfo, device: Device) -> None:
        super().__init__(spec, info)
        self._device = device
        self._lanes: weakref.WeakSet[CudaLane] = weakref.WeakSet()
        self._changing = threading.Lock()
        self._closed = False

    @abstractmethod
    def make_compute(self, stream: int, inputs: int, outputs: int) -> Compute:
        """Bind a worker of the library to a stream and to addresses of the card."""

    def lane(self) -> CudaLane:
        """Make a worker with buffers, a stream and a graph of its own."""
        batch = self.info.batch
        shapes = (batch, *self.spec.input_shape), (batch, *self.spec.output_shape)
        with self._changing:  # one at a time, for some libraries capture in a way that forbids others to allocate
            if self._closed:
                raise EngineError("the engine is closed")
            lane = CudaLane(self._device, *shapes, self.make_compute, self.captured)
            self._lanes.add(lane)
        return lane

    def check(self, expected: Sequence[float], allowed: float, advice: str) -> float:
        """Compare what a lane computes of `check_inputs` with what it should; closes the engine if it differs.

        Parameters
        ----------
        expected
            As `sample_outputs` makes it.
        allowed
            Relative L2 error.
        advice
            What to do about a larger one.

        Returns
        -------
        float
            The error.

        Raises
        ------
        EngineError
            If it is larger than allowed.
        """
        inputs, batch = check_inputs(self.spec), self.info.batch
        try:
            lane = self.lane()
            for _ in range(CHECK_RUNS):
                pieces = [lane.run(inputs[n : n + batch]).copy() for n in range(0, len(inputs), batch)]
            error = check_error(np.concatenate(pieces), expected)
            if error <= allowed:
                lane.close()
                return error
            raise EngineError(
                f"{self.info.path}: computes something else on this card than the model does, relative error "
                f"{error:.1e} ({allowed:.0e} is allowed in {self.info.precision}); {advice}"
            )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Free all lanes; those that run now, once they have."""
        with self._changing:
            self._closed, lanes = True, list(self._lanes)
        for lane in lanes:
            lane.close()


def choose_lanes(lane_bytes: int, free_bytes: int) -> int:
    """One lane more than cores, so that all cores prepare while one lane waits; as many as the card has room for.

    Parameters
    ----------
    lane_bytes
        That a lane takes of the card.
    free_bytes
        That it may take together with all others.
    """
    return max(LEAST_LANES, min(count_cores() + 1, free_bytes // max(1, lane_bytes)))
