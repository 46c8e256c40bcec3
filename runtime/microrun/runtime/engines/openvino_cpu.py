"""OpenVINO on the CPU: the fastest there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.denoiser import UNIT, Denoiser, check_denoiser
from microrun.runtime.engines.engine import Engine, EngineInfo, EngineRequest, Lane
from microrun.runtime.engines.libraries import load_openvino
from microrun.runtime.engines.onnx_file import check_model
from microrun.runtime.engines.ports import X_NEXT, check_ports, step_inputs
from microrun.runtime.engines.process import OwnProcess
from microrun.runtime.engines.slots import SlotLane
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.spec import SPEC_KEY, ModelSpec

BATCH = 16
SLOTS = 1
CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}


class OpenvinoEngine(Engine):
    """A model compiled for the CPU: one stream a core, and one lane more.

    Parameters
    ----------
    path
        An .onnx file with a spec.
    request
        "auto" precision is bf16 where the CPU has instructions for it (AMX, AVX512-BF16), else f32. It is
        always set explicitly: left alone, OpenVINO silently computes in bf16 on such machines. A model that is
        quantised computes in int8.

    Raises
    ------
    EngineError, SpecError
        As `open_engine`.
    """

    def __init__(self, path: Path, request: EngineRequest = EngineRequest()) -> None:
        openvino = load_openvino()

        model, spec = read_model(path)
        spec.require("encoder", "decoder", source=path, task="this")
        core = openvino.Core()
        hint, stated = choose_hint(path, spec, core, request)
        cores = count_cores()
        # One lane more than streams prepares the next batch meanwhile: 4 to 13 % faster at D = 32 on two cores.
        lanes, batch = request.lanes or cores + 1, request.batch or BATCH
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": min(lanes, cores),
            "INFERENCE_NUM_THREADS": cores,
        }
        shapes = {model.input(0).any_name: [batch, *spec.input_shape]}
        self._compiled: Any = compile_model(path, core, model, shapes, settings)
        super().__init__(spec, EngineInfo(path, hash_file(path), library_name(), "cpu", stated, lanes, batch))

    def lane(self) -> OpenvinoLane:
        """Make a worker with buffers of its own."""
        self.process.check()
        batch = self.info.batch
        return OpenvinoLane(self._compiled, (batch, *self.spec.input_shape), (batch, *self.spec.output_shape))

    def close(self) -> None:
        """Free the compiled model; lanes that still run keep it until they end."""
        self._compiled = None


class OpenvinoLane(Lane):
    """One inference request on buffers that it shares with NumPy."""

    def __init__(self, compiled: Any, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        openvino = load_openvino()

        self._process = OwnProcess()
        self.inputs = np.zeros(input_shape, np.float32)
        self._outputs = np.empty(output_shape, np.float32)
        self._request = compiled.create_infer_request()
        self._request.set_input_tensor(openvino.Tensor(self.inputs, shared_memory=True))
        self._request.set_output_tensor(openvino.Tensor(self._outputs, shared_memory=True))

    def compute(self, count: int) -> Float32:
        """Run the first rows of the inputs."""
        self._process.check()
        run_request(self._request)
        return self._outputs[:count]


class OpenvinoDenoiser(Denoiser):
    """A step compiled for one sample and one thread, whatever the lanes: so results never depend on either.

    As many streams as cores, each of one sample, are as fast as larger batches.

    Parameters
    ----------
    path
        An .onnx file with the spec of a denoiser.
    request
        Precision as for `OpenvinoEngine`.

    Raises
    ------
    EngineError, SpecError
        As `open_denoiser`.
    """

    def __init__(self, path: Path, request: EngineRequest = EngineRequest()) -> None:
        openvino = load_openvino()

        model, spec = read_model(path)
        diffusion = check_denoiser(path, spec)
        core = openvino.Core()
        hint, stated = choose_hint(path, spec, core, request)
        cores = count_cores()
        lanes, batch = request.lanes or cores, request.batch or SLOTS
        streams = min(lanes, cores)
        settings = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams}
        shapes = {name: [1, *shape] for name, shape in step_inputs(diffusion).items()}
        self._compiled: Any = compile_model(path, core, model, shapes, settings)
        super().__init__(spec, EngineInfo(path, hash_file(path), library_name(), "cpu", stated, lanes, batch, UNIT))

    def lane(self) -> SlotLane:
        """Make a worker with slots of its own, all idle."""
        self.process.check()
        return SlotLane(self.info.batch, self.diffusion, OpenvinoStep(self._compiled))

    def close(self) -> None:
        """Free the compiled model; lanes that still run keep it until they end."""
        self._compiled = None


class OpenvinoStep:
    """One inference request, which reads and writes the arrays that it is given without copying them."""

    def __init__(self, compiled: Any) -> None:
        self._request, self._process = compiled.create_infer_request(), OwnProcess()

    def __call__(self, inputs: Mapping[str, NDArray[Any]], x_next: Float32) -> None:
        """Run one step."""
        openvino = load_openvino()

        self._process.check()
        for name, array in {**inputs, X_NEXT: x_next}.items():
            self._request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        run_request(self._request)


def read_model(path: Path) -> tuple[Any, ModelSpec]:
    """Read an .onnx file and the spec inside it.

    Raises
    ------
    EngineError, SpecError
        As `open_engine`.
    """
    openvino = load_openvino()

    check_model(path)
    try:
        model = openvino.Core().read_model(path)
        if not model.has_rt_info(["framework", SPEC_KEY]):
            raise SpecError(f"{path}: carries no spec; make it with `microrun export`")
        text = model.get_rt_info(["framework", SPEC_KEY]).astype(str)
        ports = [{port.any_name: _shape_of(port) for port in group} for group in (model.inputs, model.outputs)]
    except (RuntimeError, UnicodeDecodeError) as error:
        raise EngineError(f"{path}: is not an ONNX model that OpenVINO can read ({_first_line(error)})") from None
    spec = ModelSpec.from_json(text, str(path))
    check_ports(path, spec, *ports)
    return model, spec


def _shape_of(port: Any) -> tuple[int, ...]:
    """Shape without the batch, -1 where it is free; RuntimeError if not even the number of axes is known."""
    return tuple(d.get_length() if d.is_static else -1 for d in list(port.get_partial_shape())[1:])


def compile_model(path: Path, core: Any, model: Any, shapes: dict[str, list[int]], settings: dict[str, Any]) -> Any:
    """Compile a model for the CPU.

    Parameters
    ----------
    path
        Its file, for error messages.
    core, model
        OpenVINO's.
    shapes
        Of the inputs, with the batch.
    settings
        As OpenVINO names them.

    Raises
    ------
    EngineError
        If OpenVINO cannot.
    """
    try:
        model.reshape(shapes)
        return core.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise EngineError(f"{path}: OpenVINO cannot compile it ({_first_line(error)})") from None


def run_request(request: Any) -> None:
    """Run an inference request; EngineError if it fails."""
    try:
        request.infer()
    except RuntimeError as error:
        raise EngineError(f"OpenVINO failed ({_first_line(error)})") from None


def library_name() -> str:
    """Name and version of what is installed."""
    openvino = load_openvino()

    return f"OpenVINO {openvino.__version__.split('-')[0]}"


def choose_hint(path: Path, spec: ModelSpec, core: Any, request: EngineRequest) -> tuple[str, str]:
    """What OpenVINO is told to compute in, and what that is for the user; EngineError if it cannot be."""
    check_quantised(path, spec, request)
    if spec.precision == "int8":
        # What is not quantised is hardly any work: bf16 gains nothing there, and adds up to a quarter to the error.
        return "f32", "int8"
    precision = choose_precision(core, request)
    return precision, precision


def check_quantised(path: Path, spec: ModelSpec, request: EngineRequest) -> None:
    """Raise EngineError if int8 is asked of a model that is not quantised, or half precision of one that is.

    "f32" may be asked of a quantised one: it is the most exact that there is, and all but its convolutions.
    """
    if request.precision == "int8" and spec.precision != "int8":
        raise EngineError(f"{path}: is not quantised; export it with --precision int8 --calibrate SCAN")
    if spec.precision == "int8" and request.precision not in ("auto", "int8", "f32"):
        raise EngineError(f"{path}: is quantised and computes in int8; {request.precision} was asked for")


def choose_precision(core: Any, request: EngineRequest) -> str:
    """Precision to compute in, on this CPU.

    Raises
    ------
    EngineError
        If the CPU does not compute in what was asked.
    """
    offered = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if request.precision == "auto":
        return "bf16" if CAPABILITIES["bf16"] in offered else "f32"
    if CAPABILITIES[request.precision] not in offered:
        able = ", ".join(name for name, capability in CAPABILITIES.items() if capability in offered)
        raise EngineError(f"this CPU does not compute in {request.precision}; it does in {able}")
    return request.precision


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
