"""A tiny network of pictures, in place of Inception: the mean of each channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper


def write_feature_network(
    path: Path, shape: Sequence[int | str] = ("n", 3, "height", "width"), operation: str = "GlobalAveragePool"
) -> Path:
    """Write a graph of one operation on pictures."""
    nodes = [helper.make_node(operation, ["pictures"], ["features"])]
    inputs = [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "features", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, path)
    return path
