"""Maps of an analysis of latents as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microrun.runtime.maps.analysis import Analysis, AnalysisRequest
from microrun.runtime.pictures.panels import draw_image, draw_labels, draw_values, make_panels, mark_point
from microrun.runtime.scans.scan import Scan

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_analysis(scan: Scan, found: Analysis, request: AnalysisRequest) -> Figure:
    """Draw all maps of an analysis.

    Parameters
    ----------
    scan
        Geometry.
    found
        From `analyse_latents`.
    request
        What it was asked for.
    """
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
