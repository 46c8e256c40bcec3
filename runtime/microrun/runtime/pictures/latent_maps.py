"""Latent maps as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.latents.feature_numbers import check_features
from microrun.runtime.latents.reader import Latents
from microrun.runtime.maps.features import (
    OVERVIEW_FEATURES,
    ComponentColours,
    colour_components,
    measure_structure,
)
from microrun.runtime.maps.stored_features import StoredFeatures
from microrun.runtime.pictures.colour_maps import is_diverging
from microrun.runtime.pictures.panels import (
    PANEL_INCHES,
    SIGNED,
    count_missing,
    draw_image,
    draw_values,
    find_limits,
    make_panels,
    show,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = "Above each map: the number of the feature, and its C."
RANKED = "Features stand in the order of Geary's C, which is 0 for a map of smooth regions and 1 for noise."
STRETCHED = "Colours reach from the 1st to the 99th percentile of a map{centred}."
CENTRED = ", with 0 in the middle where it has both signs"


def draw_features(latents: Latents, numbers: Sequence[int], cmap: str = SIGNED) -> Figure:
    """Draw chosen features, each with its colour bar.

    Parameters
    ----------
    latents
        Finished or growing.
    numbers
        Those of the features, from 0.
    cmap
        matplotlib's name of the colours of features; diverging ones have 0 in their middle.

    Raises
    ------
    LatentsError
        If a number is not 0 to D − 1, or nothing has been written yet.

    Examples
    --------
    >>> from microrun.runtime import draw_features, open_latents, save_figure
    >>> with open_latents("scan.latents.h5") as latents:
    ...     save_figure(draw_features(latents, [3, 17]), "maps.png")
    """
    check_features(latents, numbers)
    features = StoredFeatures(latents)
    return _draw_ranked(latents, features, numbers, cmap)


def draw_overview(latents: Latents, cmap: str = SIGNED, *, recolour: bool = False) -> Figure:
    """Draw the principal components as colours, beside the features with the most spatial structure.

    Parameters
    ----------
    latents
        Finished or growing.
    cmap
        matplotlib's name of the colours of features; diverging ones have 0 in their middle.
    recolour
        As of `draw_principal_colours`.

    Raises
    ------
    LatentsError
        If nothing has been written yet.

    Examples
    --------
    >>> from microrun.runtime import draw_overview, open_latents, save_figure
    >>> with open_latents("scan.latents.h5") as latents:
    ...     save_figure(draw_overview(latents), "maps.png")
    """
    features = StoredFeatures(latents)
    best = np.argsort(measure_structure(features, latents.origin.scan), kind="stable")[:OVERVIEW_FEATURES].tolist()
    return _draw_ranked(latents, features, best, cmap, colour_components(latents, features, recolour))


def draw_principal_colours(latents: Latents, *, recolour: bool = False) -> Figure:
    """Draw the first three principal components as red, green and blue.

    Parameters
    ----------
    latents
        Finished or growing.
    recolour
        True for axes and limits of this scan; False for those of all that the model knows, so that scans can be
        compared, where it states them.

    Raises
    ------
    LatentsError
        If nothing has been written yet.

    Examples
    --------
    >>> from microrun.runtime import draw_principal_colours, open_latents, save_figure
    >>> with open_latents("scan.latents.h5") as latents:
    ...     save_figure(draw_principal_colours(latents), "maps.png")
    """
    scan, features = latents.origin.scan, StoredFeatures(latents)
    found = colour_components(latents, features, recolour)
    missing = count_missing(found.image, scan)
    figure, axes = make_panels(scan, 1, 2 * PANEL_INCHES, describe(latents), [missing] if missing else [])
    draw_image(axes[0], scan, found.image, title_components(latents, found))
    return figure


def draw_montage(latents: Latents, cmap: str = SIGNED) -> Figure:
    """Draw all features, small, the most structured first.

    Parameters
    ----------
    latents
        Finished or growing.
    cmap
        matplotlib's name of the colours of features; diverging ones have 0 in their middle.

    Raises
    ------
    LatentsError
        If nothing has been written yet.

    Examples
    --------
    >>> from microrun.runtime import draw_montage, open_latents, save_figure
    >>> with open_latents("scan.latents.h5") as latents:
    ...     save_figure(draw_montage(latents), "maps.png")
    """
    scan, features = latents.origin.scan, StoredFeatures(latents)
    structure = measure_structure(features, scan)
    order = np.argsort(structure, kind="stable").tolist()
    notes = [NUMBERED, RANKED, _stretched(cmap)]
    figure, axes = make_panels(scan, len(order), PANEL_INCHES / 2, describe(latents), notes)
    for axis, number, image in zip(axes, order, features.maps(order), strict=True):
        low, high = find_limits(image, signed=is_diverging(cmap))
        show(axis, scan, image, cmap=cmap, vmin=low, vmax=high)
        axis.set_title(f"{number} · {_score(structure[number])}", fontsize=7, pad=2)
    return figure


def describe(latents: Latents) -> str:
    """What latents are of and made with, for the head of a picture."""
    origin = latents.origin
    name = latents.path.name.removesuffix(".h5").removesuffix(".latents")
    return f"{name} · {origin.spec.name} · D = {latents.shape[2]}{' · still growing' if latents.growing else ''}"


def title_components(latents: Latents, found: ComponentColours) -> str:
    """Say whose components are colours, and what they explain.

    Parameters
    ----------
    latents
        Those that are drawn.
    found
        From `colour_components`.
    """
    shares = " + ".join(f"{100 * share:.0f}" for share in found.shares)
    whose = f" of what {latents.origin.spec.name} knows" if found.stated else ""
    return f"components 1–3{whose} as red, green, blue: {shares} % of variance"


def draw_feature(figure: Figure, axis: Axes, latents: Latents, image: Float64, title: str, cmap: str = SIGNED) -> None:
    """Draw the map of a feature, which has both signs.

    Parameters
    ----------
    figure, axis
        From `make_panels`.
    latents
        Whose feature it is.
    image
        (rows, cols) float64, NaN where missing.
    title
        What stands above.
    cmap
        matplotlib's name of the colours.
    """
    draw_values(figure, axis, latents.origin.scan, image, title, cmap)


def _score(structure: float) -> str:
    return f"C {structure:.2f}" if np.isfinite(structure) else "C unknown"  # nothing varies, or there are no neighbours


def _stretched(cmap: str) -> str:
    return STRETCHED.format(centred=CENTRED if is_diverging(cmap) else "")


def _draw_ranked(
    latents: Latents, features: StoredFeatures, numbers: Sequence[int], cmap: str,
    coloured: ComponentColours | None = None,
) -> Figure:  # fmt: skip
    scan = latents.origin.scan
    structure = measure_structure(features, scan)
    rank = np.argsort(np.argsort(structure, kind="stable"))
    missing = count_missing(next(features.maps(numbers[:1])), scan)
    notes = [RANKED, _stretched(cmap), *filter(None, [missing])]
    figure, axes = make_panels(scan, len(numbers) + bool(coloured), heading=describe(latents), notes=notes)
    panels = iter(axes)
    if coloured:
        draw_image(next(panels), scan, coloured.image, title_components(latents, coloured))
    for number, image in zip(numbers, features.maps(numbers), strict=True):
        said = f"feature {number} · rank {rank[number] + 1} of {len(rank)} · {_score(structure[number])}"
        draw_feature(figure, next(panels), latents, image, said, cmap)
    return figure
