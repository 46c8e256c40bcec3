"""Encoders and decoders as TensorRT plans on NVIDIA cards, of TensorRT or TensorRT-RTX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.known_answers import CHECK_TOLERANCES
from microrun.runtime.engines.nvidia.cuda_lane import CudaEngine, choose_lanes
from microrun.runtime.engines.nvidia.tensorrt_library import last_error
from microrun.runtime.engines.nvidia.tensorrt_plan import LoadedPlan
from microrun.runtime.errors import EngineError


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
        As `LoadedPlan`, or if the plan does not compute what the model does.
    """

    def __init__(self, path: Path, request: EngineRequest = EngineRequest()) -> None:
        self._plan = plan = LoadedPlan(path, request, ("encoder", "decoder"), "this")
        given, made = plan.port_names
        self._names = given[0], made[0]
        lanes = request.lanes or choose_lanes(plan.lane_bytes, plan.room)
        spec = plan.record.spec
        super().__init__(spec, plan.describe(lanes), plan.device)
        self.check_error = self.check(plan.record.check_outputs, CHECK_TOLERANCES[spec.precision], plan.advice)

    def make_compute(self, stream: int, inputs: int, outputs: int) -> TensorrtCompute:
        """Make an execution context on fixed addresses."""
        context = self._plan.make_context()
        shape = (self.info.batch, *self.spec.input_shape)
        addresses = zip(self._names, (inputs, outputs), strict=True)
        if not context.set_input_shape(self._names[0], shape) or not all(
            context.set_tensor_address(name, address) for name, address in addresses
        ):
            raise EngineError(f"{self.info.path}: TensorRT refuses a batch of {self.info.batch}")
        return TensorrtCompute(context, stream, self._plan.logger)

    def close(self) -> None:
        """Free all lanes, those that run now once they have, and the plan."""
        super().close()
        self._plan.free()


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
