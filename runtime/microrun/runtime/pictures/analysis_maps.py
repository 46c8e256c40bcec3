"""Maps of an analysis of latents as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from microrun.runtime.latents.reader import Latents
from microrun.runtime.latents.region import LatentsRegion
from microrun.runtime.maps.analysis import Analysis, AnalysisRequest
from microrun.runtime.pictures.latent_maps import describe, title_components
from microrun.runtime.pictures.panels import (
    UNSIGNED,
    count_missing,
    draw_image,
    draw_labels,
    draw_values,
    make_panels,
    mark_point,
    thin,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLUSTER_COLOURS = "tab20"  # of twenty; segments have random ones
DISTANCE = "latent distance"
WITHOUT_PLACE = "Clusters group latents wherever they lie; segments are regions whose neighbours are close."


def draw_analysis(latents: Latents, found: Analysis, request: AnalysisRequest, cmap: str = UNSIGNED) -> Figure:
    """Draw all maps of an analysis.

    Parameters
    ----------
    latents
        What was analysed.
    found
        From `analyse_latents`.
    request
        What it was asked for.
    cmap
        matplotlib's name of the colours of distances.
    """
    scan = latents.origin.scan
    notes = [WITHOUT_PLACE, count_missing(found.colours.image, scan)]
    count = 5 + (found.distance is not None)
    figure, axes = make_panels(scan, count, heading=describe(latents), notes=list(filter(None, notes)))
    draw_image(axes[0], scan, found.colours.image, title_components(latents, found.colours))
    draw_values(figure, axes[1], scan, found.spread, "latent spread: distance to the neighbours", cmap, DISTANCE)
    segments = int(found.segments.max()) + 1
    draw_labels(axes[2], scan, found.segments, f"{segments:,} segments, latent distance below {found.threshold:.3g}")
    _draw_clusters(axes[3], axes[4], latents, found)
    if found.distance is not None and request.pick:
        row, col = _on_the_file(latents, request.pick)
        draw_values(figure, axes[5], scan, found.distance, f"distance to row {row}, col {col}", cmap, DISTANCE)
        mark_point(axes[5], scan, request.pick)
    return figure


def _on_the_file(latents: Latents, point: tuple[int, int]) -> tuple[int, int]:
    """A point as the user counts it, in the map of the file, where a region of it is drawn."""
    first = (latents.window.rows[0], latents.window.cols[0]) if isinstance(latents, LatentsRegion) else (0, 0)
    return first[0] + point[0], first[1] + point[1]


def _draw_clusters(axis: Axes, legend: Axes, latents: Latents, found: Analysis) -> None:
    """The map, and its legend in the place of a panel."""
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    scan, clusters = latents.origin.scan, found.clusters
    counts = np.bincount(clusters[clusters >= 0])
    table = np.array(colormaps[CLUSTER_COLOURS].colors)  # type: ignore[attr-defined]
    colours = table[np.arange(len(counts)) % len(table)]
    drawn = thin(clusters)
    image = np.where((drawn >= 0)[..., None], colours[np.maximum(drawn, 0)], np.nan)
    draw_image(axis, scan, image, f"{len(counts)} clusters of latents")
    shares = counts / counts.sum()
    patches = [
        Patch(color=tuple(colour), label=f"cluster {number}: {share:.1%}")
        for number, (colour, share) in enumerate(zip(colours, shares, strict=True))
    ]
    legend.legend(handles=patches, loc="upper left", fontsize=8, frameon=False, ncols=1 + (len(patches) > 9))
