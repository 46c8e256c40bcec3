"""Models by ONNX Runtime: the reference on the CPU, and the engine for CUDA cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from microrun.runtime.engine import Engine, EngineInfo, EngineRequest, Float32, check_shapes, count_cores, hash_file
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.spec import SPEC_KEY, ModelSpec

CUDA = "CUDAExecutionProvider"
BATCHES = {"cpu": 16, "cuda": 256}
CUDA_LANES = 2  # one prepares while the other runs


class OnnxEngine(Engine):
    """An ONNX Runtime session; it computes in the precision of the model's weights.

    Parameters
    ----------
    path
        An .onnx file with a spec.
    device
        "cpu" or "cuda". A CUDA session that would fall back to the CPU is refused.
    request
        Its precision must be "auto" or the model's own.

    Raises
    ------
    EngineError, SpecError
        As `open_engine`.
    """

    def __init__(self, path: Path, device: Literal["cpu", "cuda"], request: EngineRequest = EngineRequest()) -> None:
        import onnxruntime

        lanes = request.lanes or (CUDA_LANES if device == "cuda" else count_cores())
        self._session = _open_session(path, device, 1 if lanes > 1 else count_cores())
        spec = _spec_of(path, self._session)
        if request.precision not in ("auto", spec.precision):
            raise EngineError(
                f"{path}: ONNX Runtime computes in the model's own {spec.precision}; {request.precision} was asked for"
            )
        library, batch = f"ONNX Runtime {onnxruntime.__version__}", request.batch or BATCHES[device]
        super().__init__(spec, EngineInfo(path, hash_file(path), library, device, spec.precision, lanes, batch))

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
        try:
            outputs: Float32 = self._session.run(None, {self._name: self._inputs})[0]
        except Exception as error:  # its exceptions share no base but Exception
            raise EngineError(f"ONNX Runtime failed ({_first_line(error)})") from None
        return outputs[: len(inputs)]


def offers_cuda() -> bool:
    """Whether the installed ONNX Runtime was built for CUDA; a card may still be missing."""
    import onnxruntime

    return CUDA in onnxruntime.get_available_providers()


def read_spec(path: Path) -> ModelSpec:
    """Read the spec inside an .onnx file; errors as in `open_engine`."""
    return _spec_of(path, _open_session(path, "cpu", 1))


def _open_session(path: Path, device: Literal["cpu", "cuda"], threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised, not printed
    providers = ["CPUExecutionProvider"]
    if device == "cuda":
        if not offers_cuda():
            raise EngineError("the installed ONNX Runtime has no CUDA; pip install 'microrun[gpu]' instead of [cpu]")
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        providers = [CUDA]
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # its exceptions share no base but Exception
        raise EngineError(f"{path}: ONNX Runtime cannot open it on {device} ({_first_line(error)})") from None
    if device == "cuda" and session.get_providers()[0] != CUDA:
        raise EngineError(f"{path}: ONNX Runtime fell back to the CPU; see `microrun doctor`")
    return session


def _spec_of(path: Path, session: Any) -> ModelSpec:
    metadata = session.get_modelmeta().custom_metadata_map
    if SPEC_KEY not in metadata:
        raise SpecError(f"{path}: carries no spec; make it with `microrun export`")
    spec = ModelSpec.from_json(metadata[SPEC_KEY], str(path))
    ports = session.get_inputs()[0], session.get_outputs()[0]
    check_shapes(path, spec, *(tuple(n if isinstance(n, int) else -1 for n in port.shape[1:]) for port in ports))
    return spec


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
