"""TensorRT whose plans are steps of a denoiser with a simple network, on the fake card."""

from __future__ import annotations

from typing import Any

import numpy as np
from fake_cuda import Kernel
from fake_tensorrt import FakeContext, FakePlan, FakeTensorrt, FakeTensorrtEngine, Logger

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.ports import CONDITION, TIMESTEP, X_NEXT, X, step_inputs
from microrun.runtime.errors import EngineError
from microrun.runtime.spec import Diffusion


def step(diffusion: Diffusion, seed: int, given: dict[str, Any]) -> Float32:
    """The formula of a step, sample by sample; the network sways with x, the timestep and the condition."""
    made = []
    for row in range(len(given[X])):
        one = {name: array[row] for name, array in given.items()}
        pull = one[CONDITION].sum() if diffusion.conditions else 0
        output = np.sin(one[X] + seed + 0.1 * one[TIMESTEP] + pull).astype(np.float32)
        a, b, c, d, e = one["coefficients"]
        free = c * one[X] + d * output + e * one["noise"]
        made.append(np.where(one["mask"] > 0.5, a * one["known"] + b * one["noise"], free))
    return np.stack(made).astype(np.float32)


class FakeStepTensorrt(FakeTensorrt):
    """The module, whose plans are all of one kind of samples."""

    def __init__(self, device: Any, diffusion: Diffusion, version: str = "11.4.0.5") -> None:
        super().__init__(device, version)
        self.Runtime = lambda logger: FakeStepRuntime(self, logger, diffusion)


class FakeStepRuntime:
    """Makes engines of plans."""

    engine_host_code_allowed = False

    def __init__(self, trt: FakeTensorrt, logger: Logger, diffusion: Diffusion) -> None:
        assert trt.asked, "without a driver TensorRT crashes here"
        self._rest = trt, logger, diffusion

    def deserialize_cuda_engine(self, data: bytes) -> FakeStepEngine:
        import json

        return FakeStepEngine(*self._rest, FakePlan(**json.loads(data)))


class FakeStepEngine(FakeTensorrtEngine):
    """Its contexts run steps."""

    def __init__(self, trt: FakeTensorrt, logger: Logger, diffusion: Diffusion, plan: FakePlan) -> None:
        super().__init__(trt, logger, plan)
        self._diffusion = diffusion

    def create_execution_context(self, config: Any = None) -> FakeContext | None:
        self._made += 1
        if self._made > self._plan.contexts:
            self._logger.complain("out of memory")
            return None
        return FakeStepContext(self._trt.device, self._logger, self._plan, self._diffusion)


class FakeStepContext(FakeContext):
    """Bound anew at every step."""

    def __init__(self, device: Any, logger: Logger, plan: FakePlan, diffusion: Diffusion) -> None:
        super().__init__(device, logger, plan)
        self._diffusion, self._inputs = diffusion, step_inputs(diffusion)
        self._shaped: set[str] = set()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._batch = shape[0]
        self._shaped.add(name)
        return shape[1:] == self._inputs[name] and 1 <= shape[0] <= self._plan.batch

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in {*self._inputs, X_NEXT}

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert self._shaped == set(self._inputs) and set(self._addresses) == {*self._inputs, X_NEXT}
        names = [*self._inputs, X_NEXT]
        shapes = {**self._inputs, X_NEXT: self._inputs[X]}

        def function(*arrays: Any) -> Float32:
            return step(self._diffusion, self._plan.seed, dict(zip(self._inputs, arrays, strict=True)))

        kernel = Kernel(
            function,
            tuple(self._addresses[name] for name in names),
            tuple((self._batch, *shapes[name]) for name in names),
            frozenset({names.index(TIMESTEP)}),
        )
        self._runs += 1
        try:
            self._device.compute(kernel, stream_handle, self._scratch)
        except EngineError as error:
            self._logger.complain(str(error))
            return False
        return self._runs <= self._plan.runs
