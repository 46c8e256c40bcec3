"""Conventional maps as one picture, latent maps beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.latents.reader import Latents
from microrun.runtime.maps.conventional import PhysicsMaps
from microrun.runtime.maps.features import colour_components, rank_features
from microrun.runtime.maps.orientations import (
    GRAIN_DEG,
    KAM_LIMIT_DEG,
    OrientedMap,
    SampleDirection,
    colour_orientations,
)
from microrun.runtime.maps.stored_features import StoredFeatures
from microrun.runtime.pictures.crystal_directions import (
    HIGH_DEG,
    LOW_DEG,
    draw_boundaries,
    draw_colour_key,
    name_symmetry,
    symmetries_of,
)
from microrun.runtime.pictures.latent_maps import draw_feature, title_components
from microrun.runtime.pictures.panels import (
    SIGNED,
    UNSIGNED,
    count_missing,
    draw_image,
    draw_labels,
    draw_values,
    make_panels,
)
from microrun.runtime.scans.scan import Scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LATENT_FEATURES = 3
TELLING = 6  # digits of an angle in degrees; what is below comes of the arithmetic
DIRECTIONS: tuple[tuple[SampleDirection, str], ...] = (("x", "X"), ("y", "Y"), ("z", "Z, the normal"))
OF_PATTERNS = {
    "image_quality": ("image quality (Fourier)", ""),
    "sharpness": ("sharpness", ""),
    "mean_intensity": ("mean intensity", "counts"),
}
OF_ORIENTATIONS = {
    "kam_deg": (f"KAM, nearest neighbours below {KAM_LIMIT_DEG:g}°", "degrees"),
    "grod_deg": ("GROD, from the grain's mean", "degrees"),
}
MEANING = (
    "Image quality: how far a pattern's Fourier spectrum leans to low frequencies; noise lowers it. Sharpness: the "
    "share of strong Fourier coefficients; sharp bands raise it, and so does noise. Compare both within a scan only."
)
FRAME = (
    "Inverse pole figures say which crystal direction lies along X, Y or Z (the normal) of the sample, in the frame of "
    f"the orientations. Boundaries: black from {HIGH_DEG:g}°, red from {LOW_DEG:g}°; grains end at {GRAIN_DEG:g}°."
)


def draw_physics(
    scan: Scan,
    maps: PhysicsMaps,
    latents: Latents | None = None,
    found: OrientedMap | None = None,
    heading: str = "",
    cmap: str | None = None,
) -> Figure:
    """Draw all conventional maps that there are.

    Parameters
    ----------
    scan
        Geometry.
    maps
        From `map_patterns` or `map_orientations`.
    latents
        Those of the same scan, whose colours and most structured features are drawn beside; None for none.
    found
        The orientations that the maps follow from; None where there are none.
    heading
        What is shown, above all.
    cmap
        matplotlib's name of the colours of all numbers; None for those that suit each map.

    Raises
    ------
    LatentsError
        If there are no latents yet.
    """
    keys = symmetries_of(found)
    count = len(OF_PATTERNS) + (1 + LATENT_FEATURES) * (latents is not None)
    if keys:
        count += len(DIRECTIONS) + len(keys) + 1 + len(OF_ORIENTATIONS)
    notes = [FRAME] * bool(keys) + [MEANING, count_missing(maps.image_quality, scan)]
    if keys and found is not None and (without := scan.total - np.count_nonzero(found.valid)):
        notes.append(f"{without:,} of {scan.total:,} points are not indexed (hatched where orientations are shown)")
    figure, axes = make_panels(scan, count, heading=heading, notes=list(filter(None, notes)))
    panels = iter(axes)
    if found is not None and keys:
        _draw_directions(figure, panels, scan, found)
    for name, (title, unit) in OF_PATTERNS.items():
        axis = next(panels)
        draw_values(figure, axis, scan, getattr(maps, name), title, cmap or "gray", unit)
        if found is not None and keys and name == "image_quality":
            draw_boundaries(axis, scan, found)
    if keys and maps.grains is not None:
        draw_labels(next(panels), scan, maps.grains, f"grains, {GRAIN_DEG:g}°: {int(maps.grains.max()) + 1:,}")
        for name, (title, unit) in OF_ORIENTATIONS.items():
            values = _or_nothing(getattr(maps, name), scan)
            draw_values(figure, next(panels), scan, values, title, cmap or UNSIGNED, unit)
    if latents is not None:
        _draw_latents(figure, panels, latents, cmap or SIGNED)
    return figure


def _draw_directions(figure: Figure, panels: Iterator[Axes], scan: Scan, found: OrientedMap) -> None:
    for direction, said in DIRECTIONS:
        image = np.full((*scan.nav_shape, 3), np.nan)
        for number, symmetry in found.symmetries.items():
            inside = found.phase == number
            image[inside] = colour_orientations(found.rotations, inside, symmetry, direction)[inside]
        draw_image(next(panels), scan, image, f"inverse pole figure, {said}")
    for number, symmetry in symmetries_of(found).items():
        share = np.count_nonzero(found.phase == number) / scan.total
        said = f"colour key, {name_symmetry(symmetry)}: {share:.1%} of the points"
        draw_colour_key(figure, next(panels), symmetry, said)


def _draw_latents(figure: Figure, panels: Iterator[Axes], latents: Latents, cmap: str) -> None:
    scan, features = latents.origin.scan, StoredFeatures(latents)
    found = colour_components(latents, features)
    draw_image(next(panels), scan, found.image, title_components(latents, found))
    best = rank_features(features, scan)[:LATENT_FEATURES].tolist()
    for rank, (number, image) in enumerate(zip(best, features.maps(best), strict=True), 1):
        draw_feature(figure, next(panels), latents, image, f"latent feature {number}, rank {rank}", cmap)


def _or_nothing(image: Float64 | None, scan: Scan) -> Float64:
    return np.full(scan.nav_shape, np.nan) if image is None else np.round(image, TELLING)
