"""`microrun physics`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from microrun.cli import console
from microrun.cli.maps import name_picture
from microrun.cli.pattern_centre import (
    BackgroundOption,
    CentreOption,
    GeometryRequest,
    PhaseOption,
    TiltOption,
    find_geometry,
)
from microrun.runtime.array_types import Float64
from microrun.runtime.errors import LatentsError, OutputError
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.maps.conventional import PhysicsMaps, index_map, map_orientations, map_patterns
from microrun.runtime.maps.features import load_features, principal_colours, rank_features
from microrun.runtime.maps.indexing import check_phase
from microrun.runtime.maps.orientation_file import load_orientations
from microrun.runtime.maps.store import write_physics
from microrun.runtime.pictures.panels import draw_image, draw_labels, draw_values, make_panels, save_figure
from microrun.runtime.scans.open import ScanFile, open_scan
from microrun.runtime.scans.scan import parse_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LATENT_FEATURES = 3
PATTERN_MAPS = ("image_quality", "sharpness", "mean_intensity")
TITLES = {
    "image_quality": "image quality (Fourier)",
    "sharpness": "sharpness",
    "mean_intensity": "mean intensity",
    "kam_deg": "KAM, °",
    "grod_deg": "GROD, °",
}


def physics(
    scan: Annotated[Path, typer.Argument(help="A finished scan.")],
    orientations: Annotated[
        Path | None, typer.Option(help="An .ang or an orix .h5 file; without it the patterns are indexed here.")
    ] = None,
    index: Annotated[bool, typer.Option(help="Index the patterns, for maps of orientations.")] = True,
    latents: Annotated[Path | None, typer.Option(help="A latents file of the scan, drawn beside.")] = None,
    background: BackgroundOption = "auto",
    pc: CentreOption = None,
    phase: PhaseOption = "fcc",
    tilt: TiltOption = 70.0,
    grid: Annotated[str | None, typer.Option(help="ROWSxCOLS, where the file does not tell.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of picture and data; by default that of the scan.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run made.")] = False,
) -> None:
    """Draw conventional maps of a scan, to hold latent maps against (Fig. 5 of Calvat et al.).

    Image quality, sharpness and mean intensity of the patterns; and of orientations, from a file or indexed
    here, inverse pole figure colours, KAM and GROD. The maps are kept in SCAN.physics.h5.
    """
    source = open_scan(scan, parse_grid(grid) if grid else None)
    picture = name_picture(scan, out, "physics")
    store = picture.with_suffix(".h5")
    if store.exists() and not overwrite:
        raise OutputError(f"{store}: exists; replace it with --overwrite, or choose another --out")
    check_phase(phase)
    if latents:
        _check_shape(latents, source)
    found = None
    if orientations or index:
        found = _find_orientations(source, orientations, background, GeometryRequest(pc, phase, tilt))
    with console.progress_bar("reading") as bar:
        maps = map_patterns(source, background, bar)
    if found:
        maps = map_orientations(maps, *found, source.scan, phase)
    if latents is None:
        figure = _draw(source, maps, None)
    else:
        with open_latents(latents) as opened:
            figure = _draw(source, maps, opened)
    write_physics(store, source.scan, maps)
    save_figure(figure, picture)
    console.out.print(f"wrote {picture}\nwrote {store}")


def _check_shape(latents: Path, source: ScanFile) -> None:
    with open_latents(latents) as opened:
        found, wanted = opened.origin.scan.nav_shape, source.scan.nav_shape
    if found != wanted:
        raise LatentsError(
            f"{latents}: is of a map of {found[0]}×{found[1]}; {source.path} has {wanted[0]}×{wanted[1]}"
        )


def _find_orientations(
    source: ScanFile, file: Path | None, background: str, request: GeometryRequest
) -> tuple[Float64, NDArray[np.bool_]]:
    if file:
        return load_orientations(file, source.scan)
    geometry = find_geometry(source, background, request)
    with console.progress_bar("indexing") as bar:
        rotations, valid = index_map(source, background, geometry, bar)
    console.out.print(f"indexed    {valid.sum() / source.scan.total:.1%} of the patterns")
    if not valid.any():
        console.warning_line(f"nothing can be indexed as {geometry.phase}; check --phase, --pc and --tilt")
    return rotations, valid


def _draw(source: ScanFile, maps: PhysicsMaps, latents: Latents | None) -> Figure:
    scan = source.scan
    values = {name: getattr(maps, name) for name in TITLES}
    known = {name: image for name, image in values.items() if image is not None}
    oriented = maps.colours is not None and maps.grains is not None
    figure, axes = make_panels(scan, len(known) + 2 * oriented + (1 + LATENT_FEATURES) * (latents is not None))
    panels = iter(axes)
    if maps.colours is not None and maps.grains is not None:
        draw_image(next(panels), scan, maps.colours, "inverse pole figure, normal direction")
        draw_labels(next(panels), scan, maps.grains, "grains, 5°")
    for name, image in known.items():
        draw_values(figure, next(panels), scan, image, TITLES[name], "gray" if name in PATTERN_MAPS else "viridis")
    if latents is not None:
        features = load_features(latents)
        draw_image(next(panels), scan, principal_colours(features), "latents: principal components")
        for number in rank_features(features, scan)[:LATENT_FEATURES]:
            draw_values(figure, next(panels), scan, features[..., number], f"latent feature {number}")
    return figure
