"""`microrun decode`."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import _console
from microrun.runtime.decode import decode_latents, find_decoder
from microrun.runtime.engine import Device, EngineRequest, Precision, open_engine
from microrun.runtime.errors import OutputError, ScanError
from microrun.runtime.file_sources import FileSource
from microrun.runtime.latents import Latents, open_latents
from microrun.runtime.session import fingerprint

SUFFIX = ".decoded.up2"


def decode(
    latents: Annotated[Path, typer.Argument(help="A latents file, finished or growing.")],
    out: Annotated[Path | None, typer.Option(help="The .up2 file; by default LATENTS.decoded.up2.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="The decoder's .onnx file; by default the built-in one of the encoder.")
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Add the background back: intensities as the camera counted them.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Decode latents into patterns that can be indexed: a UP2 file on the same grid.

    Without --background the patterns are stretched to 16 bits by one gain and offset for the whole scan.
    """
    out = out or latents.parent / (latents.name.removesuffix(".h5").removesuffix(".latents") + SUFFIX)
    if out.suffix.lower() != ".up2":
        raise ScanError(f"{out}: decoded patterns are written as .up2")
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists; replace it with --overwrite, or choose another --out")
    with (
        open_latents(latents) as opened,
        open_engine(engine or find_decoder(opened), device, EngineRequest(precision)) as decoder,
        _console.progress_bar("decoding") as bar,
    ):
        _refuse_original(out, opened)
        _console.out.print(f"engine   {decoder.info}")
        started = time.perf_counter()
        decoded = decode_latents(opened, decoder, out, add_background=background, progress=bar)
        elapsed = time.perf_counter() - started
    total = decoded.scan.total
    _console.out.print(f"decoded  {total:,} patterns in {elapsed:.1f} s: {total / elapsed:,.0f}/s")
    if not background:
        _console.out.print(f"stored   {decoded.gain:.4g} × intensity + {decoded.offset:.4g}")
    _console.out.print(f"wrote    {out} ({_console.size_text(out.stat().st_size)})")
    if decoded.blank:
        _console.warning_line(f"{decoded.blank:,} patterns are blank: not encoded, or without information")


def _refuse_original(out: Path, latents: Latents) -> None:
    """The scan that latents were made from is never replaced."""
    if not out.exists():
        return
    with contextlib.suppress(ScanError):  # whatever is no scan is not the original
        if fingerprint(FileSource(out, latents.origin.scan.nav_shape)) == latents.origin.fingerprint:
            raise OutputError(f"{out}: is the scan that was encoded; choose another --out")
