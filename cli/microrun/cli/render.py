"""`microrun render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.files.destination import check_file
from microrun.runtime.pictures.drawing import read_drawing
from microrun.runtime.pictures.figure_file import ENDINGS
from microrun.runtime.pictures.volume_view import render as render_drawing
from microrun.runtime.volumes.volume import open_volume


def render(
    volume: Annotated[Path, typer.Argument(help="Labels of grains or values, .npy or .h5, (z, y, x).")],
    out: Annotated[Path, typer.Option(help="The picture to make: .png, .svg, .pdf or .jpg.")],
    slices: Annotated[bool, typer.Option("--slices", help="Draw the three middle slices only.")] = False,
    voxel_um: Annotated[
        float | None,
        typer.Option(help="Edge of a voxel in µm; by default as the file states, or lengths count voxels."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set of a .h5 volume; by default the only 3D one.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw a volume: the cube with an octant cut out, or a part as it is, and the three middle slices.

    Whole numbers are grains, each of its own colour; other numbers are values. A volume of which a quarter or more is
    outside (negative labels, NaN) is a part.
    """
    check_file(out, overwrite, endings=ENDINGS, sources=[volume])
    with open_volume(volume, dataset) as opened, console.step("drawing"):
        render_drawing(read_drawing(opened, opened.voxel_um if voxel_um is None else voxel_um), out, slices)
    say_wrote(out)
    say_next("grains", volume, *(["--dataset", dataset] if dataset else []))
