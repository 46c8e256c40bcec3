"""Weights of few levels: whole numbers times a step of each channel, which a wheel packs into a few bits each.

The file holds them as int8, with the steps in half precision, and the graph multiplies both: engines do that once, when
they open it. What is computed is what a network of the products computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from microrun.runtime.files.output import written_beside

ENDINGS = (".levels", ".step")  # of the names of what takes a weight's place
LEAST_VALUES = 4096  # of weights that are worth it
MOST_LEVEL = 127  # of int8
SMALLEST = 2.0**-24  # number of half precision above 0: all others are multiples of it


def store_levels(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Store weights of few levels as such, wherever a graph has them in half precision.

    Parameters
    ----------
    graph
        Stays as it is.

    Returns
    -------
    onnx.ModelProto
        That computes the same to the bit. Weights of other values stay.
    """
    made = onnx.ModelProto()
    made.CopyFrom(graph)
    nodes: list[onnx.NodeProto] = []
    del made.graph.initializer[:], made.graph.node[:]
    for tensor in graph.graph.initializer:
        found = find_levels(numpy_helper.to_array(tensor)) if _is_worth_it(tensor) else None
        if found is None:
            made.graph.initializer.append(tensor)
            continue
        names = [f"{tensor.name}{ending}" for ending in ENDINGS]
        made.graph.initializer.extend(numpy_helper.from_array(found[number], names[number]) for number in range(2))
        whole = f"{tensor.name}.whole"
        nodes += [
            onnx.helper.make_node("Cast", names[:1], [whole], to=onnx.TensorProto.FLOAT16),
            onnx.helper.make_node("Mul", [whole, names[1]], [tensor.name]),
        ]
    made.graph.node.extend([*nodes, *graph.graph.node])
    return made


def read_weights(graph: onnx.ModelProto) -> dict[str, NDArray[np.floating[Any]]]:
    """Weights of a graph by name, in their order; those of few levels as what they stand for."""
    found: dict[str, NDArray[np.floating[Any]]] = {}
    levels: NDArray[Any] = np.empty(0)
    for tensor in graph.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name.endswith(ENDINGS[0]):
            levels = array
        elif tensor.name.endswith(ENDINGS[1]):
            found[tensor.name.removesuffix(ENDINGS[1])] = levels.astype(array.dtype) * array
        elif array.dtype in (np.float16, np.float32):
            found[tensor.name] = array
    return found


def compact(path: Path) -> None:
    """Store the weights of a denoiser's file as levels, where they are few.

    Parameters
    ----------
    path
        The .onnx file, replaced; its spec stays.
    """
    stored = store_levels(onnx.load_model(path))
    onnx.checker.check_model(stored, full_check=True)
    with written_beside(path) as beside:
        onnx.save_model(stored, beside)


def find_levels(values: NDArray[np.float16]) -> tuple[NDArray[np.int8], NDArray[np.float16]] | None:
    """Find whole numbers and a scale along one axis whose products are given.

    Parameters
    ----------
    values
        Weights.

    Returns
    -------
    levels, steps : int8 and float16, or None
        Of the shape of the values, and 1 along all axes but one; None if there are no such numbers.
    """
    whole = np.rint(values.astype(np.float64) / SMALLEST).astype(np.int64)
    for axis in range(min(values.ndim, 2)):  # channels out come first, or second in what doubles
        others = tuple(number for number in range(values.ndim) if number != axis)
        step = np.maximum(np.gcd.reduce(np.abs(whole).reshape(whole.shape), axis=others, keepdims=True), 1)
        levels, scale = whole // step, (step * SMALLEST).astype(np.float16)
        if np.abs(levels).max() <= MOST_LEVEL and np.array_equal(levels.astype(np.float16) * scale, values):
            return levels.astype(np.int8), scale
    return None


def _is_worth_it(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == onnx.TensorProto.FLOAT16 and int(np.prod(tensor.dims)) >= LEAST_VALUES
