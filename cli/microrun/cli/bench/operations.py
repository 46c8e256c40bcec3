"""Operations of networks, counted in their graphs or their layers."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from microrun.runtime.spec import ModelSpec

if TYPE_CHECKING:
    import onnx

Shapes = dict[str, tuple[int, ...]]


def encoder_operations(spec: ModelSpec) -> float | None:
    """Two per multiplication and addition of the encoder, per pattern; None without torch, or for other networks."""
    if find_spec("torch") is None:
        return None
    import torch

    from microrun.training.vae.network import LATENT_SIZES, PATTERN_SHAPE, VAE

    if spec.latent_size not in LATENT_SIZES or spec.preprocessing.input_shape != PATTERN_SHAPE:
        return None
    return count_operations(
        lambda: VAE(spec.latent_size, network=spec.network).encoder(torch.zeros(1, *spec.input_shape))
    )


def count_operations(work: Callable[[], object]) -> float:
    """Two per multiplication and addition of what torch is asked to do, which is only pretended."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    # On this device the products of attention are seen, too; on the CPU they hide in one call.
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def graph_operations(path: Path) -> float | None:
    """Two per multiplication and addition in convolutions and products of matrices, for a batch of one.

    None where it is no .onnx file, onnx is not installed, or the file does not tell the shapes inside.
    """
    if path.suffix.lower() != ".onnx" or find_spec("onnx") is None:
        return None
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    shapes = _read_shapes(graph)
    try:
        return 2.0 * sum(_count_products(node, shapes) for node in graph.node)
    except KeyError:
        return None


def _read_shapes(graph: onnx.GraphProto) -> Shapes:
    """Shapes of all values; dimensions that have no number are the batch."""
    shapes: Shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        shapes[value.name] = tuple(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
    return shapes


def _count_products(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Multiplications of a node: for each number that comes out (of a transposed convolution: goes in) its terms."""
    if node.op_type == "Conv":
        return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":
        return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type in ("Gemm", "MatMul"):
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return 0
