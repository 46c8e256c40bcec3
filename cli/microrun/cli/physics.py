"""`microrun physics`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from microrun.cli import console
from microrun.cli.maps import name_picture
from microrun.cli.outputs import CmapOption, OverwriteOption, say_next, say_wrote
from microrun.cli.pattern_centre import (
    STARTING,
    BackgroundOption,
    CentreOption,
    ElevationOption,
    GeometryRequest,
    PhaseOption,
    TiltOption,
    find_geometry,
)
from microrun.cli.region import RegionOption, asked_region
from microrun.cli.scan_name import ScanNameOption
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.files.output import written_together
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.region import match_source
from microrun.runtime.maps.conventional import PhysicsMaps, map_orientations, map_patterns
from microrun.runtime.maps.indexing import Geometry, Indexer
from microrun.runtime.maps.orientation_file import load_orientations
from microrun.runtime.maps.orientations import OrientedMap, point_group
from microrun.runtime.maps.store import write_physics
from microrun.runtime.maps.stored_features import StoredFeatures
from microrun.runtime.maps.structures import check_phase
from microrun.runtime.pictures.colour_maps import check_cmap
from microrun.runtime.pictures.crystal_directions import draw_poles
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.physics_maps import draw_physics
from microrun.runtime.scans.open import ScanFile, open_scan, take_part, whole_of
from microrun.runtime.scans.part_source import PartSource
from microrun.runtime.scans.scan import parse_grid
from microrun.runtime.spec import Preprocessing


def physics(
    scan: Annotated[Path, typer.Argument(help="A finished scan.")],
    orientations: Annotated[
        Path | None, typer.Option(help="An .ang or an orix .h5 file; by default the patterns are indexed here.")
    ] = None,
    index: Annotated[bool, typer.Option(help="Index the patterns, for maps of orientations.")] = True,
    latents: Annotated[Path | None, typer.Option(help="A latents file of the scan, drawn beside the maps.")] = None,
    background: BackgroundOption = "auto",
    pc: CentreOption = None,
    phase: PhaseOption = None,
    tilt: TiltOption = None,
    elevation: ElevationOption = None,
    grid: Annotated[str | None, typer.Option(help="ROWSxCOLS; by default as the file states.")] = None,
    scan_name: ScanNameOption = None,
    region: RegionOption = None,
    cmap: CmapOption = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for picture and data; by default that of the scan.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw conventional maps of a scan, to hold latent maps against (Fig. 5 of Calvat et al.).

    Image quality, sharpness and mean intensity of the patterns; and of orientations, from a file or indexed
    here, inverse pole figure colours, KAM and GROD. The maps are kept in SCAN.physics.h5.
    """
    colours = None if cmap is None else check_cmap(cmap)
    whole = open_scan(scan, parse_grid(grid) if grid else None, scan_name=scan_name)
    source = take_part(whole, asked_region(region))
    picture, poles = (name_picture(scan, folder, name) for name in ("physics", "poles"))
    paths = picture.with_suffix(".h5"), picture
    place = picture.parent
    check_folder(place, [path.name for path in (*paths, *([poles] if orientations or index else []))], overwrite)
    if phase:
        check_phase(phase)
    if orientations or not index:
        _refuse_geometry({"--pc": pc, "--tilt": tilt, "--elevation": elevation})
    if latents:
        with open_latents(latents) as opened:  # what cannot be drawn is refused before anything is indexed
            StoredFeatures(match_source(opened, source))
    known = _load_known(orientations, source, phase) if orientations else None
    request = GeometryRequest(pc, phase, tilt, elevation)
    geometry = find_geometry(whole, background, request) if index and not known else None
    part = f" · {source.part}" if isinstance(source, PartSource) else ""
    heading = f"{scan.name}{part} · {_say_orientations(orientations, geometry)}"
    written = list(paths)
    with made_folder(place), written_together(paths, overwrite) as (stored, drawn):
        maps = _map_scan(source, known, background, geometry)
        found = known or _found_here(maps, geometry)
        write_physics(stored, source.scan, maps, _describe(source, orientations, known, geometry))
        with console.step("drawing"), _open(latents, source) if latents else contextlib.nullcontext() as opened:
            save_figure(draw_physics(source.scan, maps, opened, found, heading, colours), drawn)
    if found is not None and found.valid.any():
        with written_together([poles], overwrite) as (made,):
            save_figure(draw_poles(found, heading), made)
        written.append(poles)
    say_wrote(*written)
    say_next("inspect", paths[0])


def _open(latents: Path, source: ScanFile) -> Latents:
    return match_source(open_latents(latents), source)


def _refuse_geometry(given: Mapping[str, object]) -> None:
    useless = ", ".join(name for name, value in given.items() if value is not None)
    if useless:
        raise MicrorunError(f"{useless}: no patterns are indexed here: geometry has no part in it; leave it out")


def _load_known(path: Path, source: ScanFile, phase: str | None) -> OrientedMap:
    known = load_orientations(path, whole_of(source).scan, phase)
    if isinstance(source, PartSource):
        take = source.part.take
        known = replace(known, rotations=take(known.rotations), phase=take(known.phase))
    groups = (f"phase {number} as {point_group(symmetry).name}" for number, symmetry in known.symmetries.items())
    count = np.count_nonzero(known.valid)
    share = count / source.scan.total
    console.out.print(f"indexed    {share:.1%} of the points of {path.name}: {', '.join(groups) or 'no phase'}")
    if not count:
        console.warning_line(f"{path}: none of its points is indexed; there are no orientations")
    return known


def _found_here(maps: PhysicsMaps, geometry: Geometry | None) -> OrientedMap | None:
    """Orientations as they were indexed here; None where none were asked for."""
    if geometry is None or maps.rotations is None or maps.grains is None:
        return None
    return OrientedMap(maps.rotations, np.where(maps.grains >= 0, 0, -1), {0: geometry.phase})


def _say_orientations(path: Path | None, geometry: Geometry | None) -> str:
    if path:
        return f"orientations of {path.name}"
    if geometry is None:
        return "not indexed"
    centre = ", ".join(f"{value:.3f}" for value in geometry.pattern_centre)
    return f"indexed as {geometry.phase}, pattern centre {centre}"


def _describe(
    source: ScanFile, path: Path | None, known: OrientedMap | None, geometry: Geometry | None
) -> dict[str, object]:
    """What the maps were made with."""
    about: dict[str, object] = {"part": asdict(source.part)} if isinstance(source, PartSource) else {}
    if path and known:
        symmetries = {str(number): symmetry for number, symmetry in known.symmetries.items()}
        return about | {"orientations": {"file": path.name, "symmetries": symmetries}}
    return about | ({"geometry": geometry.to_dict()} if geometry else {})


def _map_scan(source: ScanFile, known: OrientedMap | None, background: str, geometry: Geometry | None) -> PhysicsMaps:
    """Maps of the patterns; and of orientations that are known, or else that are indexed here where asked."""
    indexer = Indexer(geometry, source.scan.sig_shape, Preprocessing().input_shape) if geometry else None
    with console.progress_bar("indexing" if indexer else "reading") as bar:
        bar(0, source.available, STARTING if indexer else "averaging the background")
        maps = console.watch(map_patterns(source, background, indexer), bar)
    if known:
        return map_orientations(maps, known, source.scan)
    if geometry and maps.grains is not None:
        indexed = np.count_nonzero(maps.grains >= 0)
        console.out.print(f"indexed    {indexed / source.scan.total:.1%} of the patterns")
        if not indexed:
            console.warning_line(f"nothing can be indexed as {geometry.phase}; check --phase, --pc and --tilt")
    return maps
