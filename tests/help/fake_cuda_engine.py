"""An engine on the fake card, around any NumPy function."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fake_cuda import WAIT_S, FakeCuda, Kernel

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.engines.nvidia.cuda_lane import CudaEngine
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.runtime.testing import ProjectionEngine

SCRATCH_BYTES = 1024
TINY = ModelSpec("tiny", "encoder", 3, Preprocessing((4, 4), 0))
project = ProjectionEngine(TINY).project  # one by one, so that nothing depends on the batch


def make_inputs(number: int, seed: int = 0) -> Float32:
    """Inputs of the engine below."""
    return np.random.default_rng(seed).standard_normal((number, *TINY.input_shape)).astype(np.float32)


class Gate:
    """A projection that can be held up on the card."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()

    def __call__(self, inputs: Float32) -> Float32:
        assert self.open.wait(WAIT_S)
        return project(inputs)


@contextmanager
def clean_card(**settings: Any) -> Iterator[FakeCuda]:
    """A fake card that must have everything back at the end, with no rule broken."""
    device = FakeCuda(**settings)
    yield device
    device.assert_clean()


class FunctionCompute:
    """A function on the fake's memory; one that is lazy takes its scratch memory only when it first runs."""

    def __init__(self, device: FakeCuda, stream: int, kernel: Kernel, lazy: bool = False) -> None:
        self._device, self._stream, self._kernel = device, stream, kernel
        self._scratch = None if lazy else device.allocate(SCRATCH_BYTES)

    def enqueue(self) -> None:
        if self._scratch is None:
            self._scratch = self._device.allocate(SCRATCH_BYTES)
        self._device.compute(self._kernel, self._stream, self._scratch)

    def close(self) -> None:
        if self._scratch is not None:
            self._device.free(self._scratch)


class FakeCudaEngine(CudaEngine):
    """An encoder of 4×4 pixels; `captured` can be set to False before it makes lanes."""

    def __init__(
        self,
        device: FakeCuda,
        lanes: int = 2,
        batch: int = 4,
        function: Callable[[Float32], Float32] = project,
        lazy: bool = False,
    ) -> None:
        super().__init__(TINY, EngineInfo(Path("fake.plan"), "0" * 64, "NumPy", "cuda", "f32", lanes, batch), device)
        self._fake, self._function, self._lazy = device, function, lazy

    def make_compute(self, stream: int, inputs: int, outputs: int) -> FunctionCompute:
        shapes = (self.info.batch, *self.spec.input_shape), (self.info.batch, *self.spec.output_shape)
        return FunctionCompute(self._fake, stream, Kernel(self._function, (inputs, outputs), shapes), self._lazy)
