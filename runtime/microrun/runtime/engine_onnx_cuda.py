"""Models by ONNX Runtime on an NVIDIA card: fixed addresses, a CUDA graph, and no falling back to the CPU."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from microrun.runtime.cuda import Cuda
from microrun.runtime.cuda_lane import CudaEngine
from microrun.runtime.engine import EngineInfo, EngineRequest, check_kind, count_cores, hash_file
from microrun.runtime.engine_onnx import (
    CUDA,
    check_precision,
    first_line,
    library_name,
    offers_cuda,
    open_session,
    spec_of,
)
from microrun.runtime.errors import EngineError
from microrun.runtime.plan import CHECK_TOLERANCES, check_inputs, sample_outputs

BATCH = 256
MOST_LANES = 8  # each has a session of its own, for a captured graph belongs to one


class OnnxCudaEngine(CudaEngine):
    """ONNX Runtime's CUDA provider; it computes in the precision of the model's weights.

    Parameters
    ----------
    path
        An .onnx file with a spec.
    request
        Its precision must be "auto" or the model's own.

    Raises
    ------
    EngineError
        If there is no card, or part of the model would run on the CPU.
    SpecError
        As `open_engine`.
    """

    captured = False  # by ONNX Runtime itself, which would capture inside our capture

    def __init__(self, path: Path, request: EngineRequest = EngineRequest()) -> None:
        import onnxruntime

        device = prepare_card()
        on_cpu = open_session(path, onnxruntime.SessionOptions(), "cpu")
        spec = spec_of(path, on_cpu)
        check_kind(path, spec)
        check_precision(path, spec, request)
        lanes = request.lanes or min(count_cores() + 1, MOST_LANES)
        batch = request.batch or BATCH
        info = EngineInfo(path, hash_file(path), library_name(), "cuda", spec.precision, lanes, batch)
        super().__init__(spec, info, device)
        expected = on_cpu.run(None, {on_cpu.get_inputs()[0].name: check_inputs(spec)})[0]
        # Replays of captured graphs that compute something else have been seen (microsoft/onnxruntime#32120).
        advice = "update ONNX Runtime, or run it on the CPU with --device cpu"
        self.check(sample_outputs(expected).tolist(), CHECK_TOLERANCES[spec.precision], advice)

    def make_compute(self, stream: int, inputs: int, outputs: int) -> OnnxCudaCompute:
        """Open a session on a stream and bind it to fixed addresses."""

        def bind() -> tuple[Any, Any]:
            settings = {"user_compute_stream": str(stream), "enable_cuda_graph": "1"}
            session = open_on_card(self.info.path, self.info.batch, settings)
            binding = session.io_binding()
            batch, place = self.info.batch, ("cuda", 0, np.float32)
            binding.bind_input(session.get_inputs()[0].name, *place, (batch, *self.spec.input_shape), inputs)
            binding.bind_output(session.get_outputs()[0].name, *place, (batch, *self.spec.output_shape), outputs)
            return session, binding

        return OnnxCudaCompute(bind)


def prepare_card() -> Cuda:
    """Find the card, and load what ONNX Runtime needs of CUDA.

    Raises
    ------
    EngineError
        If there is no card, or ONNX Runtime was built without CUDA.
    """
    import onnxruntime

    if not offers_cuda():
        raise EngineError("the installed ONNX Runtime has no CUDA; pip install 'microrun[gpu]' instead of [cpu]")
    device = Cuda()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find, and the session says why
        onnxruntime.preload_dlls()  # CUDA's libraries and cuDNN from their wheels, which nothing else looks for
    return device


def open_on_card(path: Path, batch: int, settings: Mapping[str, str]) -> Any:
    """Open a model with the CUDA provider, all of it on the card.

    Parameters
    ----------
    path
        An .onnx file.
    batch
        Fixed, so that no shape is computed on the CPU in the middle of the graph.
    settings
        Of the provider, beside those that all share.

    Raises
    ------
    EngineError
        If it cannot, or would run on the CPU.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    options.add_free_dimension_override_by_name("batch", batch)
    # Trying all algorithms could choose differently in each lane.
    provider = (CUDA, {"device_id": "0", "cudnn_conv_algo_search": "HEURISTIC", **settings})
    session = open_session(path, options, "cuda", provider)
    if session.get_providers()[0] != CUDA:
        raise EngineError(f"{path}: ONNX Runtime fell back to the CPU; see `microrun doctor`")
    return session


class OnnxCudaCompute:
    """A session that is bound to its stream and addresses; it captures its graph on the first run.

    ONNX Runtime keeps captured graphs by thread, and lanes go from thread to thread: so all that a session does, it
    does on a thread of its own.

    Parameters
    ----------
    bind
        Opens the session; returns it and its binding.
    """

    def __init__(self, bind: Callable[[], tuple[Any, Any]]) -> None:
        import onnxruntime

        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")  # the lane waits, asleep
        self._thread = ThreadPoolExecutor(1, "onnxruntime")
        try:
            self._session, self._binding = self._thread.submit(bind).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def enqueue(self) -> None:
        """Enqueue one run."""
        try:
            self._thread.submit(self._session.run_with_iobinding, self._binding, self._options).result()
        except Exception as error:  # its exceptions share no base but Exception
            raise EngineError(f"ONNX Runtime failed ({first_line(error)})") from None

    def close(self) -> None:
        """Free the session."""
        self._thread.shutdown()
        self._session = self._binding = None
