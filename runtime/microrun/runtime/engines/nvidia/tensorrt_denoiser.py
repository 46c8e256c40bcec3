"""Denoisers as TensorRT plans on NVIDIA cards: slots whose samples stay on the card from step to step."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.denoiser import UNIT, Denoiser
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.known_answers import CHECK_TOLERANCES, check_error, run_check
from microrun.runtime.engines.nvidia.cuda import Device
from microrun.runtime.engines.nvidia.cuda_lane import LEAST_LANES
from microrun.runtime.engines.nvidia.tensorrt_library import last_error
from microrun.runtime.engines.nvidia.tensorrt_plan import LoadedPlan
from microrun.runtime.engines.ports import (
    COEFFICIENTS,
    NOISE,
    TIMESTEP,
    X_NEXT,
    Ports,
    X,
    check_rows,
    copy_sample,
    step_inputs,
)
from microrun.runtime.errors import EngineError

SENT = (TIMESTEP, COEFFICIENTS, NOISE)  # to the card at every step; the rest when a sample is loaded


class TensorrtDenoiser(Denoiser):
    """A plan with its sidecar, checked before and after it is loaded.

    Parameters
    ----------
    path
        NAME.plan; NAME.plan.json lies beside it.
    request
        Its precision must be "auto" or the plan's own; its batch, the slots of a lane, within the plan's profile.

    Attributes
    ----------
    check_error
        Relative L2 error of the steps of the check against the model that the plan was built from.

    Raises
    ------
    EngineError
        As `LoadedPlan`, or if the plan does not compute what the model does.
    """

    def __init__(self, path: Path, request: EngineRequest = EngineRequest()) -> None:
        self._plan = plan = LoadedPlan(path, request, ("denoiser",), "generation")
        super().__init__(plan.record.spec, plan.describe(request.lanes or LEAST_LANES, UNIT))
        self._lanes: weakref.WeakSet[StepLaneOnCard] = weakref.WeakSet()
        self._changing = threading.Lock()
        self._closed = False
        try:
            self.check_error = self._check()
        except BaseException:
            self.close()
            raise

    def lane(self) -> StepLaneOnCard:
        """Make a worker with slots of its own, all idle."""
        with self._changing:
            if self._closed:
                raise EngineError("the engine is closed")
            lane = StepLaneOnCard(self._plan.device, step_inputs(self.diffusion), self.info.batch, self._make_context)
            self._lanes.add(lane)
        return lane

    def close(self) -> None:
        """Free all lanes, those that run now once they have, and the plan."""
        with self._changing:
            self._closed, lanes = True, list(self._lanes)
        for lane in lanes:
            lane.close()
        self._plan.free()

    def _make_context(self) -> StepContext:
        return StepContext(self._plan, step_inputs(self.diffusion), self.info.batch)

    def _check(self) -> float:
        lane = self.lane()
        error = check_error(run_check(lane, self.diffusion), self._plan.record.check_outputs)
        lane.close()
        allowed = CHECK_TOLERANCES[self.info.precision]
        if not error <= allowed:
            raise EngineError(
                f"{self.info.path}: computes something else on this card than the model does, relative error "
                f"{error:.1e} ({allowed:.0e} is allowed in {self.info.precision}); {self._plan.advice}"
            )
        return error


class StepContext:
    """An execution context of a fixed batch.

    Parameters
    ----------
    plan
        That it runs.
    inputs
        Of a step.
    batch
        Number of slots.

    Raises
    ------
    EngineError
        If the card has no room, or the batch is refused.
    """

    def __init__(self, plan: LoadedPlan, inputs: Ports, batch: int) -> None:
        self._plan, self._context = plan, plan.make_context()
        if not all(self._context.set_input_shape(name, (batch, *shape)) for name, shape in inputs.items()):
            raise EngineError(f"{plan.path}: TensorRT refuses a batch of {batch}")

    def enqueue(self, addresses: dict[str, int], stream: int) -> None:
        """Enqueue a step on arrays of the card, by names of ports."""
        bound = all(self._context.set_tensor_address(name, address) for name, address in addresses.items())
        if not bound or not self._context.execute_async_v3(stream):
            raise EngineError(f"TensorRT failed ({last_error(self._plan.logger)})")

    def close(self) -> None:
        """Free the context."""
        self._context = None


class StepLaneOnCard:
    """Slots in the memory of a card. All of them run at every step, idle ones too, as one batch of fixed size.

    Parameters
    ----------
    device
        The card.
    inputs
        Of a step.
    batch
        Number of slots.
    make_context
        Makes what runs a step.

    Raises
    ------
    EngineError
        If the card has too little memory, or fails.
    """

    def __init__(self, device: Device, inputs: Ports, batch: int, make_context: Callable[[], StepContext]) -> None:
        self.batch = batch
        self._device, self._inputs = device, inputs
        self._busy = np.zeros(batch, np.bool_)
        self._running = threading.Lock()
        with ExitStack() as held:
            self._allocate(held)
            self._context = make_context()
            held.callback(self._context.close)
            # Not a method of self, which would keep the lane alive.
            self._free = weakref.finalize(self, held.pop_all().close)

    def load(
        self, slot: int, x: Float32, known: Float32, mask: NDArray[np.bool_], condition: Float32 | None = None
    ) -> None:
        """Begin a sample, in place of whatever was in the slot."""
        state = copy_sample(self._inputs, x, known, mask, condition)
        with self._open():
            for name, array in state.items():
                self._rows[name][...] = array[0]
            self._finish(lambda: self._send_rows(slot, list(state)))
            self._busy[slot] = True

    def step(self, timesteps: NDArray[np.int32], coefficients: Float32, noise: Float32) -> None:
        """Advance the samples in all slots by one evaluation of the network."""
        given = {TIMESTEP: timesteps, COEFFICIENTS: coefficients, NOISE: noise}
        check_rows(given, self._inputs, self.batch)
        with self._open():
            if not self._busy.any():
                return
            for name, array in given.items():
                self._sent[name][...] = array
            self._sent[TIMESTEP][~self._busy] = 0  # of an idle slot it may lie outside the plan's table
            self._finish(self._run)
            self._places[X], self._places[X_NEXT] = self._places[X_NEXT], self._places[X]

    def read(self, slot: int) -> Float32:
        """Copy a sample as it is now."""
        with self._open():
            if not self._busy[slot]:
                raise EngineError(f"slot {slot} is idle; load a sample first")
            row = self._rows[X]
            self._finish(lambda: self._device.copy_out(row, self._places[X] + slot * row.nbytes, self._stream))
            return np.array(row)

    def free(self, slot: int) -> None:
        """Make a slot idle."""
        self._busy[slot] = False

    def close(self) -> None:
        """Free everything, once a step that is going on has ended."""
        with self._running:
            self._free()

    def _open(self) -> ExitStack:
        """Hold the lane; EngineError if the engine was closed."""
        with ExitStack() as held:
            held.enter_context(self._running)
            if not self._free.alive:
                raise EngineError("the engine is closed")
            return held.pop_all()

    def _allocate(self, held: ExitStack) -> None:
        device = self._device
        self._stream = device.make_stream()
        held.callback(device.destroy_stream, self._stream)
        self._event = device.make_event()
        held.callback(device.destroy_event, self._event)
        self._places: dict[str, int] = {}
        self._rows: dict[str, NDArray[Any]] = {}
        self._sent: dict[str, NDArray[Any]] = {}
        for name, shape in {**self._inputs, X_NEXT: self._inputs[X]}.items():
            dtype = np.int32 if name == TIMESTEP else np.float32
            if name in SENT:
                self._sent[name] = device.allocate_pinned((self.batch, *shape), dtype)
            elif name != X_NEXT:
                self._rows[name] = device.allocate_pinned(shape, dtype)
            self._places[name] = device.allocate(self.batch * int(np.prod(shape)) * np.dtype(dtype).itemsize)
            held.callback(device.free, self._places[name])

    def _send_rows(self, slot: int, names: list[str]) -> None:
        for name in names:
            row = self._rows[name]
            self._device.copy_in(self._places[name] + slot * row.nbytes, row, self._stream)

    def _run(self) -> None:
        for name, array in self._sent.items():
            self._device.copy_in(self._places[name], array, self._stream)
        self._context.enqueue(self._places, self._stream)

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
