"""Models by ONNX Runtime on the CPU: the reference, and the engine where OpenVINO is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from microrun.runtime.engine import Engine, EngineInfo, EngineRequest, Float32, check_kind, count_cores, hash_file
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.ports import check_ports
from microrun.runtime.spec import SPEC_KEY, ModelSpec

CUDA = "CUDAExecutionProvider"
BATCH = 16


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
        import onnxruntime

        lanes = request.lanes or count_cores()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if lanes > 1 else count_cores()
        self._session = open_session(path, options, "cpu")
        spec = spec_of(path, self._session)
        check_kind(path, spec)
        check_precision(path, spec, request)
        info = EngineInfo(path, hash_file(path), library_name(), "cpu", spec.precision, lanes, request.batch or BATCH)
        super().__init__(spec, info)

    def lane(self) -> OnnxLane:
        """Make a worker with a buffer of its own."""
        return OnnxLane(self._session, (self.info.batch, *self.spec.input_shape))

    def close(self) -> None:
        """Free the session; lanes that still run keep it until they end."""
        self._session = None


class OnnxLane:
    """A padded input buffer in front of a shared session."""

    def __init__(self, session: Any, shape: tuple[int, ...]) -> None:
        self._session = session
        self._inputs = np.zeros(shape, np.float32)
        self._name = session.get_inputs()[0].name

    def run(self, inputs: Float32) -> Float32:
        """Run (n, *input_shape) float32."""
        self._inputs[: len(inputs)] = inputs
        with plain_errors():
            outputs: Float32 = self._session.run(None, {self._name: self._inputs})[0]
        return outputs[: len(inputs)]


def offers_cuda() -> bool:
    """Whether the installed ONNX Runtime was built for CUDA; a card may still be missing."""
    import onnxruntime

    return CUDA in onnxruntime.get_available_providers()


def library_name() -> str:
    """Name and version of what is installed."""
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}"


def read_spec(path: Path) -> ModelSpec:
    """Read the spec inside an .onnx file; errors as in `open_engine`."""
    import onnxruntime

    return spec_of(path, open_session(path, onnxruntime.SessionOptions(), "cpu"))


def open_session(path: Path, options: Any, device: str, provider: Any = "CPUExecutionProvider") -> Any:
    """Open a model with one provider.

    Raises
    ------
    EngineError
        If it cannot; the message names the device.
    """
    import onnxruntime

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
    metadata = session.get_modelmeta().custom_metadata_map
    if SPEC_KEY not in metadata:
        raise SpecError(f"{path}: carries no spec; make it with `microrun export`")
    spec = ModelSpec.from_json(metadata[SPEC_KEY], str(path))
    ports = [
        {port.name: tuple(n if isinstance(n, int) else -1 for n in port.shape[1:]) for port in group}
        for group in (session.get_inputs(), session.get_outputs())
    ]
    check_ports(path, spec, *ports)
    return spec


def check_precision(path: Path, spec: ModelSpec, request: EngineRequest) -> None:
    """Raise EngineError if another precision than the model's is asked for: ONNX Runtime has no other."""
    if request.precision not in ("auto", spec.precision):
        raise EngineError(
            f"{path}: ONNX Runtime computes in the model's own {spec.precision}; {request.precision} was asked for"
        )


def first_line(error: Exception) -> str:
    """What an error says first."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
