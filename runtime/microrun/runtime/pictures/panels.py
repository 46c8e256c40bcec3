"""Maps drawn side by side, aligned, with colour bars, ticks and scale bars, at their true proportions."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.pictures.colour_maps import is_diverging
from microrun.runtime.pictures.map_frame import BAR_ROOM, choose_aspect, count_ticks, finish_map, size_um
from microrun.runtime.scans.lattice import to_square_pixels
from microrun.runtime.scans.scan import Scan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = 3.2
WITH_BARS, CLOSE = (0.36, BAR_ROOM, 0.3, 0.5), (0.05, 0.05, 0.16, 0.05)  # inches left, right, above and below a panel
BAR_GAP, BAR_WIDTH = 0.06, 0.1  # inches
LINE_INCHES = 0.19
LETTERS_PER_INCH = 14
MOST_SIDE = 1000  # points that are drawn along a side: more than a panel has pixels
WHITE_POINTS = (1, 99)  # percentiles between which a map's colours are stretched
SIGNED, UNSIGNED = "RdBu_r", "viridis"


def make_panels(
    scan: Scan,
    count: int,
    inches: float = PANEL_INCHES,
    heading: str = "",
    notes: Sequence[str] = (),
) -> tuple[Figure, list[Axes]]:
    """Make a figure of empty panels.

    Parameters
    ----------
    scan
        Whose maps are drawn: the panels have their proportions.
    count
        Panels.
    inches
        Width of a panel; below that of `PANEL_INCHES` they lie close, without room for bars and ticks.
    heading
        What is shown, above all panels.
    notes
        Lines below all panels.

    Returns
    -------
    figure : Figure
    axes : list of Axes
        Row by row.
    """
    from matplotlib.figure import Figure

    columns = _count_columns(count)
    rows = math.ceil(count / columns)
    height, width = size_um(scan)
    tall = inches * min(2.5, max(0.25, height / width))
    left, right, above, below = CLOSE if inches < PANEL_INCHES else WITH_BARS
    wide = columns * (inches + left + right)
    titled = textwrap.wrap(heading, int(wide * LETTERS_PER_INCH))
    noted = [line for note in notes for line in textwrap.wrap(note, int(wide * LETTERS_PER_INCH))]
    head, foot = (len(lines) * LINE_INCHES + 0.1 * bool(lines) for lines in (titled, noted))
    high = rows * (tall + above + below) + head + foot
    figure = Figure((wide, high))
    axes = []
    for number in range(count):
        row, column = divmod(number, columns)
        x, y = column * (inches + left + right) + left, high - head - row * (tall + above + below) - above - tall
        axes.append(figure.add_axes((x / wide, y / high, inches / wide, tall / high)))
        axes[-1].set_axis_off()
    figure.text(0.1 / wide, 1 - 0.06 / high, "\n".join(titled), va="top", fontsize=10, weight="bold")
    figure.text(0.1 / wide, 0.06 / high, "\n".join(noted), va="bottom", fontsize=8, color="0.3")
    return figure, axes


def draw_values(
    figure: Figure,
    axis: Axes,
    scan: Scan,
    image: Float64,
    title: str,
    cmap: str = UNSIGNED,
    unit: str = "",
) -> None:
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
        matplotlib's name of the colours; diverging ones have 0 in their middle where the map has both signs.
    unit
        Of the numbers, beside the bar.
    """
    low, high = find_limits(image, signed=is_diverging(cmap))
    shown = show(axis, scan, image, cmap=cmap, vmin=low, vmax=high)
    place, wide = axis.get_position(), figure.get_size_inches()[0]
    beside = (place.x1 + BAR_GAP / wide, place.y0, BAR_WIDTH / wide, place.height)
    bar = figure.colorbar(shown, cax=figure.add_axes(beside))
    bar.ax.tick_params(labelsize=7, length=2)
    if (tall := place.height * figure.get_size_inches()[1]) < 1:
        bar.ax.locator_params(axis="y", nbins=count_ticks(tall))
    bar.set_label(unit, fontsize=7)
    finish_map(axis, scan, title)


def find_limits(image: Float64, signed: bool = False) -> tuple[float, float]:
    """Values that the first and the last colour of a map stand for.

    Parameters
    ----------
    image
        (rows, cols) float64, NaN where there is nothing.
    signed
        Put 0 in the middle where the map has both signs.
    """
    if not np.isfinite(image).any():
        return 0.0, 1.0
    low, high = np.nanpercentile(image, WHITE_POINTS)
    if signed and low < 0 < high:
        return -max(-low, high), max(-low, high)
    return float(low), float(high)


def draw_image(axis: Axes, scan: Scan, image: Float64, title: str) -> None:
    """Draw a map of colours.

    Parameters
    ----------
    axis
        From `make_panels`.
    scan
        Geometry.
    image
        (rows, cols, 3) float64 in [0, 1]; NaN where there is nothing, which is hatched.
    title
        What stands above.
    """
    show(axis, scan, image)
    finish_map(axis, scan, title)


def draw_labels(axis: Axes, scan: Scan, labels: NDArray[np.integer[Any]], title: str) -> None:
    """Draw numbered regions in random but fixed colours.

    Parameters
    ----------
    axis
        From `make_panels`.
    scan
        Geometry.
    labels
        (rows, cols) whole numbers; hatched where negative.
    title
        What stands above.
    """
    colours = np.random.default_rng(0).uniform(0.15, 0.95, (max(1, int(labels.max()) + 1), 3))
    labels = thin(labels)
    draw_image(axis, scan, np.where((labels >= 0)[..., None], colours[np.maximum(labels, 0)], np.nan), title)


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
    step_x, step_y = scan.spacing
    axis.plot(x[col] + step_x / 2, y[col] + step_y / 2, "+", color="white", ms=10, mew=2)


def show(axis: Axes, scan: Scan, image: Float64, **style: Any) -> Any:
    """Show numbers or colours at their true proportions, hatched where there are none.

    Maps that would be thinner than an eighth of a panel, such as lines, are as thick as that.

    Parameters
    ----------
    axis
        From `make_panels`.
    scan
        Geometry.
    image
        (rows, cols) or (rows, cols, 3) float64, NaN where there is nothing.
    **style
        As matplotlib's ``imshow`` takes it.

    Returns
    -------
    matplotlib's image
    """
    from matplotlib.patches import Rectangle

    height, width = size_um(scan)
    place: dict[str, Any] = {"extent": (0, width, height, 0), "interpolation": "nearest"}
    place["aspect"] = choose_aspect(axis, height, width)
    axis.set_anchor("NW")  # below its title
    thinned = thin(image)
    hexagonal = scan.grid == "hexagonal"
    shown = axis.imshow(_see_through(to_square_pixels(thinned, hexagonal, scan.first_shifted)), **place, **style)
    if hexagonal:  # beside rows there are no points that could have been measured
        there = thin(np.where(scan.exists(), 0.0, np.nan))
        rows = to_square_pixels(there, True, scan.first_shifted)
        white = np.ones((*rows.shape, 4))
        white[..., 3] = np.isnan(rows)
        axis.imshow(white, **place)
    if np.isnan(thinned).any():  # elsewhere the ends of its strokes would look out at the edges
        axis.add_patch(Rectangle((0, 0), width, height, fill=False, hatch="/////", edgecolor="0.75", lw=0, zorder=-1))
    return shown


def count_missing(image: NDArray[Any], scan: Scan) -> str:
    """Say how many points of a map have nothing to show; empty if all have.

    Parameters
    ----------
    image
        (rows, cols) or (rows, cols, 3) float64, NaN where there is nothing.
    scan
        Geometry.
    """
    nothing = np.isnan(image if image.ndim == 2 else image[..., 0])
    count = np.count_nonzero(nothing & scan.exists())
    return f"{count:,} of {scan.total:,} points not measured, or without information (hatched)" if count else ""


def _count_columns(count: int) -> int:
    """As wide as high, or a little wider, with as few empty places as can be."""
    side = math.ceil(math.sqrt(count))
    return min(range(min(count, max(3, side)), max(3, side) + 3), key=lambda columns: (-count % columns, columns))


def _see_through(pixels: Float64) -> Float64:
    """Colours whose pixels show what is behind them where they are NaN."""
    nothing = np.isnan(pixels[..., :1])
    if pixels.ndim == 2 or not nothing.any():
        return pixels
    return np.concatenate([np.where(nothing, 1.0, pixels), ~nothing], axis=-1)


def thin(image: NDArray[Any]) -> NDArray[Any]:
    """Every n-th point of a large map: a copy of all for each panel would take more memory than latents."""
    # An odd step of rows, so that those of a hexagonal grid still lie to the left and to the right in turn.
    rows, cols = (max(1, side // MOST_SIDE) | 1 for side in image.shape[:2])
    return image if rows == cols == 1 else image[::rows, ::cols].copy()
