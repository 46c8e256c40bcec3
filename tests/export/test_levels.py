"""Weights of few levels in a graph: what is found, what is stored, and that nothing computes otherwise."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from make_denoisers import denoiser_spec
from onnxruntime import InferenceSession

from microrun.export.levels import compact, find_levels, read_weights, store_levels
from microrun.runtime.spec import SPEC_KEY
from microrun.training.diffusion.levels import choose_steps, round_to

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("axis", [0, 1])
def test_levels_are_found_along_either_axis_of_channels(axis: int) -> None:
    levels = RNG.integers(-7, 8, (24, 12, 3))
    steps = RNG.integers(16, 32, 24 if axis == 0 else 12) * 2.0**-12
    steps = steps.reshape(-1, *[1] * (2 - axis))
    found = find_levels((levels * steps).astype(np.float16))
    assert found is not None and found[0].dtype == np.int8
    np.testing.assert_array_equal(found[0].astype(np.float16) * found[1], (levels * steps).astype(np.float16))


def test_weights_of_other_values_are_left_alone() -> None:
    assert find_levels(RNG.standard_normal((64, 64)).astype(np.float16)) is None
    zeros = find_levels(np.zeros((8, 8), np.float16))
    assert zeros is not None and not zeros[0].any()


def test_rounding_errs_by_little_and_only_once() -> None:
    weight = torch.randn(8, 100, generator=torch.Generator().manual_seed(0)) / 50
    errors = []
    for most in (7, 31):
        steps = choose_steps(weight, most)
        rounded = round_to(weight, steps, most)
        assert torch.equal(round_to(rounded, steps, most), rounded)
        assert torch.equal(rounded.half().float(), rounded)  # exact in half precision
        errors.append(float((rounded - weight).norm() / weight.norm()))
    assert errors[0] < 0.15 and errors[1] < 0.04


def convolutions() -> onnx.ModelProto:
    """Two convolutions in half precision of weights of few levels; the second doubles, channels out come second."""
    generator = torch.Generator().manual_seed(1)
    arrays = {}
    for name, shape in (("down", (32, 8, 3, 3, 3)), ("up", (16, 32, 3, 3, 3))):
        weight = torch.randn(shape, generator=generator)
        arrays[name] = round_to(weight, choose_steps(weight, 7), 7).half().numpy()
    arrays["up"] = arrays["up"].transpose(1, 0, 2, 3, 4)
    make, half, single = onnx.helper.make_node, onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    nodes = [
        make("Cast", ["x"], ["half"], to=half),
        make("Conv", ["half", "down"], ["middle"]),
        make("ConvTranspose", ["middle", "up"], ["last"], strides=[2, 2, 2]),
        make("Cast", ["last"], ["y"], to=single),
    ]
    shapes = {"x": (1, 8, 6, 6, 6), "y": (1, 16, 9, 9, 9)}
    ports = [onnx.helper.make_tensor_value_info(name, single, shape) for name, shape in shapes.items()]
    weights = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = onnx.helper.make_graph(nodes, "two", ports[:1], ports[1:], weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)


def test_a_graph_of_few_levels_takes_less_room_and_computes_the_same() -> None:
    graph = convolutions()
    stored = store_levels(graph)
    kinds = [tensor.data_type for tensor in stored.graph.initializer]
    assert kinds == 2 * [onnx.TensorProto.INT8, onnx.TensorProto.FLOAT16]
    sizes = [len(zlib.compress(one.SerializeToString())) for one in (graph, stored)]
    assert sizes[1] < 0.7 * sizes[0]
    kept, found = map(read_weights, (graph, stored))
    assert list(kept) == list(found)  # in their order, which reading a network back needs
    for name, array in kept.items():
        np.testing.assert_array_equal(array, found[name])
    x = RNG.standard_normal((1, 8, 6, 6, 6)).astype(np.float32)
    one, two = (InferenceSession(model.SerializeToString()).run(None, {"x": x})[0] for model in (graph, stored))
    np.testing.assert_array_equal(one, two)


def test_a_file_keeps_its_spec(tmp_path: Path) -> None:
    graph = convolutions()
    onnx.helper.set_model_props(graph, {SPEC_KEY: denoiser_spec().to_json()})
    onnx.save_model(graph, tmp_path / "levels.onnx")
    compact(tmp_path / "levels.onnx")
    stored = onnx.load_model(tmp_path / "levels.onnx")
    assert stored.metadata_props == graph.metadata_props
    assert len(stored.graph.initializer) == 4
