"""Denoisers on the CPU by ONNX Runtime: the reference, and the engine where OpenVINO is not installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.denoiser import UNIT, Denoiser, check_denoiser
from microrun.runtime.denoiser_slots import SlotLane
from microrun.runtime.engine import EngineInfo, EngineRequest, Float32, count_cores, hash_file
from microrun.runtime.engine_onnx import check_precision, library_name, open_session, plain_errors, spec_of
from microrun.runtime.ports import X_NEXT

BATCH = 1


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
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # with more it sums a convolution in another order
        self._session = open_session(path, options, "cpu")
        spec = spec_of(path, self._session)
        check_denoiser(path, spec)
        check_precision(path, spec, request)
        lanes, batch = request.lanes or count_cores(), request.batch or BATCH
        info = EngineInfo(path, hash_file(path), library_name(), "cpu", spec.precision, lanes, batch, UNIT)
        super().__init__(spec, info)

    def lane(self) -> SlotLane:
        """Make a worker with slots of its own, all idle."""
        return SlotLane(self.info.batch, self.diffusion, OnnxStep(self._session))

    def close(self) -> None:
        """Free the session; lanes that still run keep it until they end."""
        self._session = None


class OnnxStep:
    """A session bound to the arrays that it is given, which it reads and writes without copying them."""

    def __init__(self, session: Any) -> None:
        self._session, self._binding = session, session.io_binding()

    def __call__(self, inputs: Mapping[str, NDArray[Any]], x_next: Float32) -> None:
        """Run one step."""
        with plain_errors():
            for name, array in inputs.items():
                self._binding.bind_cpu_input(name, array)
            self._binding.bind_output(X_NEXT, "cpu", 0, np.float32, x_next.shape, x_next.ctypes.data)
            self._session.run_with_iobinding(self._binding)
