"""`microrun convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import _console
from microrun.runtime.convert import Format, convert_latents
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents import open_latents


def convert(
    latents: Annotated[Path, typer.Argument(help="A latents file, finished or growing.")],
    to: Annotated[Format, typer.Option(help="The format to write.")],
    features: Annotated[str | None, typer.Option(help="Numbers of features, such as 3,17; by default all.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to make; by default LATENTS with the format's ending.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Write latents in the format of other programs.

    hspy: HyperSpy. ang: orix, MTEX. csv: MTEX, DREAM3D-NX, tables. ome-tiff: Fiji, napari. xdmf: ParaView.
    zarr: xarray. docs/convert.md shows how each is read.
    """
    numbers = None if features is None else parse_features(features)
    with open_latents(latents) as opened:
        if not all(opened.origin.scan.step_um):
            _console.warning_line(f"{latents}: does not state its step; positions count in steps")
        with _console.err.status("converting"):
            made = convert_latents(opened, to, out, numbers, overwrite)
    for path in made:
        _console.out.print(f"wrote {path}")


def parse_features(text: str) -> list[int]:
    """Read numbers of features with commas between.

    Raises
    ------
    LatentsError
        If the text is anything else.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise LatentsError(f"features are numbers with commas between, such as 3,17; got {text!r}") from None
