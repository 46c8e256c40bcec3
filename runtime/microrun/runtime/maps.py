"""Latent maps as pictures: which features to look at, and how to draw them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import LatentsError
from microrun.runtime.latents import Latents
from microrun.runtime.neighbours import neighbour_pairs
from microrun.runtime.panels import PANEL_INCHES, WHITE_POINTS, draw_image, draw_values, make_panels, show
from microrun.runtime.scan import Scan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Float64 = NDArray[np.float64]
OVERVIEW_FEATURES = 5
COLOURS_TITLE = "principal components 1, 2, 3 as red, green, blue"


def load_features(latents: Latents) -> Float64:
    """Latents for drawing: float64, NaN where not written or without information.

    Raises
    ------
    LatentsError
        If nothing has been written yet.
    """
    values = latents.latents.astype(np.float64)
    values[~latents.written | latents.flags] = np.nan
    if np.isnan(values[..., 0]).all():
        reason = "only latents of patterns without information" if latents.written.any() else "no latents yet"
        raise LatentsError(f"{latents.path}: holds {reason}")
    return values


def measure_structure(features: Float64, scan: Scan) -> Float64:
    """How much features vary between neighbours, against how much they vary over the map.

    Parameters
    ----------
    features
        (rows, cols, D), NaN where missing.
    scan
        Its geometry.

    Returns
    -------
    (D,) float64
        Geary's C: the mean squared difference of neighbours over twice the variance; 0 for smooth maps, 1 for
        noise, infinite for a constant, or where no neighbours are known.
    """
    flat = features.reshape(-1, features.shape[2])
    present = ~np.isnan(flat[:, 0])
    pairs = neighbour_pairs(scan)
    pairs = pairs[present[pairs].all(axis=1)]
    if not len(pairs):
        return np.full(flat.shape[1], np.inf)
    # Feature by feature: the differences of all at once would take twice D times the map.
    between = np.array([((feature[pairs[:, 0]] - feature[pairs[:, 1]]) ** 2).mean() for feature in flat.T])
    variance = flat[present].var(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 0, between / (2 * variance), np.inf)


def rank_features(features: Float64, scan: Scan) -> NDArray[np.int64]:
    """Features in the order of `measure_structure`: (D,) int64, the most structured first."""
    return np.argsort(measure_structure(features, scan), kind="stable")


def principal_colours(features: Float64) -> Float64:
    """The first three principal components as red, green and blue.

    Parameters
    ----------
    features
        (rows, cols, D), NaN where missing.

    Returns
    -------
    (rows, cols, 3) float64 in [0, 1]; white where missing. Each component is stretched between its 2nd
    and 98th percentile; its sign makes its largest weight positive, so that pictures are reproducible.
    """
    present = ~np.isnan(features[..., 0])
    values = features[present]
    centred = values - values.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :3]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    components = centred @ axes
    low, high = np.percentile(components, (2, 98), axis=0)
    stretched = np.clip((components - low) / np.maximum(high - low, 1e-12), 0, 1)
    image = np.ones((*features.shape[:2], 3))
    image[present, : axes.shape[1]] = stretched
    return image


def draw_features(latents: Latents, numbers: Sequence[int]) -> Figure:
    """Draw chosen features, each with its colour bar.

    Raises
    ------
    LatentsError
        If a number is not 0 to D − 1.
    """
    features = load_features(latents)
    size = features.shape[2]
    if not numbers or not all(0 <= number < size for number in numbers):
        raise LatentsError(
            f"{latents.path}: features are 0 to {size - 1}; got {', '.join(map(str, numbers)) or 'none'}"
        )
    figure, axes = make_panels(latents.origin.scan, len(numbers))
    for axis, number in zip(axes, numbers, strict=False):
        draw_values(figure, axis, latents.origin.scan, features[..., number], f"feature {number}")
    return figure


def draw_overview(latents: Latents) -> Figure:
    """Draw the principal components as colours, beside the features with the most spatial structure."""
    features = load_features(latents)
    best = rank_features(features, latents.origin.scan)[:OVERVIEW_FEATURES]
    figure, axes = make_panels(latents.origin.scan, 1 + len(best))
    draw_image(axes[0], latents.origin.scan, principal_colours(features), COLOURS_TITLE)
    for axis, number in zip(axes[1:], best, strict=False):
        draw_values(figure, axis, latents.origin.scan, features[..., number], f"feature {number}")
    return figure


def draw_principal_colours(latents: Latents) -> Figure:
    """Draw the first three principal components as red, green and blue."""
    figure, axes = make_panels(latents.origin.scan, 1, inches=2 * PANEL_INCHES)
    draw_image(axes[0], latents.origin.scan, principal_colours(load_features(latents)), COLOURS_TITLE)
    return figure


def draw_montage(latents: Latents) -> Figure:
    """Draw all features, small, the most structured first."""
    features = load_features(latents)
    order = rank_features(features, latents.origin.scan)
    figure, axes = make_panels(latents.origin.scan, len(order), inches=PANEL_INCHES / 2)
    for axis, number in zip(axes, order, strict=False):
        image = features[..., number]
        low, high = np.nanpercentile(image, WHITE_POINTS)
        show(axis, latents.origin.scan, image, cmap="viridis", vmin=low, vmax=high)
        axis.set_title(f"{number}", fontsize=7, pad=2)
    return figure
