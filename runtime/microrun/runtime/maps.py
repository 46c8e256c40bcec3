"""Latent maps as pictures: which features to look at, and how to draw them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import LatentsError, OutputError
from microrun.runtime.latents import Latents

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Float64 = NDArray[np.float64]
PANEL_INCHES = 3.2
OVERVIEW_FEATURES = 5


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
        raise LatentsError(f"{latents.path}: holds no latents yet")
    return values


def rank_features(features: Float64) -> NDArray[np.int64]:
    """Features in the order of how much more they vary over the map than between neighbours.

    Parameters
    ----------
    features
        (rows, cols, D), NaN where missing.

    Returns
    -------
    (D,) int64, the most structured first

    Notes
    -----
    The measure is Geary's C with 4 neighbours: the mean squared difference of neighbours over twice the
    variance; 0 for smooth maps, 1 for noise.
    """
    differences = [np.diff(features, axis=axis).reshape(-1, features.shape[2]) for axis in (0, 1)]
    between = _nanmean(np.concatenate(differences) ** 2)
    centred = features.reshape(-1, features.shape[2]) - _nanmean(features.reshape(-1, features.shape[2]))
    variance = _nanmean(centred**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        geary = np.where(variance > 0, between / (2 * variance), np.inf)
    return np.argsort(geary, kind="stable")


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
    figure, axes = _panels(latents, len(numbers))
    for axis, number in zip(axes, numbers, strict=False):
        _draw_feature(figure, axis, latents, features[..., number], f"feature {number}")
    return figure


def draw_overview(latents: Latents) -> Figure:
    """Draw the principal components as colours, beside the features with the most spatial structure."""
    features = load_features(latents)
    best = rank_features(features)[:OVERVIEW_FEATURES]
    figure, axes = _panels(latents, 1 + len(best))
    _draw_colours(axes[0], latents, features)
    for axis, number in zip(axes[1:], best, strict=False):
        _draw_feature(figure, axis, latents, features[..., number], f"feature {number}")
    return figure


def draw_principal_colours(latents: Latents) -> Figure:
    """Draw the first three principal components as red, green and blue."""
    figure, axes = _panels(latents, 1, inches=2 * PANEL_INCHES)
    _draw_colours(axes[0], latents, load_features(latents))
    return figure


def draw_montage(latents: Latents) -> Figure:
    """Draw all features, small, the most structured first."""
    features = load_features(latents)
    order = rank_features(features)
    figure, axes = _panels(latents, len(order), inches=PANEL_INCHES / 2)
    for axis, number in zip(axes, order, strict=False):
        image = features[..., number]
        _show(
            axis,
            latents,
            image,
            cmap="viridis",
            vmin=np.nanpercentile(image, 1),
            vmax=np.nanpercentile(image, 99),
        )
        axis.set_title(f"{number}", fontsize=7, pad=2)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG beside and rename it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    beside = path.with_name("part-" + path.name)
    try:
        figure.savefig(beside, dpi=150, format="png")
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None


def to_square_pixels(image: Float64, hexagonal: bool) -> Float64:
    """Image whose pixels show a hexagonal grid at its true positions: odd rows half a step to the right.

    Parameters
    ----------
    image
        (rows, cols) or (rows, cols, channels).
    hexagonal
        False returns the image as it is.

    Returns
    -------
    (rows, 2·cols + 1, …), NaN beside the rows
    """
    if not hexagonal:
        return image
    rows, cols = image.shape[:2]
    wide = np.full((rows, 2 * cols + 1, *image.shape[2:]), np.nan)
    doubled = np.repeat(image, 2, axis=1)
    wide[0::2, :-1] = doubled[0::2]
    wide[1::2, 1:] = doubled[1::2]
    return wide


def _panels(latents: Latents, count: int, inches: float = PANEL_INCHES) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(count, max(3, math.ceil(math.sqrt(count))))
    rows = math.ceil(count / columns)
    height, width = _size_um(latents)
    tall = inches * min(2.5, max(0.4, height / width)) + 0.35
    figure = Figure((columns * (inches + 0.6), rows * tall), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.12))
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for axis in axes:
        axis.set_axis_off()
    return figure, axes


def _draw_feature(figure: Figure, axis: Axes, latents: Latents, image: Float64, title: str) -> None:
    low, high = np.nanpercentile(image, (1, 99))
    shown = _show(axis, latents, image, cmap="viridis", vmin=low, vmax=high)
    figure.colorbar(shown, ax=axis, shrink=0.8, pad=0.02).ax.tick_params(labelsize=7)
    axis.set_title(title, fontsize=9)
    _scale_bar(axis, latents)


def _draw_colours(axis: Axes, latents: Latents, features: Float64) -> None:
    _show(axis, latents, principal_colours(features))
    axis.set_title("principal components 1, 2, 3 as red, green, blue", fontsize=9)
    _scale_bar(axis, latents)


def _show(axis: Axes, latents: Latents, image: Float64, **style: Any) -> Any:
    height, width = _size_um(latents)
    pixels = to_square_pixels(image, latents.origin.scan.grid == "hexagonal")
    if pixels.ndim == 3:
        pixels = np.nan_to_num(pixels, nan=1.0)
    return axis.imshow(pixels, extent=(0, width, height, 0), interpolation="nearest", **style)


def _size_um(latents: Latents) -> tuple[float, float]:
    scan = latents.origin.scan
    step_x, step_y = (step or 1.0 for step in scan.step_um)
    rows, cols = scan.nav_shape
    return rows * step_y, (cols + (0.5 if scan.grid == "hexagonal" else 0)) * step_x


def _scale_bar(axis: Axes, latents: Latents) -> None:
    _, width = _size_um(latents)
    length = nice_length(width / 4)
    unit = "µm" if latents.origin.scan.step_um[0] else "steps"
    axis.plot(
        [0.04, 0.04 + length / width],
        [-0.05, -0.05],
        transform=axis.transAxes,
        color="black",
        lw=3,
        solid_capstyle="butt",  # a cap would make the bar longer than it says
        clip_on=False,
    )
    axis.text(
        0.04 + length / width + 0.02,
        -0.05,
        f"{length:g} {unit}",
        transform=axis.transAxes,
        va="center",
        fontsize=8,
    )


def nice_length(length: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not longer."""
    power = 10.0 ** math.floor(math.log10(length))
    return next(step * power for step in (5, 2, 1) if step * power <= length * (1 + 1e-9))


def _nanmean(values: Float64) -> Float64:
    present = ~np.isnan(values)
    total: Float64 = np.where(present, values, 0).sum(axis=0)
    mean: Float64 = total / np.maximum(present.sum(axis=0), 1)
    return mean
