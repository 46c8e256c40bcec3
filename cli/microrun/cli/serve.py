"""`microrun serve`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.encode import ModelName
from microrun.cli.outputs import OverwriteOption, say_wrote
from microrun.cli.pattern_centre import parse_centre
from microrun.runtime.encoding.request import BadPixels
from microrun.runtime.engines.catalogue import DEFAULT_ENGINE
from microrun.runtime.engines.engine import Device, EngineRequest, Precision
from microrun.runtime.engines.open import open_engine
from microrun.runtime.serving.client_export import export_client
from microrun.runtime.serving.server import ServeRequest, Service
from microrun.runtime.serving.server import serve as serve_scans


def serve(
    engine: ModelName = DEFAULT_ENGINE,
    folder: Annotated[Path, typer.Option(help="Folder for the latents files, made where it is missing.")] = Path(),
    background: Annotated[
        str, typer.Option(help="Of each scan: running (its own running mean), none, or a .npy/.up1/.up2 file.")
    ] = "running",
    pc: Annotated[
        str | None,
        typer.Option(
            help="Pattern centre X,Y,Z of all scans in EDAX's convention: warp patterns to that which the model knows."
        ),
    ] = None,
    invert: Annotated[
        bool | None,
        typer.Option("--invert/--keep-polarity", help="Bands are dark: turn patterns about, as the model knows them."),
    ] = None,
    bad_pixels: Annotated[
        BadPixels,
        typer.Option(help="Fill pixels that are dead, hot or stuck in the first 64 patterns of a scan, or keep them."),
    ] = "fill",
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    lanes: Annotated[int | None, typer.Option(help="Parallel workers; by default what suits the engine.")] = None,
    batch: Annotated[int | None, typer.Option(help="Patterns per run of the engine.")] = None,
    port: Annotated[
        int, typer.Option(help="Of this machine alone; 0 for any that is free: clients read it from the token file.")
    ] = 0,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File that lets clients in, which only you can read; by default one in your home folder. Elsewhere, "
            "on Windows, the permissions of its folder decide who can read it."
        ),
    ] = None,
    idle_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds without a sign of a client that end its scan.")
    ] = 60.0,
    client: Annotated[
        Path | None,
        typer.Option(help="Write the client for C, C++, C#, LabVIEW and MATLAB into this folder instead, and end."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Encode patterns that other programs push, whatever they are written in.

    Acquisition programs push patterns through shared memory, or over TCP, and get latents back; each scan is also
    written to a latents file, which can be looked at while it grows. One scan is encoded at a time. Ctrl-C ends the
    service.
    """
    if client is not None:
        say_wrote(*export_client(client, overwrite))
        return
    centre = None if pc is None else parse_centre(pc)
    request = ServeRequest(folder, port, token_file, background, idle_timeout, centre, invert, bad_pixels)
    with console.step("opening the engine"):
        opened = open_engine(engine, device, EngineRequest(precision, lanes, batch))
    with opened, contextlib.suppress(KeyboardInterrupt):  # its ordinary end
        console.out.print(f"engine   {opened.info}")
        serve_scans(request, opened, _say, _say_address)


def _say(kind: str, text: str) -> None:
    if kind == "warning":
        console.warning_line(text)
    else:
        console.out.print(f"{kind:<8} {text}")


def _say_address(service: Service) -> None:
    where = f"port {service.address.port} of this machine, token in {service.token_file}"
    console.out.print(f"serve    {where} (Ctrl-C ends it)")
