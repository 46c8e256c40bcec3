"""Latent maps as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import Latents
from microrun.runtime.maps.features import OVERVIEW_FEATURES, principal_colours, rank_features
from microrun.runtime.maps.stored_features import StoredFeatures
from microrun.runtime.pictures.panels import PANEL_INCHES, WHITE_POINTS, draw_image, draw_values, make_panels, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS_TITLE = "principal components 1, 2, 3 as red, green, blue"


def draw_features(latents: Latents, numbers: Sequence[int]) -> Figure:
    """Draw chosen features, each with its colour bar.

    Parameters
    ----------
    latents
        Finished or growing.
    numbers
        Those of the features, from 0.

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
    features = StoredFeatures(latents)
    size = features.shape[2]
    if not numbers or not all(0 <= number < size for number in numbers):
        raise LatentsError(
            f"{latents.path}: features are 0 to {size - 1}; got {', '.join(map(str, numbers)) or 'none'}"
        )
    figure, axes = make_panels(latents.origin.scan, len(numbers))
    for axis, number, image in zip(axes, numbers, features.maps(numbers), strict=False):
        draw_values(figure, axis, latents.origin.scan, image, f"feature {number}")
    return figure


def draw_overview(latents: Latents) -> Figure:
    """Draw the principal components as colours, beside the features with the most spatial structure.

    Parameters
    ----------
    latents
        Finished or growing.

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
    best = rank_features(features, latents.origin.scan)[:OVERVIEW_FEATURES].tolist()
    figure, axes = make_panels(latents.origin.scan, 1 + len(best))
    draw_image(axes[0], latents.origin.scan, principal_colours(features), COLOURS_TITLE)
    for axis, number, image in zip(axes[1:], best, features.maps(best), strict=False):
        draw_values(figure, axis, latents.origin.scan, image, f"feature {number}")
    return figure


def draw_principal_colours(latents: Latents) -> Figure:
    """Draw the first three principal components as red, green and blue.

    Parameters
    ----------
    latents
        Finished or growing.

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
    figure, axes = make_panels(latents.origin.scan, 1, inches=2 * PANEL_INCHES)
    draw_image(axes[0], latents.origin.scan, principal_colours(StoredFeatures(latents)), COLOURS_TITLE)
    return figure


def draw_montage(latents: Latents) -> Figure:
    """Draw all features, small, the most structured first.

    Parameters
    ----------
    latents
        Finished or growing.

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
    features = StoredFeatures(latents)
    order = rank_features(features, latents.origin.scan).tolist()
    figure, axes = make_panels(latents.origin.scan, len(order), inches=PANEL_INCHES / 2)
    for axis, number, image in zip(axes, order, features.maps(order), strict=False):
        low, high = np.nanpercentile(image, WHITE_POINTS)
        show(axis, latents.origin.scan, image, cmap="viridis", vmin=low, vmax=high)
        axis.set_title(f"{number}", fontsize=7, pad=2)
    return figure
