"""The convolutions of an ONNX graph in int8, in the one form that OpenVINO, ONNX Runtime and TensorRT all take.

What enters a convolution, or the shortcut beside it, passes explicit QuantizeLinear and DequantizeLinear, symmetric and
without zero points; weights are int8 by output channel. Biases, and all else, stay float32.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import EngineError

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

Progress = Callable[[str, int, int], None]  # what is being done, patterns done and their number


class PatternReader:
    """Batches of patterns, as ONNX Runtime's calibration asks for them.

    Parameters
    ----------
    name
        Of the model's input.
    patterns
        (n, *input_shape) float32.
    progress
        As for `quantise`.
    """

    def __init__(self, name: str, patterns: Float32, progress: Progress) -> None:
        self._name, self._patterns, self._progress = name, patterns, progress
        self._range = iter(range(0))

    def __len__(self) -> int:
        return -(-len(self._patterns) // BATCH)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Go on with these batches."""
        self._range = iter(range(start_index, end_index))

    def get_next(self) -> dict[str, Float32] | None:
        """The next batch, or None after the last one."""
        number = next(self._range, None)
        if number is None:
            return None
        first = number * BATCH
        batch = self._patterns[first : first + BATCH]
        self._progress("calibrating", first + len(batch), len(self._patterns))
        return {self._name: batch}


def quantise_model(
    model: ModelProto, patterns: Float32, progress: Progress = lambda what, done, total: None
) -> ModelProto:
    """Quantise the convolutions of a model.

    Parameters
    ----------
    model
        In f32 or f16; it is changed.
    patterns
        (n, *input_shape) float32 to calibrate on.
    progress
        As for `quantise`.

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
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    except ModuleNotFoundError:
        raise EngineError("quantising needs ONNX Runtime; pip install 'microrun[cpu]'") from None
    with tempfile.TemporaryDirectory(prefix="microrun-") as folder, _quiet():
        wide, made = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save_model(widen_floats(model), wide)
        quantize_static(
            wide,
            made,
            PatternReader(model.graph.input[0].name, patterns, progress),
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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what ONNX Runtime's quantisation prints, and says to the root logger."""
    root = logging.getLogger()
    level, handler = root.level, logging.NullHandler()  # with no handler there, its first word would install one
    root.addHandler(handler)
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
