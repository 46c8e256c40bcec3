"""The convolutions of an ONNX graph in int8, in the one form that OpenVINO, ONNX Runtime and TensorRT all take.

What enters a convolution, or the shortcut beside it, passes explicit QuantizeLinear and DequantizeLinear, symmetric and
without zero points; weights are int8 by output channel. Biases, and all else, stay float32.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from microrun.export.called_back import Tell, follow
from microrun.runtime.array_types import Float32
from microrun.runtime.engines.libraries import load_onnxruntime
from microrun.runtime.errors import EngineError
from microrun.runtime.files.extras import install_command
from microrun.runtime.progress import Job, Progress

BATCH = 16
OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,  # TensorRT takes no quantised bias
    "OpTypesToExcludeOutputQuantization": ["Conv"],  # values are rounded once, where they enter the next convolution
    "CalibTensorRangeSymmetric": True,
    "CalibPercentile": 99.99,  # of magnitudes; clipping the rest costs less than the coarser steps of the whole range
    "CalibStridedMinMax": 1,  # whatever the method: activations of one batch at a time in memory, not of all
}


class PatternReader:
    """Batches of patterns, as ONNX Runtime's calibration asks for them.

    Parameters
    ----------
    name
        Of the model's input.
    patterns
        (n, *input_shape) float32.
    tell
        Called with the progress.
    """

    def __init__(self, name: str, patterns: Float32, tell: Tell) -> None:
        self._name, self._patterns, self._tell = name, patterns, tell
        self._range = iter(range(0))

    def __len__(self) -> int:
        return -(-len(self._patterns) // BATCH)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Go on with these batches: the first, and the one after the last."""
        self._range = iter(range(start_index, end_index))

    def get_next(self) -> dict[str, Float32] | None:
        """The next batch, or None after the last one."""
        number = next(self._range, None)
        if number is None:
            return None
        first = number * BATCH
        batch = self._patterns[first : first + BATCH]
        self._tell(Progress(first + len(batch), len(self._patterns), "calibrating"))
        return {self._name: batch}


def quantise_model(model: ModelProto, patterns: Float32) -> Job[ModelProto]:
    """Quantise the convolutions of a model.

    Parameters
    ----------
    model
        In f32 or f16; it is changed.
    patterns
        (n, *input_shape) float32 to calibrate on.

    Returns
    -------
    ModelProto
        Another one, without a spec.

    Raises
    ------
    EngineError
        If ONNX Runtime, which does it, is not installed.
    """
    try:
        load_onnxruntime()
    except ModuleNotFoundError:
        raise EngineError(f"quantising needs ONNX Runtime; {install_command('cpu')}") from None
    return follow(partial(_quantise, model, patterns))


def _quantise(model: ModelProto, patterns: Float32, tell: Tell) -> ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory(prefix="microrun-") as folder, _quiet():
        wide, made = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save_model(widen_floats(model), wide)
        quantize_static(
            wide,
            made,
            PatternReader(model.graph.input[0].name, patterns, tell),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options=OPTIONS,
        )
        return onnx.load(made)


def widen_floats(model: ModelProto) -> ModelProto:
    """Turn float16 into float32 throughout a model: exact, for every half is a float.

    Parameters
    ----------
    model
        It is changed; what casts to float16 then casts to float32.

    Returns
    -------
    ModelProto
        The same.
    """
    graph = model.graph
    attributes = [(node.op_type, attribute) for node in graph.node for attribute in node.attribute]
    for tensor in (*graph.initializer, *(attribute.t for _, attribute in attributes if attribute.HasField("t"))):
        if tensor.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for op_type, attribute in attributes:
        if (op_type, attribute.name, attribute.i) == ("Cast", "to", TensorProto.FLOAT16):
            attribute.i = TensorProto.FLOAT
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return model


class _Hushed(io.TextIOBase):
    """Standard output without what the thread prints that made it."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._thread = out, threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._out.write(text)

    def flush(self) -> None:
        self._out.flush()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what ONNX Runtime's quantisation prints, and says to the root logger."""
    root = logging.getLogger()
    level, handler = root.level, logging.NullHandler()  # with no handler there, its first word would install one
    root.addHandler(handler)
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(_Hushed(sys.stdout)):
            yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
