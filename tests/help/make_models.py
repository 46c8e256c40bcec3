"""Tiny real ONNX models, with and without a spec: small enough to compile in a moment, real enough for every engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from microrun.runtime.spec import SPEC_KEY, Kind, ModelSpec, Preprocessing

LATENT_SIZE = 8
SIDE = 120
POOL = 8
OPSET = 21
IR_VERSION = 10


def tiny_spec(kind: Kind = "encoder", latent_size: int = LATENT_SIZE) -> ModelSpec:
    """Spec that fits the graphs below."""
    return ModelSpec("tiny", kind, latent_size)


def encoder_graph(latent_size: int = LATENT_SIZE, side: int = SIDE, seed: int = 0) -> ModelProto:
    """(batch, 1, side, side) to (batch, D): convolution, rectifier, mean over squares, one matrix."""
    rng = np.random.default_rng(seed)
    pooled = (side // POOL) ** 2
    weights = {
        "kernel": rng.standard_normal((2, 1, 3, 3)) / 3,
        "bias": rng.standard_normal(2) / 10,
        "matrix": rng.standard_normal((2 * pooled, latent_size)) / np.sqrt(pooled),
    }
    nodes = [
        helper.make_node("Conv", ["patterns", "kernel", "bias"], ["filtered"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["filtered"], ["positive"]),
        helper.make_node("AveragePool", ["positive"], ["pooled"], kernel_shape=[POOL, POOL], strides=[POOL, POOL]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["latents"]),
    ]
    return _model(nodes, ("patterns", (1, side, side)), ("latents", (latent_size,)), weights)


def decoder_graph(latent_size: int = LATENT_SIZE, side: int = SIDE, seed: int = 0) -> ModelProto:
    """(batch, D) to (batch, 1, side, side): one matrix, then repeated pixels."""
    rng = np.random.default_rng(seed)
    small = side // POOL
    nodes = [
        helper.make_node("MatMul", ["latents", "matrix"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["small"]),
        helper.make_node("Resize", ["small", "", "scales"], ["patterns"], mode="nearest"),
    ]
    weights = {"matrix": rng.standard_normal((latent_size, small**2))}
    model = _model(nodes, ("latents", (latent_size,)), ("patterns", (1, side, side)), weights)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([-1, 1, small, small], np.int64), "shape"),
            numpy_helper.from_array(np.array([1, 1, POOL, POOL], np.float32), "scales"),
        ]
    )
    return model


def save_model(path: Path, model: ModelProto, spec: ModelSpec | str | None) -> Path:
    """Write a graph with a spec, with any text in its place, or with none."""
    if spec is not None:
        helper.set_model_props(model, {SPEC_KEY: spec if isinstance(spec, str) else spec.to_json()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)
    return path


def write_encoder(path: Path, latent_size: int = LATENT_SIZE, seed: int = 0) -> Path:
    """Write an encoder that is as it should be."""
    return save_model(path, encoder_graph(latent_size, seed=seed), tiny_spec("encoder", latent_size))


def write_decoder(path: Path, latent_size: int = LATENT_SIZE, seed: int = 0) -> Path:
    """Write a decoder that is as it should be."""
    return save_model(path, decoder_graph(latent_size, seed=seed), tiny_spec("decoder", latent_size))


def write_pair(folder: Path) -> Path:
    """Write an encoder and its decoder beside it, which prepare as built-in ones do; returns the encoder's file."""
    kinds: tuple[tuple[Kind, str, ModelProto], ...] = (
        ("decoder", "tiny.decoder.onnx", decoder_graph()), ("encoder", "tiny.onnx", encoder_graph()),
    )  # fmt: skip
    for kind, name, graph in kinds:
        save_model(folder / name, graph, replace(tiny_spec(kind), preprocessing=Preprocessing(scale_background=True)))
    return folder / "tiny.onnx"


def _model(
    nodes: list[onnx.NodeProto],
    source: tuple[str, tuple[int, ...]],
    target: tuple[str, tuple[int, ...]],
    weights: dict[str, np.ndarray],
) -> ModelProto:
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", *shape]) for n, shape in (source, target)]
    initial = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "tiny", ports[:1], ports[1:], initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
