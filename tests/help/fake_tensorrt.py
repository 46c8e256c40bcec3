"""TensorRT whose plans are small linear maps, on the fake card."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
from fake_cuda import FakeCuda, Kernel

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import EngineError
from microrun.runtime.spec import ModelSpec, Preprocessing

LINEAR = ModelSpec("linear", "encoder", 5, Preprocessing((8, 8), 0), precision="f16")
CONTEXT_BYTES = 4096


@dataclass(frozen=True)
class FakePlan:
    """What a plan file says.

    Parameters
    ----------
    seed
        Of its matrix.
    batch
        The largest.
    host_code
        Whether it must be allowed to bring code for the host, as one for newer versions does.
    contexts, runs
        How many of them it lives through.
    """

    seed: int = 0
    batch: int = 4
    host_code: bool = False
    contexts: int = 100
    runs: int = 10_000

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    def compute(self, inputs: Float32) -> Float32:
        """Pattern by pattern, so that results never depend on the batch."""
        matrix = np.random.default_rng(self.seed).standard_normal((64, LINEAR.latent_size), np.float32)
        return np.stack([pattern.ravel() @ matrix for pattern in inputs])


class Logger:
    """Base of loggers, as TensorRT has it."""

    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    log: Callable[..., None]

    def complain(self, message: str) -> None:
        """Say something of no importance after an error."""
        self.log(self.Severity.ERROR, message + "\nIn checkSomething at runtime.cpp:123")
        self.log(self.Severity.WARNING, "this is only a warning")


class FakeTensorrt:
    """The module; nothing of it may be touched before the driver was asked for a card."""

    ILogger = Logger
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")

    def __init__(self, device: FakeCuda, version: str = "11.4.0.5") -> None:
        self.__version__ = version
        self.device, self.asked = device, False
        self.Runtime = lambda logger: FakeRuntime(self, logger)

    def ask(self) -> FakeCuda:
        """Ask the driver."""
        self.asked = True
        return self.device


class FakeTensorrtRtx(FakeTensorrt):
    """TensorRT-RTX has this, too."""

    DynamicShapesKernelSpecializationStrategy = SimpleNamespace(LAZY=0, EAGER=1, NONE=2)


class FakeRuntime:
    engine_host_code_allowed = False

    def __init__(self, trt: FakeTensorrt, logger: Logger) -> None:
        assert trt.asked, "without a driver TensorRT crashes here"
        self._trt, self._logger = trt, logger

    def deserialize_cuda_engine(self, data: bytes) -> FakeTensorrtEngine | None:
        try:
            plan = FakePlan(**json.loads(data))
        except ValueError:
            self._logger.complain("the magic tag does not match")
            return None
        if plan.host_code and not self.engine_host_code_allowed:
            self._logger.complain("host code is not allowed")
            return None
        return FakeTensorrtEngine(self._trt, self._logger, plan)


class FakeTensorrtEngine:
    num_io_tensors = 2
    device_memory_size_v2 = CONTEXT_BYTES

    def __init__(self, trt: FakeTensorrt, logger: Logger, plan: FakePlan) -> None:
        self._trt, self._logger, self._plan = trt, logger, plan
        self._made = 0
        self.caches: set[object] = set()  # of compiled kernels, that contexts were made with

    def get_tensor_name(self, number: int) -> str:
        return ("latents", "patterns")[number]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "patterns" else "out"

    def create_runtime_config(self) -> FakeRuntimeConfig:
        return FakeRuntimeConfig()

    def create_execution_context(self, config: Any = None) -> FakeContext | None:
        if isinstance(self._trt, FakeTensorrtRtx):
            eager = self._trt.DynamicShapesKernelSpecializationStrategy.EAGER
            assert config.dynamic_shapes_kernel_specialization_strategy == eager
            self.caches.add(config.cache)
        else:
            assert config is None
        self._made += 1
        if self._made > self._plan.contexts:
            self._logger.complain("out of memory")
            return None
        return FakeContext(self._trt.device, self._logger, self._plan)


class FakeRuntimeConfig:
    """Contexts of TensorRT-RTX."""

    dynamic_shapes_kernel_specialization_strategy = 0
    cache: object = None

    def create_runtime_cache(self) -> object:
        return object()

    def set_runtime_cache(self, cache: object) -> bool:
        self.cache = cache
        return True


class FakeContext:
    """Its memory of the card is free when nobody keeps it any more."""

    def __init__(self, device: FakeCuda, logger: Logger, plan: FakePlan) -> None:
        self._device, self._logger, self._plan = device, logger, plan
        self._scratch = device.allocate(CONTEXT_BYTES)
        weakref.finalize(self, device.free, self._scratch)
        self._addresses: dict[str, int] = {}
        self._batch = self._runs = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._batch = shape[0]
        return name == "patterns" and shape[1:] == LINEAR.input_shape and 1 <= shape[0] <= self._plan.batch

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in ("patterns", "latents")

    def execute_async_v3(self, stream_handle: int) -> bool:
        self._runs += 1
        shapes = (self._batch, *LINEAR.input_shape), (self._batch, *LINEAR.output_shape)
        addresses = self._addresses["patterns"], self._addresses["latents"]
        try:
            self._device.compute(Kernel(self._plan.compute, addresses, shapes), stream_handle, self._scratch)
        except EngineError as error:
            self._logger.complain(str(error))
            return False
        if self._runs > self._plan.runs:
            self._logger.complain("a kernel failed")
            return False
        return True
