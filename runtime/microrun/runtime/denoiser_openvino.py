"""Denoisers on the CPU by OpenVINO: one stream of one thread for each lane."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from microrun.runtime.denoiser import UNIT, Denoiser, check_denoiser
from microrun.runtime.denoiser_slots import SlotLane
from microrun.runtime.engine import EngineInfo, EngineRequest, Float32, count_cores, hash_file
from microrun.runtime.engine_openvino import choose_hint, compile_model, library_name, read_model, run_request
from microrun.runtime.ports import X_NEXT, step_inputs

BATCH = 1


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
        import openvino

        model, spec = read_model(path)
        diffusion = check_denoiser(path, spec)
        core = openvino.Core()
        hint, stated = choose_hint(path, spec, core, request)
        cores = count_cores()
        lanes, batch = request.lanes or cores, request.batch or BATCH
        streams = min(lanes, cores)
        settings = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams}
        shapes = {name: [1, *shape] for name, shape in step_inputs(diffusion).items()}
        self._compiled: Any = compile_model(path, core, model, shapes, settings)
        super().__init__(spec, EngineInfo(path, hash_file(path), library_name(), "cpu", stated, lanes, batch, UNIT))

    def lane(self) -> SlotLane:
        """Make a worker with slots of its own, all idle."""
        return SlotLane(self.info.batch, self.diffusion, OpenvinoStep(self._compiled))

    def close(self) -> None:
        """Free the compiled model; lanes that still run keep it until they end."""
        self._compiled = None


class OpenvinoStep:
    """One inference request, which reads and writes the arrays that it is given without copying them."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()

    def __call__(self, inputs: Mapping[str, NDArray[Any]], x_next: Float32) -> None:
        """Run one step."""
        import openvino

        for name, array in {**inputs, X_NEXT: x_next}.items():
            self._request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        run_request(self._request)
