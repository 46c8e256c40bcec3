"""`microrun analyse`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from microrun.cli import console
from microrun.cli.maps import name_picture
from microrun.cli.outputs import OverwriteOption, quoted, say_next, say_wrote
from microrun.runtime.errors import LatentsError
from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.stored_maps import store_maps
from microrun.runtime.maps.analysis import Analysis, AnalysisRequest, analyse_latents
from microrun.runtime.pictures.analysis_maps import draw_analysis
from microrun.runtime.pictures.figure_file import save_figure

GROUP = "analysis"
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
    folder: Annotated[Path | None, typer.Option(help="Folder for the picture; by default that of the latents.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Find what latents show: ranked features, spread between neighbours, segments, clusters.

    The maps are stored in the latents file, in its group "analysis" and in place of earlier ones, and drawn as PNG.
    """
    request = AnalysisRequest(threshold, clusters, _parse_point(pick) if pick else None)
    picture = name_picture(latents, folder, "analysis")
    with console.step("analysing"), open_latents(latents) as opened:
        check_folder(picture.parent, [picture.name], overwrite)
        found = analyse_latents(opened, request)
        figure = draw_analysis(opened, found, request)
    with made_folder(picture.parent):
        store_maps(latents, GROUP, _stored_maps(found), _stored_settings(found, request))
        save_figure(figure, picture)
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
    say_wrote(picture)
    say_next("maps", latents, "--features", ",".join(map(str, order)))


def _stored_maps(found: Analysis) -> dict[str, NDArray[Any]]:
    maps: dict[str, NDArray[Any]] = {
        "structure": found.structure,
        "feature_order": np.argsort(found.structure, kind="stable"),
        "principal_colours": np.stack(
            [np.rint(255 * np.nan_to_num(row, nan=1.0)).astype(np.uint8) for row in found.colours]
        ),
        "latent_spread": found.spread.astype(np.float32),
        "segments": found.segments.astype(np.int32),
        "clusters": found.clusters.astype(np.int32),
    }
    if found.distance is not None:
        maps["latent_distance"] = found.distance.astype(np.float32)
    return maps


def _stored_settings(found: Analysis, request: AnalysisRequest) -> dict[str, float | int | str | list[int]]:
    settings: dict[str, float | int | str | list[int]] = {
        "threshold": found.threshold,
        "clusters": int(found.clusters.max()) + 1,
    }
    if request.pick:
        settings["pick"] = list(request.pick)
    return settings


def _parse_point(text: str) -> tuple[int, int]:
    try:
        row, col = (int(part) for part in text.split(","))
    except ValueError:
        raise LatentsError(f"a point is written ROW,COL, counted from 0, such as 12,40; got {text!r}") from None
    return row, col
