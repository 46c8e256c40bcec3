"""`microrun analyse`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from microrun.cli import console
from microrun.cli.maps import name_picture
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.stored_maps import store_maps
from microrun.runtime.maps.analysis import Analysis, AnalysisRequest, analyse_latents
from microrun.runtime.pictures.panels import draw_image, draw_labels, draw_values, make_panels, mark_point, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUP = "analysis"
BEST = 8


def analyse(
    latents: Annotated[Path, typer.Argument(help="A finished latents file.")],
    pick: Annotated[str | None, typer.Option(help="ROW,COL of a point to measure latent distances from.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Latent distance between segments; by default found in the map.")
    ] = None,
    clusters: Annotated[int, typer.Option(help="Number of clusters.")] = 8,
    out: Annotated[Path | None, typer.Option(help="Folder for the picture; by default that of the latents.")] = None,
) -> None:
    """Find what latents show: ranked features, spread between neighbours, segments, clusters.

    The maps are stored in the latents file, in its group "analysis", and drawn as PNG.
    """
    request = AnalysisRequest(threshold, clusters, _point(pick) if pick else None)
    with open_latents(latents) as opened:
        found = analyse_latents(opened, request)
        figure = draw_analysis(opened, found, request)
    picture = name_picture(latents, out, "analysis")
    store_maps(latents, GROUP, _maps(found), _settings(found, request))
    save_figure(figure, picture)
    order = np.argsort(found.structure, kind="stable")[:BEST]
    best = ", ".join(f"{number} ({found.structure[number]:.2f})" for number in order)
    console.out.print(f"features   {best} (Geary's C: 0 structure, 1 noise)")
    segments = np.bincount(found.segments[found.segments >= 0])
    more = (segments > 1).sum()
    console.out.print(
        f"segments   {len(segments):,} closer than {found.threshold:.3g}, {more:,} of more than one point"
    )
    console.out.print(f"stored in  {latents}, group {GROUP}")
    console.out.print(f"wrote      {picture}")


def draw_analysis(latents: Latents, found: Analysis, request: AnalysisRequest) -> Figure:
    """Draw all maps of an analysis."""
    scan = latents.origin.scan
    figure, axes = make_panels(scan, 4 + (found.distance is not None))
    draw_image(axes[0], scan, found.colours, "principal components as colours")
    draw_values(figure, axes[1], scan, found.spread, "kernel latent spread")
    draw_labels(axes[2], scan, found.segments, f"segments, latent distance < {found.threshold:.3g}")
    draw_labels(axes[3], scan, found.clusters, f"{request.clusters} clusters of latents")
    if found.distance is not None and request.pick:
        draw_values(
            figure, axes[4], scan, found.distance, f"latent distance to row {request.pick[0]}, col {request.pick[1]}"
        )
        mark_point(axes[4], scan, request.pick)
    return figure


def _maps(found: Analysis) -> dict[str, NDArray[Any]]:
    maps: dict[str, NDArray[Any]] = {
        "structure": found.structure,
        "feature_order": np.argsort(found.structure, kind="stable"),
        "principal_colours": np.rint(found.colours * 255).astype(np.uint8),
        "latent_spread": found.spread.astype(np.float32),
        "segments": found.segments.astype(np.int32),
        "clusters": found.clusters.astype(np.int32),
    }
    if found.distance is not None:
        maps["latent_distance"] = found.distance.astype(np.float32)
    return maps


def _settings(found: Analysis, request: AnalysisRequest) -> dict[str, float | int | str | list[int]]:
    settings: dict[str, float | int | str | list[int]] = {
        "threshold": found.threshold,
        "clusters": request.clusters,
    }
    if request.pick:
        settings["pick"] = list(request.pick)
    return settings


def _point(text: str) -> tuple[int, int]:
    try:
        row, col = (int(part) for part in text.split(","))
    except ValueError:
        raise LatentsError(f"a point is written ROW,COL, counted from 0, such as 12,40; got {text!r}") from None
    return row, col
