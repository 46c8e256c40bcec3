"""Denoisers on an NVIDIA card by ONNX Runtime: samples stay on the card, only noise goes up at every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.cuda_lane import LEAST_LANES
from microrun.runtime.denoiser import UNIT, Denoiser, check_denoiser
from microrun.runtime.engine import EngineInfo, EngineRequest, Float32, hash_file, read_model_spec
from microrun.runtime.engine_onnx import check_precision, library_name, plain_errors
from microrun.runtime.engine_onnx_cuda import open_on_card, prepare_card
from microrun.runtime.errors import EngineError
from microrun.runtime.ports import COEFFICIENTS, NOISE, TIMESTEP, X_NEXT, X, check_rows, copy_sample, step_inputs
from microrun.runtime.spec import Diffusion

BATCH = 16


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
        spec = read_model_spec(path)
        check_denoiser(path, spec)
        check_precision(path, spec, request)
        lanes, batch = request.lanes or LEAST_LANES, request.batch or BATCH
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

    def load(self, slot: int, x: Float32, known: Float32, mask: NDArray[np.bool_]) -> None:
        """Begin a sample, in place of whatever was in the slot."""
        state, places = copy_sample(self._inputs, x, known, mask), {**self._values, X: self._places[0]}
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
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0)
