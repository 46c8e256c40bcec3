"""TensorRT plans on NVIDIA cards, of TensorRT or TensorRT-RTX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from microrun.runtime.engines.engine import EngineInfo, EngineRequest
from microrun.runtime.engines.known_answers import CHECK_TOLERANCES
from microrun.runtime.engines.nvidia.cuda import Card, Cuda
from microrun.runtime.engines.nvidia.cuda_lane import CudaEngine, choose_lanes
from microrun.runtime.engines.nvidia.plan import PlanRecord, read_record, rebuild
from microrun.runtime.engines.nvidia.tensorrt_library import TITLES, covers, import_library, last_error, make_logger
from microrun.runtime.errors import EngineError

MEMORY_SHARE = 0.8  # of the card's free memory for contexts of lanes; weights and buffers want some, too


class TensorrtEngine(CudaEngine):
    """A plan with its sidecar, checked before and after it is loaded.

    Parameters
    ----------
    path
        NAME.plan; NAME.plan.json lies beside it.
    request
        Its precision must be "auto" or the plan's own; its batch within the plan's profile.

    Attributes
    ----------
    check_error
        Relative L2 error, on the inputs of the check, against the model that the plan was built from.

    Raises
    ------
    EngineError
        If the sidecar is missing or of another file; if library, version or card do not fit; if the plan does not
        compute what the model does.
    """

    def __init__(self, path: Path, request: EngineRequest = EngineRequest()) -> None:
        record = read_record(path)
        record.spec.require("encoder", "decoder", source=path, task="this")
        batch = _check_request(path, record, request)
        trt = import_library(record.library)
        _check_version(path, record, trt.__version__)
        device = Cuda()  # asked before the library, which crashes without a driver
        _check_card(path, record, device.card)
        self._trt = trt
        self._logger = make_logger(trt)
        self._engine = _deserialise(trt, self._logger, path, record)
        self._names = _port_names(trt, self._engine)
        self._kernels: Any = None  # that TensorRT-RTX has compiled for this card, which lanes share
        lane_bytes = self._engine.device_memory_size_v2
        lanes = request.lanes or choose_lanes(lane_bytes, int(MEMORY_SHARE * device.card.free_bytes))
        library = f"{TITLES[record.library]} {trt.__version__}"
        precision = record.spec.precision
        info = EngineInfo(path, record.plan_sha256, library, "cuda", precision, lanes, batch)
        super().__init__(record.spec, info, device)
        advice = f"update the driver, and {rebuild(record.library)}"
        self.check_error = self.check(record.check_outputs, CHECK_TOLERANCES[precision], advice)

    def make_compute(self, stream: int, inputs: int, outputs: int) -> TensorrtCompute:
        """Make an execution context on fixed addresses."""
        context = self._make_context()
        if context is None:
            raise EngineError(f"{self.info.path}: TensorRT makes no more contexts ({last_error(self._logger)})")
        shape = (self.info.batch, *self.spec.input_shape)
        addresses = zip(self._names, (inputs, outputs), strict=True)
        if not context.set_input_shape(self._names[0], shape) or not all(
            context.set_tensor_address(name, address) for name, address in addresses
        ):
            raise EngineError(f"{self.info.path}: TensorRT refuses a batch of {self.info.batch}")
        return TensorrtCompute(context, stream, self._logger)

    def close(self) -> None:
        """Free all lanes, those that run now once they have, and the plan."""
        super().close()
        self._engine = self._kernels = None

    def _make_context(self) -> Any:
        if self._engine is None:
            raise EngineError("the engine is closed")
        if not hasattr(self._trt, "DynamicShapesKernelSpecializationStrategy"):
            return self._engine.create_execution_context()
        # TensorRT-RTX compiles for the batch in the background, and a graph would keep the kernels of before.
        config = self._engine.create_runtime_config()
        strategy = self._trt.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = strategy
        self._kernels = self._kernels or config.create_runtime_cache()
        config.set_runtime_cache(self._kernels)
        return self._engine.create_execution_context(config)


class TensorrtCompute:
    """An execution context that is bound to its stream and addresses."""

    def __init__(self, context: Any, stream: int, logger: Any) -> None:
        self._context, self._stream, self._logger = context, stream, logger

    def enqueue(self) -> None:
        """Enqueue one run."""
        if not self._context.execute_async_v3(self._stream):
            raise EngineError(f"TensorRT failed ({last_error(self._logger)})")

    def close(self) -> None:
        """Free the context."""
        self._context = None


def _check_request(path: Path, record: PlanRecord, request: EngineRequest) -> int:
    built, profile = record.spec.precision, record.profile
    if request.precision not in ("auto", built):
        raise EngineError(f"{path}: was built in {built}; {request.precision} was asked for")
    batch = request.batch or profile.opt
    if not profile.min <= batch <= profile.max:
        raise EngineError(
            f"{path}: was built for batches of {profile.min} to {profile.max}; got {batch}. "
            f"Ask for one of those, or export again with --batch {batch}"
        )
    return batch


def _check_version(path: Path, record: PlanRecord, found: str) -> None:
    if found == record.version:
        return
    built, here = _numbers(record.version), _numbers(found)
    if record.version_compatible and built[:1] == here[:1] and here >= built:
        return
    raise EngineError(
        f"{path}: was built by {TITLES[record.library]} {record.version}, which alone can run it; here is {found}: "
        f"{rebuild(record.library)}"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _check_card(path: Path, record: PlanRecord, card: Card) -> None:
    if not covers(record.compute_capabilities, card.compute_capability):
        raise EngineError(
            f"{path}: was built for compute capability {', '.join(record.compute_capabilities)}; this card, "
            f"{card.name}, has {card.capability_text}: {rebuild(record.library)}"
        )


def _deserialise(trt: Any, logger: Any, path: Path, record: PlanRecord) -> Any:
    logger.errors.clear()
    runtime = trt.Runtime(logger)
    if record.version_compatible:
        runtime.engine_host_code_allowed = True  # the lean runtime inside; the hash was compared before
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise EngineError(
            f"{path}: {TITLES[record.library]} cannot load it ({last_error(logger)}); {rebuild(record.library)}"
        )
    return engine


def _port_names(trt: Any, engine: Any) -> tuple[str, str]:
    names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
    given = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    made = [name for name in names if name not in given]
    return given[0], made[0]
