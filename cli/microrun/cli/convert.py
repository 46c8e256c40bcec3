"""`microrun convert`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from microrun.cli import console
from microrun.cli.feature_numbers import parse_features
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.cli.region import RegionOption, asked_region
from microrun.cli.scan_name import ScanNameOption
from microrun.runtime.convert.convert_latents import LatentsFormat, convert_latents
from microrun.runtime.convert.convert_volume import VOLUME_FORMATS, VolumeFormat, convert_volume, name_files
from microrun.runtime.convert.to_up import write_up
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import HDF5_ENDINGS, check_file, check_files
from microrun.runtime.files.stems import stem_of
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.region import take_region
from microrun.runtime.scans.open import ScanFile, open_scan, take_part
from microrun.runtime.scans.part_source import PartSource
from microrun.runtime.scans.scan import parse_grid
from microrun.runtime.sections.map_table import cut_maps
from microrun.runtime.sections.section_set import write_sections
from microrun.runtime.volumes.grain_volume import GrainVolume
from microrun.runtime.volumes.orientations import read_orientations
from microrun.runtime.volumes.volume import Volume, open_volume

WITH_VALUES = ("dream3d", "vti")
PATTERNS = ("up1", "up2")
TAKEN = {  # what each kind of output has a use for
    "sections": (),
    "grains": ("--values", "--voxel-um", "--dataset"),
    "grains without values": ("--voxel-um", "--dataset"),
    "patterns": ("--region", "--grid", "--step", "--scan-name"),
    "latents": ("--features", "--region"),
}
Format = Literal[LatentsFormat, VolumeFormat, "sections", "up1", "up2"]
Source = Annotated[
    Path, typer.Argument(help="A latents file, finished or growing; labels of grains; a table of maps; or a scan.")
]


def convert(
    source: Source,
    to: Annotated[Format, typer.Option(help="The format to write.")],
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
    region: RegionOption = None,
    grid: Annotated[str | None, typer.Option(help="Of scans: ROWSxCOLS; by default as the file states.")] = None,
    step: Annotated[
        float | None, typer.Option(help="Of scans: step along rows in µm; by default as the file states.")
    ] = None,
    scan_name: ScanNameOption = None,
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

    Scans of any vendor: up2: 16 bits a pixel; up1: 8 bits. --region takes a part of a scan, or of latents.
    """
    kind = _kind_of(to)
    _refuse(kind, to, {"--features": features, "--values": values, "--voxel-um": voxel_um, "--dataset": dataset})
    _refuse(kind, to, {"--region": region, "--grid": grid, "--step": step, "--scan-name": scan_name})
    if kind == "sections":
        _convert_maps(source, out or source.with_suffix(".h5"), overwrite)
        return
    if kind == "patterns":
        made_file = out or _name_patterns(source, to, region)
        scan = take_part(open_scan(source, parse_grid(grid) if grid else None, step, scan_name), asked_region(region))
        _convert_patterns(scan, made_file, to, overwrite)
        return
    if kind == "latents":
        made = _convert_latents(source, cast(LatentsFormat, to), out, (features, region), overwrite)
    else:
        made = name_files(source, cast(VolumeFormat, to), out)
        check_files(made, overwrite, sources=(source,))
        _convert_grains(source, dataset, values, voxel_um, cast(VolumeFormat, to), made[0])
    say_wrote(*made)


def _kind_of(to: Format) -> str:
    if to in VOLUME_FORMATS:
        return "grains" if to in WITH_VALUES else "grains without values"
    return "sections" if to == "sections" else "patterns" if to in PATTERNS else "latents"


def _refuse(kind: str, to: str, options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value is not None and name not in TAKEN[kind]:
            raise MicrorunError(f"{name} has no meaning for --to {to}, which writes {kind}; leave it out")


def _name_patterns(source: Path, to: str, region: str | None) -> Path:
    if region is not None:  # named after the whole it would be taken for it
        raise MicrorunError(f"{source}: a part of a scan is a scan of its own; name it, such as --out part.{to}")
    return source.with_name(f"{stem_of(source)}.{to}")


def _convert_patterns(scan: ScanFile, out: Path, to: str, overwrite: bool) -> None:
    check_file(out, overwrite, endings=[f".{to}"], sources=(scan.path,))
    with console.progress_bar("converting", "patterns") as bar:
        count = console.watch(write_up(scan, out), bar)
    part = f", {scan.part}" if isinstance(scan, PartSource) else ""
    console.out.print(f"patterns {count:,} of {scan.scan.total:,}{part}")
    say_wrote(out)
    say_next("encode", out)


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
    source: Path, to: LatentsFormat, out: Path | None, chosen: tuple[str | None, str | None], overwrite: bool
) -> list[Path]:
    """Write the chosen features of a region, or all."""
    features, region = chosen
    numbers = None if features is None else parse_features(features)
    with open_latents(source) as opened:
        part = take_region(opened, asked_region(region))
        if not all(opened.origin.scan.step_um):
            console.warning_line(f"{source}: does not state its step; positions count in steps")
        with console.step("converting"):
            return convert_latents(part, to, out, numbers, overwrite)
