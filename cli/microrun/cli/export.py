"""`microrun export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from microrun.cli import _console
from microrun.runtime.errors import MicrorunError


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors file from `microrun train`.")],
    to: Annotated[Literal["onnx"], typer.Option(help="What to make.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="The encoder's file; by default CHECKPOINT.onnx.")] = None,
    precision: Annotated[Literal["f32", "f16"], typer.Option(help="Of the weights.")] = "f32",
) -> None:
    """Export a checkpoint's encoder and decoder, and compare them with the checkpoint.

    The decoder goes into NAME.decoder.onnx. Where the results differ too much, nothing is written.
    """
    if not checkpoint.is_file():
        raise MicrorunError(f"{checkpoint}: no such checkpoint")
    target = out or checkpoint.with_suffix(".onnx")
    if target.suffix != ".onnx":
        raise MicrorunError(f"{target}: an ONNX file ends in .onnx")
    if not target.parent.is_dir():
        raise MicrorunError(f"{target.parent}: no such folder")
    from microrun.export.to_onnx import export_checkpoint

    with _console.err.status("exporting and comparing"):
        made = export_checkpoint(checkpoint, target, precision)
    for exported in made:
        size = _console.size_text(exported.path.stat().st_size)
        _console.out.print(f"wrote {exported.path} ({size}), parity {exported.spec.parity_error:.1e} (relative L2)")
