"""ONNX Runtime on the CPU: the reference, and the engine where OpenVINO is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.denoiser import UNIT, Denoiser, check_denoiser
from microrun.runtime.engines.engine import Engine, EngineInfo, EngineRequest, Lane
from microrun.runtime.engines.libraries import load_onnxruntime
from microrun.runtime.engines.onnx_file import check_model
from microrun.runtime.engines.ports import X_NEXT, check_ports
from microrun.runtime.engines.process import OwnProcess
from microrun.runtime.engines.slots import SlotLane
from microrun.runtime.errors import EngineError, SpecError, first_line
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.spec import SPEC_KEY, ModelSpec

BATCH = 16
SLOTS = 1
CUDA = "CUDAExecutionProvider"


class OnnxEngine(Engine):
    """An ONNX Runtime session on the CPU; it computes in the precision of the model's weights.

    Parameters
    ----------
    path
        An .onnx file with a spec.
    request
        Its precision must be "auto" or the model's own.

    Raises
    ------
    EngineError, SpecError
        As `open_engine`.
    """

    def __init__(self, path: Path, request: EngineRequest = EngineRequest()) -> None:
        onnxruntime = load_onnxruntime()

        lanes = request.lanes or count_cores()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if lanes > 1 else count_cores()
        self._session = open_session(path, options, "cpu")
        spec = spec_of(path, self._session)
        spec.require("encoder", "decoder", source=path, task="this")
        check_precision(path, spec, request)
        info = EngineInfo(path, hash_file(path), library_name(), "cpu", spec.precision, lanes, request.batch or BATCH)
        super().__init__(spec, info)

    def lane(self) -> OnnxLane:
        """Make a worker with a buffer of its own."""
        self.process.check()
        return OnnxLane(self._session, (self.info.batch, *self.spec.input_shape))

    def close(self) -> None:
        """Free the session; lanes that still run keep it until they end."""
        self._session = None


class OnnxLane(Lane):
    """A padded input buffer in front of a shared session."""

    def __init__(self, session: Any, input_shape: tuple[int, ...]) -> None:
        self._session, self._process = session, OwnProcess()
        self.inputs = np.zeros(input_shape, np.float32)
        self._name = session.get_inputs()[0].name

    def compute(self, count: int) -> Float32:
        """Run the first rows of the inputs."""
        self._process.check()
        with plain_errors():
            outputs: Float32 = self._session.run(None, {self._name: self.inputs})[0]
        return outputs[:count]


class OnnxDenoiser(Denoiser):
    """An ONNX Runtime session that computes in the precision of the model's weights, one thread for each lane.

    Parameters
    ----------
    path
        An .onnx file with the spec of a denoiser.
    request
        Its precision must be "auto" or the model's own.

    Raises
    ------
    EngineError, SpecError
        As `open_denoiser`.
    """

    def __init__(self, path: Path, request: EngineRequest = EngineRequest()) -> None:
        onnxruntime = load_onnxruntime()

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # with more it sums a convolution in another order
        self._session = open_session(path, options, "cpu")
        spec = spec_of(path, self._session)
        check_denoiser(path, spec)
        check_precision(path, spec, request)
        lanes, batch = request.lanes or count_cores(), request.batch or SLOTS
        info = EngineInfo(path, hash_file(path), library_name(), "cpu", spec.precision, lanes, batch, UNIT)
        super().__init__(spec, info)

    def lane(self) -> SlotLane:
        """Make a worker with slots of its own, all idle."""
        self.process.check()
        return SlotLane(self.info.batch, self.diffusion, OnnxStep(self._session))

    def close(self) -> None:
        """Free the session; lanes that still run keep it until they end."""
        self._session = None


class OnnxStep:
    """A session bound to the arrays that it is given, which it reads and writes without copying them."""

    def __init__(self, session: Any) -> None:
        self._session, self._binding, self._process = session, session.io_binding(), OwnProcess()

    def __call__(self, inputs: Mapping[str, NDArray[Any]], x_next: Float32) -> None:
        """Run one step."""
        self._process.check()
        with plain_errors():
            for name, array in inputs.items():
                self._binding.bind_cpu_input(name, array)
            self._binding.bind_output(X_NEXT, "cpu", 0, np.float32, x_next.shape, x_next.ctypes.data)
            self._session.run_with_iobinding(self._binding)


def library_name() -> str:
    """Name and version of what is installed."""
    onnxruntime = load_onnxruntime()

    return f"ONNX Runtime {onnxruntime.__version__}"


def read_spec(path: Path) -> ModelSpec:
    """Read the spec inside an .onnx file; errors as in `open_engine`."""
    onnxruntime = load_onnxruntime()

    return spec_of(path, open_session(path, onnxruntime.SessionOptions(), "cpu"))


def open_session(path: Path, options: Any, device: str, provider: Any = "CPUExecutionProvider") -> Any:
    """Open a model with one provider.

    Raises
    ------
    EngineError
        If it cannot; the message names the device.
    """
    onnxruntime = load_onnxruntime()

    check_model(path)
    options.log_severity_level = 4  # what goes wrong is raised, not printed
    try:
        return onnxruntime.InferenceSession(path, options, providers=[provider])
    except Exception as error:  # its exceptions share no base but Exception
        raise EngineError(f"{path}: ONNX Runtime cannot open it on {device} ({first_line(error)})") from None


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what ONNX Runtime raises into an EngineError of one line."""
    try:
        yield
    except Exception as error:  # its exceptions share no base but Exception
        raise EngineError(f"ONNX Runtime failed ({first_line(error)})") from None


def spec_of(path: Path, session: Any) -> ModelSpec:
    """The spec of an open model, compared with its graph.

    Raises
    ------
    SpecError
        If there is none, or it does not fit.
    """
    try:
        metadata = session.get_modelmeta().custom_metadata_map
        ports = [
            {port.name: tuple(n if isinstance(n, int) else -1 for n in port.shape[1:]) for port in group}
            for group in (session.get_inputs(), session.get_outputs())
        ]
    except UnicodeDecodeError as error:
        raise EngineError(f"{path}: is damaged: its texts cannot be read ({error})") from None
    if SPEC_KEY not in metadata:
        raise SpecError(f"{path}: carries no spec; make it with `microrun export`")
    spec = ModelSpec.from_json(metadata[SPEC_KEY], str(path))
    check_ports(path, spec, *ports)
    return spec


def check_precision(path: Path, spec: ModelSpec, request: EngineRequest) -> None:
    """Raise EngineError if another precision than the model's is asked for: ONNX Runtime has no other."""
    if request.precision not in ("auto", spec.precision):
        raise EngineError(
            f"{path}: ONNX Runtime computes in the model's own {spec.precision}; {request.precision} was asked for"
        )
