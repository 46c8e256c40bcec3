"""`microrun view`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.scan_name import ScanNameOption
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.page import open_page
from microrun.runtime.latents.reader import open_latents


def view(
    latents: Annotated[Path, typer.Argument(help="A latents file, finished or growing.")],
    scan: Annotated[
        Path | None, typer.Option(help="Its scan, for patterns under the cursor; by default the one beside it.")
    ] = None,
    decoder: Annotated[
        str | None, typer.Option(help="The decoder's .onnx file; by default the built-in one of the encoder.")
    ] = None,
    scan_name: ScanNameOption = None,
    port: Annotated[
        int | None, typer.Option(help="Where the page is served; by default 8180, or any port that is free.")
    ] = None,
    host: Annotated[str, typer.Option(help="Name or address of this machine; others may ask with a --token only.")] = (
        "127.0.0.1"
    ),
    token: Annotated[str, typer.Option(help="Secret of 16 letters or digits at least, a part of the address.")] = "",
) -> None:
    """Show a latents file in the browser, live while it grows.

    Prints the address to open, and serves the page until Ctrl-C. The page is served on this machine alone, reads only,
    and asks nothing of any other machine. Several browsers may look at once.
    """
    from microrun.runtime.view.serve import ViewRequest, serve

    if scan is not None and not scan.exists():
        raise LatentsError(f"{scan}: no such file")
    request = ViewRequest(latents, scan, decoder, host, port, token, scan_name=scan_name)
    open_latents(latents).close()  # whatever is wrong with it is said first
    with contextlib.suppress(KeyboardInterrupt):  # its ordinary end
        serve(request, lambda address: console.out.print(f"view     {address} (Ctrl-C ends it)"))


def show_beside(request: EncodeRequest) -> None:
    """Start the page of a run beside it; a run never fails for want of a page."""
    try:
        console.out.print(f"view     {open_page(request.out, request.scan, request.scan_name)}")
    except (LatentsError, OSError) as error:
        console.warning_line(f"no page is shown: {error}")
        return
    if request.overwrite and not request.follow and request.out.exists():
        text = "the page shows the old latents until this run has ended, and the new ones from then on"
        console.warning_line(f"{request.out}: {text}; --follow replaces them at once")
