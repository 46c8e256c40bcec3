"""Maps drawn side by side, with colour bars and scale bars, at their true proportions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.files.output import written_beside
from microrun.runtime.scans.lattice import to_square_pixels
from microrun.runtime.scans.scan import Scan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = 3.2
MOST_SIDE = 1000  # points that are drawn along a side: more than a panel has pixels
WHITE_POINTS = (1, 99)  # percentiles between which a map's colours are stretched


def make_panels(scan: Scan, count: int, inches: float = PANEL_INCHES) -> tuple[Figure, list[Axes]]:
    """Make a figure of empty panels.

    Parameters
    ----------
    scan
        Whose maps are drawn: the panels have their proportions.
    count
        Panels at least.
    inches
        Width of a panel.

    Returns
    -------
    figure : Figure
    axes : list of Axes
        Row by row, without ticks and frames.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(count, max(3, math.ceil(math.sqrt(count))))
    rows = math.ceil(count / columns)
    height, width = _size_um(scan)
    tall = inches * min(2.5, max(0.4, height / width)) + 0.35
    figure = Figure((columns * (inches + 0.6), rows * tall), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.12))
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for axis in axes:
        axis.set_axis_off()
    return figure, axes


def draw_values(figure: Figure, axis: Axes, scan: Scan, image: Float64, title: str, cmap: str = "viridis") -> None:
    """Draw a map of numbers with its colour bar, stretched between its 1st and 99th percentile.

    Parameters
    ----------
    figure, axis
        From `make_panels`.
    scan
        Geometry.
    image
        (rows, cols) float64, NaN where there is nothing.
    title
        What stands above.
    cmap
        matplotlib's name of the colours.
    """
    low, high = np.nanpercentile(image, WHITE_POINTS) if np.isfinite(image).any() else (0, 1)
    shown = show(axis, scan, image, cmap=cmap, vmin=low, vmax=high)
    figure.colorbar(shown, ax=axis, shrink=0.8, pad=0.02).ax.tick_params(labelsize=7)
    axis.set_title(title, fontsize=9)
    add_scale_bar(axis, scan)


def draw_image(axis: Axes, scan: Scan, image: Float64, title: str) -> None:
    """Draw a map of colours.

    Parameters
    ----------
    axis
        From `make_panels`.
    scan
        Geometry.
    image
        (rows, cols, 3) float64 in [0, 1]; NaN is white.
    title
        What stands above.
    """
    show(axis, scan, image)
    axis.set_title(title, fontsize=9)
    add_scale_bar(axis, scan)


def draw_labels(axis: Axes, scan: Scan, labels: NDArray[np.integer[Any]], title: str) -> None:
    """Draw numbered regions in random but fixed colours.

    Parameters
    ----------
    axis
        From `make_panels`.
    scan
        Geometry.
    labels
        (rows, cols) whole numbers; white where negative.
    title
        What stands above.
    """
    colours = np.random.default_rng(0).uniform(0.15, 0.95, (max(1, int(labels.max()) + 1), 3))
    labels = _thin(labels)
    image = np.where((labels >= 0)[..., None], colours[np.maximum(labels, 0)], 1.0)
    draw_image(axis, scan, image, title)


def mark_point(axis: Axes, scan: Scan, point: tuple[int, int]) -> None:
    """Put a cross on a point of the map.

    Parameters
    ----------
    axis
        From `make_panels`.
    scan
        Geometry.
    point
        (row, col).
    """
    row, col = point
    x, y = scan.row_positions_um(row)
    step_x, step_y = (step or 1.0 for step in scan.step_um)
    axis.plot(x[col] + step_x / 2, y[col] + step_y / 2, "+", color="white", ms=10, mew=2)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a PNG beside and rename it.

    Parameters
    ----------
    figure
        Any figure.
    path
        The file to make or replace.

    Raises
    ------
    OutputError
        If it cannot be written.

    Examples
    --------
    >>> from microrun.runtime import draw_overview, open_latents, save_figure
    >>> with open_latents("scan.latents.h5") as latents:
    ...     save_figure(draw_overview(latents), "overview.png")
    """
    with written_beside(Path(path)) as beside:
        figure.savefig(beside, dpi=150, format="png")


def show(axis: Axes, scan: Scan, image: Float64, **style: Any) -> Any:
    """Show numbers or colours at their true proportions.

    Parameters
    ----------
    axis
        From `make_panels`.
    scan
        Geometry.
    image
        (rows, cols) or (rows, cols, 3) float64.
    **style
        As matplotlib's ``imshow`` takes it.

    Returns
    -------
    matplotlib's image
    """
    height, width = _size_um(scan)
    pixels = to_square_pixels(_thin(image), scan.grid == "hexagonal", scan.first_shifted)
    if pixels.ndim == 3:
        pixels = np.nan_to_num(pixels, nan=1.0)
    return axis.imshow(pixels, extent=(0, width, height, 0), interpolation="nearest", **style)


def _thin(image: NDArray[Any]) -> NDArray[Any]:
    """Every n-th point of a large map: a copy of all for each panel would take more memory than latents."""
    # An odd step of rows, so that those of a hexagonal grid still lie to the left and to the right in turn.
    rows, cols = (max(1, side // MOST_SIDE) | 1 for side in image.shape[:2])
    return image if rows == cols == 1 else image[::rows, ::cols].copy()


def _size_um(scan: Scan) -> tuple[float, float]:
    step_x, step_y = (step or 1.0 for step in scan.step_um)
    rows, cols = scan.nav_shape
    return rows * step_y, (cols + (0.5 if scan.grid == "hexagonal" else 0)) * step_x


def add_scale_bar(axis: Axes, scan: Scan) -> None:
    """Draw a bar of a round length below the map, in µm where the step is known.

    Parameters
    ----------
    axis
        From `make_panels`, with the map drawn.
    scan
        Geometry.
    """
    _, width = _size_um(scan)
    length = nice_length(width / 4)
    unit = "µm" if scan.step_um[0] else "steps"
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
    """Largest of 1, 2, 5 times a power of ten that is not longer.

    Parameters
    ----------
    length
        More than 0, in any unit.
    """
    power = 10.0 ** math.floor(math.log10(length))
    return next(step * power for step in (5, 2, 1) if step * power <= length * (1 + 1e-9))
