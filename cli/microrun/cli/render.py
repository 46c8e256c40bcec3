"""`microrun render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.outputs import CmapOption, OverwriteOption, say_next, say_wrote
from microrun.runtime.errors import VolumeError
from microrun.runtime.files.destination import check_file
from microrun.runtime.pictures.colour_maps import check_cmap
from microrun.runtime.pictures.drawing import AXES, Drawing, Printed, read_drawing, read_printed
from microrun.runtime.pictures.figure_file import ENDINGS
from microrun.runtime.pictures.grain_colours import GrainColours, colour_by_orientation
from microrun.runtime.pictures.volume_view import render as render_drawing
from microrun.runtime.volumes.orientations import read_orientations
from microrun.runtime.volumes.volume import Volume, open_volume


def render(
    volume: Annotated[Path, typer.Argument(help="Labels of grains or values, .npy or .h5, (z, y, x).")],
    out: Annotated[Path, typer.Option(help="The picture to make: .png, .svg, .pdf or .jpg.")],
    slices: Annotated[bool, typer.Option("--slices", help="Draw the three middle slices only.")] = False,
    voxel_um: Annotated[
        float | None,
        typer.Option(help="Edge of a voxel in µm; by default as the file states, or lengths count voxels."),
    ] = None,
    ipf: Annotated[
        str | None,
        typer.Option(
            help="Colour grains by the crystal direction along x, y or z; microrun orient gives them orientations."
        ),
    ] = None,
    cmap: CmapOption = None,
    dataset: Annotated[str | None, typer.Option(help="Data set of a .h5 volume; by default the only 3D one.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw a volume: the cube with an octant cut out, or a part as it is, and the three middle slices.

    Whole numbers are grains, each of its own colour; other numbers are values. A volume of which a quarter or more is
    outside (negative labels, NaN) is a part.
    """
    check_file(out, overwrite, endings=ENDINGS, sources=[volume])
    colours = None if cmap is None else check_cmap(cmap)
    with open_volume(volume, dataset) as opened, console.step("drawing"):
        render_drawing(_read(volume, opened, voxel_um, ipf, colours), out, slices)
    say_wrote(out)
    say_next("grains", volume, *(["--dataset", dataset] if dataset else []))


def _read(path: Path, volume: Volume, voxel_um: float | None, ipf: str | None, cmap: str | None) -> Drawing:
    printed = read_printed(path) or Printed(None, AXES)
    stated_um = printed.voxel_um if volume.voxel_um is None else volume.voxel_um
    grain_colours = None if ipf is None else _colour_grains(path, volume.name, ipf)
    return read_drawing(volume, stated_um if voxel_um is None else voxel_um, printed.axes, grain_colours, cmap)


def _colour_grains(volume: Path, name: str, direction: str) -> GrainColours:
    orientations = read_orientations(volume, name)
    if orientations is None:
        raise VolumeError(f"{volume}: has no orientations; microrun orient gives its grains some")
    return colour_by_orientation(orientations, direction)
