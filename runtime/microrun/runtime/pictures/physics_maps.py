"""Conventional maps as one picture, latent maps beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microrun.runtime.latents.reader import Latents
from microrun.runtime.maps.conventional import PhysicsMaps
from microrun.runtime.maps.features import principal_colours, rank_features
from microrun.runtime.maps.stored_features import StoredFeatures
from microrun.runtime.pictures.panels import draw_image, draw_labels, draw_values, make_panels
from microrun.runtime.scans.scan import Scan

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


def draw_physics(scan: Scan, maps: PhysicsMaps, latents: Latents | None = None) -> Figure:
    """Draw all conventional maps that there are.

    Parameters
    ----------
    scan
        Geometry.
    maps
        From `map_patterns` or `map_orientations`.
    latents
        Those of the same scan, whose colours and most structured features are drawn beside; None for none.

    Raises
    ------
    LatentsError
        If there are no latents yet.
    """
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
        features = StoredFeatures(latents)
        draw_image(next(panels), scan, principal_colours(features), "latents: principal components")
        best = rank_features(features, scan)[:LATENT_FEATURES].tolist()
        for number, image in zip(best, features.maps(best), strict=True):
            draw_values(figure, next(panels), scan, image, f"latent feature {number}")
    return figure
