"""What all exported graphs share: tracing, normalisation in float32, the file with its spec."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnxscript.optimizer import optimize
from torch import Tensor, nn

from microrun.runtime.errors import EngineError
from microrun.runtime.spec import SPEC_KEY, ModelSpec

# float32 differs by the order of sums only; half has 11 bits of mantissa, and six layers.
TOLERANCES = {"f32": 1e-4, "f16": 1e-2}


class ParityError(EngineError):
    """The exported model does not compute what its checkpoint does."""


OPSET = 21
NO_LIMIT = 1 << 40  # bytes
BATCH = torch.export.Dim("batch")
NORMS = (nn.GroupNorm, nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Exported:
    """One file that was made.

    Parameters
    ----------
    path
        The .onnx file.
    spec
        As written into it, with its parity error.
    """

    path: Path
    spec: ModelSpec


class HalfInside(nn.Module):
    """A model in float16 with float32 input and output, so that no user of it need care.

    Normalisation layers stay in float32: their sums of squares overflow half beyond activations of some hundreds.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = _keep_norms(model.half())

    def forward(self, x: Tensor) -> Tensor:
        """Cast, run, cast back."""
        result: Tensor = self.model(x.half()).float()
        return result


class FloatNorm(nn.Module):
    """A normalisation layer in float32 between layers in float16."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: Tensor) -> Tensor:
        """Cast, normalise, cast back."""
        result: Tensor = self.norm(x.float()).half()
        return result


def _keep_norms(model: nn.Module) -> nn.Module:
    for name, child in model.named_children():
        kept = FloatNorm(child) if isinstance(child, NORMS) else _keep_norms(child)
        setattr(model, name, kept)
    return model


def trace_graph(
    model: nn.Module, examples: Mapping[str, Tensor], output: str, dynamic_shapes: tuple[object, ...]
) -> onnx.ModelProto:
    """Make a graph: opset 21, no paths of source files inside.

    Parameters
    ----------
    model
        With one output.
    examples
        Its inputs by name.
    output
        Name of its output.
    dynamic_shapes
        As `torch.export` takes it, with `BATCH` for the batch.

    Returns
    -------
    onnx.ModelProto
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            tuple(examples.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(examples),
            output_names=[output],
            dynamic_shapes=dynamic_shapes,
            optimize=False,
        )
    assert program is not None
    # Whatever follows from weights alone is computed now, however large: not by every engine at every start.
    graph: onnx.ModelProto = optimize(program.model_proto, input_size_limit=NO_LIMIT, output_size_limit=NO_LIMIT)
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info, *graph.graph.initializer):
        del value.metadata_props[:]
    del graph.graph.metadata_props[:]
    return graph


def save_model(graph: onnx.ModelProto, spec: ModelSpec, path: Path) -> None:
    """Write a graph with its spec in the metadata.

    Parameters
    ----------
    graph
        Changed: it gets the spec.
    spec
        What the model is.
    path
        The .onnx file.
    """
    onnx.helper.set_model_props(graph, {SPEC_KEY: spec.to_json()})
    onnx.checker.check_model(graph, full_check=True)
    onnx.save_model(graph, path)
