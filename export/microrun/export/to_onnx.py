"""Checkpoint to ONNX, with the spec inside and parity measured before the file gets its name."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
import torch
from onnxscript.optimizer import optimize
from torch import Tensor, nn

from microrun.export.parity import TOLERANCES, ParityError, measure_parity
from microrun.runtime.errors import OutputError
from microrun.runtime.output import name_beside
from microrun.runtime.spec import SPEC_KEY, Kind, ModelSpec
from microrun.training.checkpoint import load_checkpoint
from microrun.training.vae import VAE, Encoder

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


class MeanEncoder(nn.Module):
    """The part of the encoder that a user wants: patterns to the mean of their latents."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = fold_standardisation(encoder)

    def forward(self, patterns: Tensor) -> Tensor:
        """Map (batch, 1, 120, 120) to (batch, D)."""
        features = self.encoder.head(self.encoder.features(patterns))
        mean: Tensor = features[:, : features.shape[1] // 2]
        return mean


def fold_standardisation(encoder: Encoder) -> Encoder:
    """Put (x − mean)/std into the first convolution, which has no padding, so that it is exact.

    Parameters
    ----------
    encoder
        Changed in place; its ``standardise`` must not be used any more.
    """
    first = encoder.features[0]
    assert isinstance(first, nn.Conv2d) and first.bias is not None
    mean, std = encoder.standardise.mean, encoder.standardise.std
    with torch.no_grad():
        first.weight /= std
        first.bias -= mean * first.weight.sum(dim=(1, 2, 3))
    return encoder


def export_checkpoint(checkpoint: Path, out: Path, precision: Literal["f32", "f16"] = "f32") -> list[Exported]:
    """Export encoder and decoder of a checkpoint.

    Parameters
    ----------
    checkpoint
        From `microrun train vae`.
    out
        The encoder's file, NAME.onnx; the decoder becomes NAME.decoder.onnx.
    precision
        Of the weights. Inputs and outputs are float32 in any case; the batch is dynamic.

    Returns
    -------
    list of Exported

    Raises
    ------
    SpecError
        If the checkpoint cannot be used.
    ParityError
        If a file's results differ too much from the checkpoint's; then nothing is written.
    """
    model, spec = load_checkpoint(checkpoint)
    kinds: tuple[tuple[Kind, Path], ...] = (("encoder", out), ("decoder", out.with_suffix(".decoder.onnx")))
    made = []
    try:
        for kind, path in kinds:
            part_spec = dataclasses.replace(spec, kind=kind, precision=precision)
            beside = name_beside(path)
            made.append((beside, Exported(path, _export(model, part_spec, beside))))
        for beside, exported in made:
            beside.replace(exported.path)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error})") from None
    finally:
        for _, path in kinds:
            name_beside(path).unlink(missing_ok=True)
    return [exported for _, exported in made]


def _export(model: VAE, spec: ModelSpec, path: Path) -> ModelSpec:
    """Write one part of a model, measure it, write the number into it, and measure what was written."""
    reference = MeanEncoder(_copy(model).encoder) if spec.kind == "encoder" else _copy(model).decoder
    shipped: nn.Module = reference
    if spec.precision == "f16":
        again = _copy(model)
        shipped = HalfInside(MeanEncoder(again.encoder) if spec.kind == "encoder" else again.decoder)
    graph = trace(shipped.eval(), spec)
    save_model(graph, spec, path)
    error = _check_parity(reference.eval(), path, model, spec)
    spec = dataclasses.replace(spec, parity_error=float(f"{error:.3g}"))
    save_model(graph, spec, path)
    _check_parity(reference, path, model, spec)
    return spec


def _check_parity(reference: nn.Module, path: Path, model: VAE, spec: ModelSpec) -> float:
    error = measure_parity(reference, path, model)
    if not error <= TOLERANCES[spec.precision]:
        raise ParityError(
            f"{spec.name} {spec.kind}: differs from its checkpoint by {error:.1e} (relative L2); "
            f"{TOLERANCES[spec.precision]:.0e} is allowed in {spec.precision}. Nothing was written"
        )
    return error


def trace(model: nn.Module, spec: ModelSpec) -> onnx.ModelProto:
    """Make the graph of an encoder or decoder."""
    name, output = ("patterns", "latents") if spec.kind == "encoder" else ("latents", "patterns")
    return trace_graph(model, {name: torch.zeros(2, *spec.input_shape)}, output, ({0: BATCH},))


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
    """Write a graph with its spec in the metadata."""
    onnx.helper.set_model_props(graph, {SPEC_KEY: spec.to_json()})
    onnx.checker.check_model(graph, full_check=True)
    onnx.save_model(graph, path)


def _copy(model: VAE) -> VAE:
    copy = VAE(model.encoder.head.out_features // 2)
    copy.load_state_dict(model.state_dict())
    return copy
