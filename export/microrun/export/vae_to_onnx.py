"""Checkpoint to ONNX, with the spec inside and parity measured before the file gets its name."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Literal

import onnx
import torch
from torch import Tensor, nn

from microrun.export.graph import BATCH, TOLERANCES, Exported, HalfInside, ParityError, save_model, trace_graph
from microrun.export.parity import measure_parity
from microrun.runtime.files.output import written_beside
from microrun.runtime.spec import Kind, ModelSpec
from microrun.training.vae.checkpoint import load_checkpoint
from microrun.training.vae.fast_encoder import FastEncoder
from microrun.training.vae.network import VAE, Encoder


class MeanEncoder(nn.Module):
    """The part of the encoder that a user wants: patterns to the mean of their latents."""

    def __init__(self, encoder: Encoder | FastEncoder) -> None:
        super().__init__()
        self.encoder = fold_standardisation(encoder)

    def forward(self, patterns: Tensor) -> Tensor:
        """Map (batch, 1, 120, 120) to (batch, D)."""
        features = self.encoder.head(self.encoder.features(patterns))
        mean: Tensor = features[:, : features.shape[1] // 2]
        return mean


def fold_standardisation(encoder: Encoder | FastEncoder) -> Encoder | FastEncoder:
    """Put (x − mean)/std into the first convolution, which has no padding, so that it is exact.

    Parameters
    ----------
    encoder
        Changed in place; its ``standardise`` must not be used any more.
    """
    first = next(layer for layer in encoder.features if isinstance(layer, nn.Conv2d))
    assert first.bias is not None and first.padding == (0, 0)
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
    OutputError
        If a file cannot be written.
    """
    model, spec = load_checkpoint(checkpoint)
    kinds: tuple[tuple[Kind, Path], ...] = (("encoder", out), ("decoder", out.with_suffix(".decoder.onnx")))
    with contextlib.ExitStack() as stack:  # both get their names, or none
        besides = [stack.enter_context(written_beside(path)) for _, path in kinds]
        return [
            Exported(path, _export(model, _spec_of(spec, kind, precision), beside))
            for (kind, path), beside in zip(kinds, besides, strict=True)
        ]


def _spec_of(spec: ModelSpec, kind: Kind, precision: Literal["f32", "f16"]) -> ModelSpec:
    """That of one part; only the encoder says which latents are known."""
    known = spec.known if kind == "encoder" else None
    return dataclasses.replace(spec, kind=kind, precision=precision, known=known)


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
    """Make the graph of an encoder or decoder.

    Parameters
    ----------
    model
        The network, in the precision that ships.
    spec
        Of its kind and shapes.
    """
    name, output = ("patterns", "latents") if spec.kind == "encoder" else ("latents", "patterns")
    return trace_graph(model, {name: torch.zeros(2, *spec.input_shape)}, output, ({0: BATCH},))


def _copy(model: VAE) -> VAE:
    copy = VAE(model.encoder.head.out_features // 2, network=model.network)
    copy.load_state_dict(model.state_dict())
    return copy
