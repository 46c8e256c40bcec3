"""Graphs in int8: the one form that all engines take."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper
from write_up2 import Header

from microrun.export import vae_to_onnx as to_onnx
from microrun.export.quantize_model import widen_floats
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.engines.onnx_cpu import OnnxEngine
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.spec import ModelSpec
from microrun.training.vae.network import VAE

BUILT_IN = MODELS / "vae32.onnx"
NAV_SHAPE, HALF = (6, 10), 2  # of the simulated scan, whose first two of six rows are calibrated on
FOUR_ROWS = Header(sig_shape=(60, 60), nav_shape=(4, 3))
SIX_ROWS = replace(FOUR_ROWS, nav_shape=(6, 3))


def test_the_graph_is_what_tensorrt_takes(int8: Path) -> None:
    model = onnx.load(int8)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    used_by = {name: node for node in model.graph.node for name in node.input}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 7
    for node in convolutions:
        activations, kernel = (made_by[name] for name in node.input[:2])
        assert activations.op_type == kernel.op_type == "DequantizeLinear"
        assert made_by[activations.input[0]].op_type == "QuantizeLinear"
        assert weights[kernel.input[0]].dtype == np.int8
        assert weights[kernel.input[1]].shape == weights[kernel.input[0]].shape[:1]  # a scale for each channel
        assert node.input[2] in weights and weights[node.input[2]].dtype == np.float32  # the bias
        assert used_by[node.output[0]].op_type == "LeakyRelu"
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert node.domain == "" and len(node.input) == 3
            assert weights[node.input[2]].dtype == np.int8 and not weights[node.input[2]].any()
    assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == len(convolutions)


def test_the_graph_is_portable(int8: Path) -> None:
    model = onnx.load(int8)
    assert [(opset.domain, opset.version) for opset in model.opset_import if not opset.domain] == [("", 21)]
    assert [entry.key for entry in model.metadata_props] == ["microrun_spec"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param  # the batch is dynamic
    types = {tensor.data_type for tensor in model.graph.initializer}
    assert types == {TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT64}
    for trace in (b"/tmp", tempfile.gettempdir().encode(), str(Path.home()).encode()):
        assert trace not in int8.read_bytes()
    assert int8.stat().st_size < BUILT_IN.stat().st_size  # a byte each, where there were two


def test_tensorrt_rtx_builds_it(int8: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from microrun.runtime.engines.nvidia.build_plan import BuildRequest, build_plan

    record = build_plan(int8, tmp_path / "vae32.plan", BuildRequest("tensorrt_rtx", batch=16))
    assert record.spec.precision == "int8"
    assert record.spec == read_model_spec(int8)


def test_a_half_model_is_widened_without_a_change_of_any_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, spec = VAE(16, -0.4, 0.25).eval(), ModelSpec("vae16", "encoder", 16)
    half = to_onnx.HalfInside(to_onnx.MeanEncoder(model.encoder))
    widened = widen_floats(to_onnx.trace(half.eval(), spec))
    expected = to_onnx.trace(half.model.float().eval(), spec)
    assert TensorProto.FLOAT16 not in {int(n) for n in numbers_of_types(widened)}
    assert sorted(contents(widened)) == sorted(contents(expected))
    patterns = np.random.default_rng(0).uniform(-1, 1, (3, 1, 120, 120)).astype(np.float32)
    results = []
    for name, graph in (("widened", widened), ("expected", expected)):
        to_onnx.save_model(graph, spec, tmp_path / f"{name}.onnx")
        with OnnxEngine(tmp_path / f"{name}.onnx") as engine:
            results.append(engine.lane().run(patterns).copy())
    np.testing.assert_array_equal(results[0], results[1])
    assert np.ptp(results[0]) > 0.01


def numbers_of_types(model: ModelProto) -> list[int]:
    """All element types that a graph speaks of."""
    graph = model.graph
    values = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)]
    casts = [attribute.i for node in graph.node for attribute in node.attribute if attribute.name == "to"]
    return [*values, *casts, *(tensor.data_type for tensor in graph.initializer)]


def contents(model: ModelProto) -> list[bytes]:
    return [numpy_helper.to_array(tensor).tobytes() for tensor in model.graph.initializer]


def test_constants_inside_nodes_are_widened_too() -> None:
    numbers = np.array([1.5, -6e-8, 65504], np.float16)
    value = onnx.helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(numbers, "c"))
    graph = onnx.helper.make_graph([value], "constant", [], [])
    tensor = widen_floats(onnx.helper.make_model(graph)).graph.node[0].attribute[0]
    assert tensor.type == AttributeProto.TENSOR
    found = numpy_helper.to_array(tensor.t)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, numbers.astype(np.float64))
