"""`microrun convert`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from microrun.cli import console
from microrun.cli.feature_numbers import parse_features
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.convert.convert_latents import LatentsFormat, convert_latents
from microrun.runtime.convert.convert_volume import VOLUME_FORMATS, VolumeFormat, convert_volume, name_files
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import HDF5_ENDINGS, check_file, check_files
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.sections.map_table import cut_maps
from microrun.runtime.sections.section_set import write_sections
from microrun.runtime.volumes.grain_volume import GrainVolume
from microrun.runtime.volumes.orientations import read_orientations
from microrun.runtime.volumes.volume import Volume, open_volume

WITH_VALUES = ("dream3d", "vti")
Source = Annotated[
    Path, typer.Argument(help="A latents file, finished or growing; labels of grains; or a table of maps.")
]


def convert(
    source: Source,
    to: Annotated[Literal[LatentsFormat, VolumeFormat, "sections"], typer.Option(help="The format to write.")],
    features: Annotated[
        str | None, typer.Option(help="Of latents: numbers of features, such as 3-7,12; by default all.")
    ] = None,
    values: Annotated[
        Path | None, typer.Option(help="Of grains: .npy or .h5 of values to write beside the labels.")
    ] = None,
    voxel_um: Annotated[
        float | None, typer.Option(help="Of grains: edge of a voxel in µm; by default what the file states, else 1.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Of grains: data set of a .h5 file; by default the only 3D one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to make; by default SOURCE with the format's ending.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write latents, or a volume of grains, in the format of other programs; or measured maps as sections.

    Latents: hspy: HyperSpy. ang: orix, MTEX. csv: MTEX, DREAM3D-NX, tables. ome-tiff: Fiji, napari. xdmf: ParaView.
    zarr: xarray. docs/convert.md shows how each is read.

    Grains, .npy or .h5 as microrun segment makes them: dream3d: DREAM3D-NX. vti: ParaView. With orientations, as
    microrun orient gives them: damask, abaqus, moose, neper. docs/orientations.md has an example.

    Maps, a .csv of file,power_w,speed_m_s that names .ang, .ctf or .png maps:
    sections: microrun sections, microrun train sections.
    """
    if to == "sections":
        given: dict[str, object] = {
            "--features": features,
            "--values": values,
            "--voxel-um": voxel_um,
            "--dataset": dataset,
        }
        _refuse("sections", to, given)
        _convert_maps(source, out or source.with_suffix(".h5"), overwrite)
        return
    if to in VOLUME_FORMATS:
        _refuse("grains", to, {"--features": features})
        if to not in WITH_VALUES:
            _refuse("grains without values", to, {"--values": values})
        made = name_files(source, to, out)
        check_files(made, overwrite, sources=(source,))
        _convert_grains(source, dataset, values, voxel_um, to, made[0])
    else:
        _refuse("latents", to, {"--values": values, "--voxel-um": voxel_um, "--dataset": dataset})
        made = _convert_latents(source, cast(LatentsFormat, to), out, features, overwrite)
    say_wrote(*made)


def _refuse(what: str, to: str, options: dict[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise MicrorunError(f"{name} has no meaning for --to {to}, which writes {what}; leave it out")


def _convert_grains(
    source: Path, dataset: str | None, values: Path | None, voxel_um: float | None, to: VolumeFormat, out: Path
) -> None:
    with ExitStack() as files, console.step("converting"):
        labels = files.enter_context(open_volume(source, dataset))
        beside = None if values is None else files.enter_context(open_volume(values))
        orientations = read_orientations(source, labels.name)
        edge_um = _choose_edge(source, labels, voxel_um)
        convert_volume(GrainVolume(labels, beside, edge_um, orientations=orientations), to, out)
    if orientations is not None and to != "vti":
        console.out.print(f"crystals {orientations.symmetry}, orientations: {orientations.texture}")


def _choose_edge(source: Path, labels: Volume, voxel_um: float | None) -> float:
    """Edge of a voxel in µm: what is asked for, else what the file states, else 1; what is taken is said."""
    stated = labels.voxel_um
    if voxel_um is None:
        said = "voxels of 1 µm: no size is stated" if stated is None else f"voxels of {stated:g} µm, as stated"
        console.out.print(f"{said} by {source}")
        return 1.0 if stated is None else stated
    if stated is not None and abs(stated - voxel_um) > 1e-6 * stated:
        console.warning_line(f"{source}: states voxels of {stated:g} µm; --voxel-um {voxel_um:g} is taken")
    return voxel_um


def _convert_maps(table: Path, out: Path, overwrite: bool) -> None:
    check_file(out, overwrite, endings=HDF5_ENDINGS, sources=(table,))
    with console.progress_bar("cutting maps", "maps") as bar:
        made = console.watch(cut_maps(table), bar)
    write_sections(out, made.sets)
    for note in made.notes:
        console.out.print(note)
    for one in made.sets:
        console.out.print(f"sections  {len(one):,} {one.plane} the tracks, {one.origin}; {one.details['cells']}")
    say_wrote(out)
    say_next("sections", out)


def _convert_latents(
    source: Path, to: LatentsFormat, out: Path | None, features: str | None, overwrite: bool
) -> list[Path]:
    numbers = None if features is None else parse_features(features)
    with open_latents(source) as opened:
        if not all(opened.origin.scan.step_um):
            console.warning_line(f"{source}: does not state its step; positions count in steps")
        with console.step("converting"):
            return convert_latents(opened, to, out, numbers, overwrite)
