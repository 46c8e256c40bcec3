"""`microrun decode`."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.encoding.decode import decode_latents, find_decoder
from microrun.runtime.engines.engine import Device, EngineRequest, Precision
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import LatentsError, RefusedOutputError, ScanError
from microrun.runtime.files.destination import check_file
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.same_scan import check_same_scan
from microrun.runtime.scans.open import fingerprint
from microrun.runtime.scans.up_source import FileSource

SUFFIX = ".decoded.up2"


def decode(
    latents: Annotated[Path, typer.Argument(help="A latents file, finished or growing.")],
    out: Annotated[Path | None, typer.Option(help="The .up2 file; by default LATENTS.decoded.up2.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="The decoder's .onnx file; by default the built-in one of the encoder.")
    ] = None,
    add_background: Annotated[
        bool, typer.Option("--add-background", help="Add the background back: intensities as the camera counted them.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Decode latents into patterns that can be indexed: a UP2 file on the same grid.

    Patterns that were encoded with --pc get the pattern centre of the scan again.
    Without --add-background the patterns are stretched to 16 bits by one gain and offset for the whole scan.
    """
    out = out or latents.parent / (latents.name.removesuffix(".h5").removesuffix(".latents") + SUFFIX)
    check_file(out, overwrite, endings=[".up2"])
    with (
        open_latents(latents) as opened,
        open_engine(engine or find_decoder(opened), device, EngineRequest(precision)) as decoder,
        console.progress_bar("decoding") as bar,
    ):
        _refuse_original(out, opened)
        scaled = opened.origin.scale_background
        console.out.print(f"engine   {decoder.info}")
        started = time.perf_counter()
        decoded = console.watch(decode_latents(opened, decoder, out, add_background=add_background), bar)
        elapsed = time.perf_counter() - started
    total = decoded.scan.total
    console.out.print(f"decoded  {total:,} patterns in {elapsed:.1f} s: {total / elapsed:,.0f}/s")
    if not add_background:
        console.out.print(
            f"bright   a grey level of the camera, above the background, is {decoded.gain:.4g} in the file, and 0 is "
            f"{decoded.offset:.4g}; --add-background gives the camera's own"
        )
    say_wrote(out)
    if add_background and scaled:
        console.warning_line("the background was scaled to each pattern: all have its brightness, not what was counted")
    if decoded.uncovered:
        console.warning_line(f"{decoded.uncovered:,} pixels inside the mask are 0: the model's view does not show them")
    if decoded.blank:
        console.warning_line(f"{decoded.blank:,} patterns are blank: not encoded, or without information")
    say_next("physics", out)


def _refuse_original(out: Path, latents: Latents) -> None:
    """The scan that latents were made from is never replaced."""
    if not out.exists():
        return
    with contextlib.suppress(ScanError, LatentsError):  # whatever is no scan, or another, is not the original
        if _is_original(FileSource(out, latents.origin.scan.nav_shape), latents):
            raise RefusedOutputError(f"{out}: is the scan that was encoded; write to another place")


def _is_original(scan: FileSource, latents: Latents) -> bool:
    if latents.origin.fingerprint:
        return fingerprint(scan) == latents.origin.fingerprint
    check_same_scan(latents, scan)
    return bool(latents.probes.any())
