"""ONNX Runtime's CUDA provider on an NVIDIA card."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.cpu import read_onnx_spec
from microrun.runtime.engines.denoiser import UNIT, Denoiser, check_denoiser
from microrun.runtime.engines.engine import EngineInfo, EngineRequest
from microrun.runtime.engines.known_answers import CHECK_TOLERANCES, check_inputs, sample_outputs
from microrun.runtime.engines.libraries import load_onnxruntime, offers_cuda
from microrun.runtime.engines.nvidia.cuda import Cuda
from microrun.runtime.engines.nvidia.cuda_lane import LEAST_LANES, CudaEngine
from microrun.runtime.engines.onnx_cpu import (
    CUDA,
    check_precision,
    library_name,
    open_session,
    plain_errors,
    spec_of,
)
from microrun.runtime.engines.ports import (
    COEFFICIENTS,
    NOISE,
    TIMESTEP,
    X_NEXT,
    X,
    check_rows,
    copy_sample,
    step_inputs,
)
from microrun.runtime.errors import EngineError, first_line
from microrun.runtime.files.extras import install_command
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.spec import Diffusion

BATCH = 256
SLOTS = 16
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
        onnxruntime = load_onnxruntime()

        device = prepare_card()
        on_cpu = open_session(path, onnxruntime.SessionOptions(), "cpu")
        spec = spec_of(path, on_cpu)
        spec.require("encoder", "decoder", source=path, task="this")
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
        onnxruntime = load_onnxruntime()

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


class OnnxCudaDenoiser(Denoiser):
    """ONNX Runtime's CUDA provider; it computes in the precision of the model's weights.

    Parameters
    ----------
    path
        An .onnx file with the spec of a denoiser.
    request
        Its precision must be "auto" or the model's own.

    Raises
    ------
    EngineError
        If there is no card, or part of the model would run on the CPU.
    SpecError
        As `open_denoiser`.
    """

    def __init__(self, path: Path, request: EngineRequest = EngineRequest()) -> None:
        prepare_card()
        spec = read_onnx_spec(path)
        check_denoiser(path, spec)
        check_precision(path, spec, request)
        lanes, batch = request.lanes or LEAST_LANES, request.batch or SLOTS
        self._session = open_on_card(path, batch, {})
        info = EngineInfo(path, hash_file(path), library_name(), "cuda", spec.precision, lanes, batch, UNIT)
        super().__init__(spec, info)

    def lane(self) -> BoundLane:
        """Make a worker with slots of its own, all idle."""
        return BoundLane(self._session, self.diffusion, self.info.batch, "cuda")

    def close(self) -> None:
        """Free the session; lanes that still run keep it until they end."""
        self._session = None


class BoundLane:
    """Slots in the memory of a device. All of them run at every step, idle ones too, as one batch of fixed size.

    Parameters
    ----------
    session
        Of that batch.
    diffusion
        What it draws samples of.
    batch
        Number of slots.
    device
        Where, as ONNX Runtime names it: "cuda" or "cpu".
    """

    def __init__(self, session: Any, diffusion: Diffusion, batch: int, device: str) -> None:
        self.batch = batch
        self._session = session
        self._inputs = step_inputs(diffusion)
        self._busy = np.zeros(batch, np.bool_)
        arrays = {name: np.zeros((batch, *shape), np.float32) for name, shape in self._inputs.items()}
        arrays[TIMESTEP] = np.zeros(batch, np.int32)
        with plain_errors():
            self._values = {name: _to_device(array, device) for name, array in arrays.items()}
            # x goes to and fro between two places: one binding for its steps there, one for those back.
            self._places = [self._values.pop(X), _to_device(np.zeros_like(arrays[X]), device)]
            self._bindings = [self._bind(*self._places), self._bind(*self._places[::-1])]

    def load(
        self, slot: int, x: Float32, known: Float32, mask: NDArray[np.bool_], condition: Float32 | None = None
    ) -> None:
        """Begin a sample, in place of whatever was in the slot."""
        state, places = copy_sample(self._inputs, x, known, mask, condition), {**self._values, X: self._places[0]}
        with plain_errors():
            for name, array in state.items():
                # All slots come down and go up again, for there is no other way.
                whole = places[name].numpy().copy()
                whole[slot] = array[0]
                places[name].update_inplace(whole)
        self._busy[slot] = True

    def step(self, timesteps: NDArray[np.int32], coefficients: Float32, noise: Float32) -> None:
        """Advance the samples in all slots by one evaluation of the network."""
        check_rows({NOISE: noise, TIMESTEP: timesteps, COEFFICIENTS: coefficients}, self._inputs, self.batch)
        if not self._busy.any():
            return
        with plain_errors():
            # An idle slot's timestep may lie outside the graph's table.
            self._values[TIMESTEP].update_inplace(timesteps * self._busy)
            self._values[COEFFICIENTS].update_inplace(coefficients)
            self._values[NOISE].update_inplace(noise)
            self._session.run_with_iobinding(self._bindings[0])
        self._places.reverse()
        self._bindings.reverse()

    def read(self, slot: int) -> Float32:
        """Copy a sample as it is now."""
        if not self._busy[slot]:
            raise EngineError(f"slot {slot} is idle; load a sample first")
        with plain_errors():
            sample: Float32 = self._places[0].numpy()[slot].copy()
        return sample

    def free(self, slot: int) -> None:
        """Make a slot idle."""
        self._busy[slot] = False

    def _bind(self, x: Any, x_next: Any) -> Any:
        binding = self._session.io_binding()
        for name, value in {**self._values, X: x}.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output(X_NEXT, x_next)
        return binding


def _to_device(array: NDArray[Any], device: str) -> Any:
    onnxruntime = load_onnxruntime()

    return onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0)


def prepare_card() -> Cuda:
    """Find the card, and load what ONNX Runtime needs of CUDA.

    Raises
    ------
    EngineError
        If there is no card, or ONNX Runtime was built without CUDA.
    """
    onnxruntime = load_onnxruntime()

    if not offers_cuda():
        cure = "pip uninstall onnxruntime, then " + install_command("gpu")
        raise EngineError(f"the installed ONNX Runtime has no CUDA; {cure}")
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
    onnxruntime = load_onnxruntime()

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    options.add_free_dimension_override_by_name("batch", batch)
    # Trying all algorithms could choose differently in each lane.
    provider = (CUDA, {"device_id": "0", "cudnn_conv_algo_search": "HEURISTIC", **settings})
    session = open_session(path, options, "cuda", provider)
    if session.get_providers()[0] != CUDA:
        raise EngineError(f"{path}: ONNX Runtime fell back to the CPU; see `microrun doctor`")
    return session
