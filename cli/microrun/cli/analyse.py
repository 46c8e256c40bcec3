"""`microrun analyse`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from microrun.cli import console
from microrun.cli.maps import name_picture
from microrun.cli.outputs import CmapOption, OverwriteOption, RecolourOption, say_next, say_wrote
from microrun.cli.region import RegionOption, asked_region
from microrun.runtime.errors import LatentsError
from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.files.output import written_together
from microrun.runtime.files.quoting import quoted
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.region import LatentsRegion, take_region
from microrun.runtime.latents.stored_maps import store_maps
from microrun.runtime.maps.analysis import Analysis, AnalysisRequest, analyse_latents
from microrun.runtime.pictures.analysis_maps import draw_analysis
from microrun.runtime.pictures.colour_maps import check_cmap
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.panels import UNSIGNED

GROUP = "analysis"
Setting = float | int | str | list[int]
BEST = 8


def analyse(
    latents: Annotated[Path, typer.Argument(help="A finished latents file.")],
    pick: Annotated[str | None, typer.Option(help="ROW,COL of a point to measure latent distances from.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Latent distance between segments; by default found in the map, or in 4 million pairs of it."
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            help="Number of clusters, learnt from about 20,000 points; by default that with the best silhouettes."
        ),
    ] = None,
    region: RegionOption = None,
    cmap: CmapOption = None,
    recolour: RecolourOption = False,
    folder: Annotated[Path | None, typer.Option(help="Folder for the picture; by default that of the latents.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Find what latents show: ranked features, spread between neighbours, segments, clusters.

    The maps are stored in the latents file, in its group "analysis" and in place of earlier ones, and drawn as PNG.

    Components have the colours of microrun maps, the same for all scans where the model states axes of the colours.

    With --region only that part is analysed, and the maps hold nothing elsewhere. Its rows and columns are those of
    the scan, also where the latents are of a part of it.
    """
    picked, picture = _parse_point(pick) if pick else None, name_picture(latents, folder, "analysis")
    colours = UNSIGNED if cmap is None else check_cmap(cmap)
    with open_latents(latents):  # what is no latents file is refused first
        check_folder(picture.parent, [picture.name], overwrite)
    with made_folder(picture.parent), written_together([picture], overwrite) as (drawn,):
        with console.step("analysing"), open_latents(latents) as opened:
            part = take_region(opened, asked_region(region))
            request = AnalysisRequest(threshold, clusters, picked and _within(part, picked), recolour)
            found = analyse_latents(part, request)
            save_figure(draw_analysis(part, found, request, colours), drawn)
        check_folder(picture.parent, [picture.name], overwrite)  # both are made, or neither
        store_maps(latents, GROUP, _stored_maps(found, part), _settings(found, part, picked))
    _say(found, latents, clusters)
    say_wrote(picture)
    order = np.argsort(found.structure, kind="stable")[:BEST]
    say_next("maps", latents, "--features", ",".join(map(str, order)))


def _settings(found: Analysis, part: Latents, picked: tuple[int, int] | None) -> dict[str, Setting]:
    """What the maps were made with."""
    settings: dict[str, Setting] = {"threshold": found.threshold, "clusters": int(found.clusters.max()) + 1}
    settings["colour_axes"] = "model" if found.colours.stated else "scan"
    settings |= {"pick": list(picked)} if picked else {}
    return settings | ({"region": str(part.origin.part)} if isinstance(part, LatentsRegion) else {})


def _say(found: Analysis, latents: Path, clusters: int | None) -> None:
    order = np.argsort(found.structure, kind="stable")[:BEST]
    best = ", ".join(f"{number} ({found.structure[number]:.2f})" for number in order)
    console.out.print(f"features   {best} (Geary's C: 0 structure, 1 noise)")
    segments = np.bincount(found.segments[found.segments >= 0])
    more = (segments > 1).sum()
    console.out.print(
        f"segments   {len(segments):,} closer than {found.threshold:.3g}, {more:,} of more than one point; "
        f"{found.speckles:,} of one or two points at boundaries went to their neighbours"
    )
    console.out.print(
        f"clusters   {int(found.clusters.max()) + 1}{'' if clusters else ', the best silhouettes of 2 to 20'}"
    )
    console.out.print(f"stored in  {quoted(latents)}, group {GROUP}")


def _stored_maps(found: Analysis, latents: Latents) -> dict[str, NDArray[Any]]:
    """What is stored, on the map of the whole file."""
    colours = [np.rint(255 * np.nan_to_num(row, nan=1.0)).astype(np.uint8) for row in found.colours.image]
    maps: dict[str, tuple[NDArray[Any], float]] = {  # and what stands for nothing
        "principal_colours": (np.stack(colours), 255),
        "latent_spread": (found.spread.astype(np.float32), np.nan),
        "segments": (found.segments.astype(np.int32), -1),
        "clusters": (found.clusters.astype(np.int32), -1),
    }
    if found.distance is not None:
        maps["latent_distance"] = found.distance.astype(np.float32), np.nan
    spread = latents.spread if isinstance(latents, LatentsRegion) else lambda image, _: image
    order = {"structure": found.structure, "feature_order": np.argsort(found.structure, kind="stable")}
    return order | {name: spread(*image) for name, image in maps.items()}


def _within(latents: Latents, point: tuple[int, int]) -> tuple[int, int]:
    """A point of the file's map, in the region of it that is analysed."""
    if not isinstance(latents, LatentsRegion):
        return point
    (top, below), (left, right) = latents.window.rows, latents.window.cols
    if not (top <= point[0] < below and left <= point[1] < right):
        raise LatentsError(f"{latents.path}: the point {point[0]},{point[1]} is not in the region that is analysed")
    return point[0] - top, point[1] - left


def _parse_point(text: str) -> tuple[int, int]:
    try:
        row, col = (int(part) for part in text.split(","))
    except ValueError:
        raise LatentsError(f"a point is written ROW,COL, counted from 0, such as 12,40; got {text!r}") from None
    return row, col
