"""A plan that is loaded: checked by its sidecar first, for it is code, and then by library, version and card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from microrun.runtime.engines.engine import EngineInfo, EngineRequest
from microrun.runtime.engines.nvidia.cuda import Card, Cuda
from microrun.runtime.engines.nvidia.plan import PlanRecord, read_record, rebuild
from microrun.runtime.engines.nvidia.tensorrt_library import TITLES, covers, import_library, last_error, make_logger
from microrun.runtime.errors import EngineError
from microrun.runtime.spec import Kind

MEMORY_SHARE = 0.8  # of the card's free memory for contexts of lanes; weights and buffers want some, too


class LoadedPlan:
    """A plan on the card.

    Parameters
    ----------
    path
        NAME.plan; NAME.plan.json lies beside it.
    request
        Its precision must be "auto" or the plan's own; its batch within the plan's profile.
    kinds
        Of models, that will do.
    task
        What needs one of them.

    Attributes
    ----------
    record
        The sidecar.
    batch
        That is run.
    device
        The card.

    Raises
    ------
    EngineError
        If the sidecar is missing or of another file, or library, version or card do not fit.
    SpecError
        If it is a plan of another kind of model.
    """

    def __init__(self, path: Path, request: EngineRequest, kinds: tuple[Kind, ...], task: str) -> None:
        self.path, self.record = path, read_record(path)
        record = self.record
        record.spec.require(*kinds, source=path, task=task)
        self.batch = _check_request(path, record, request)
        self._trt = trt = import_library(record.library)
        _check_version(path, record, trt.__version__)
        self.device = Cuda()  # asked before the library, which crashes without a driver
        _check_card(path, record, self.device.card)
        self.logger = make_logger(trt)
        self._engine = _deserialise(trt, self.logger, path, record)
        self._kernels: Any = None  # that TensorRT-RTX has compiled for this card, which lanes share

    def describe(self, lanes: int, unit: str = "patterns") -> EngineInfo:
        """What was opened, with so many lanes."""
        record = self.record
        library = f"{TITLES[record.library]} {self._trt.__version__}"
        return EngineInfo(
            self.path, record.plan_sha256, library, "cuda", record.spec.precision, lanes, self.batch, unit
        )

    @property
    def advice(self) -> str:
        """What to do if it computes something else."""
        return f"update the driver, and {rebuild(self.record.library)}"

    @property
    def lane_bytes(self) -> int:
        """Memory of the card that a context takes."""
        return int(self._engine.device_memory_size_v2)

    @property
    def room(self) -> int:
        """Memory of the card that all contexts together may take."""
        return int(MEMORY_SHARE * self.device.card.free_bytes)

    @property
    def port_names(self) -> tuple[list[str], list[str]]:
        """Names of inputs and of outputs."""
        names = [self._engine.get_tensor_name(number) for number in range(self._engine.num_io_tensors)]
        given = [name for name in names if self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT]
        return given, [name for name in names if name not in given]

    def make_context(self) -> Any:
        """Make an execution context.

        Raises
        ------
        EngineError
            If the plan was freed, or the card has no room for another one.
        """
        context = self._create_context()
        if context is None:
            raise EngineError(f"{self.path}: TensorRT makes no more contexts ({last_error(self.logger)})")
        return context

    def free(self) -> None:
        """Free the plan, once the last context is gone."""
        self._engine = self._kernels = None

    def _create_context(self) -> Any:
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
