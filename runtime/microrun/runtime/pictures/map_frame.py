"""What stands around a map: title, ticks, scale bar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from microrun.runtime.scans.scan import Scan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR_ROOM = 0.7  # inches to the right of a panel, for a colour bar and its numbers
TITLE_POINTS, TITLE_LETTERS_PER_INCH = 9, 15
THINNEST = 1 / 8  # of a panel's width: single lines of points are drawn wider than they are
TICK_INCHES, MOST_TICKS = 0.3, 5  # between ticks, at least; intervals, at most
AXES_SAID_INCHES = 1.6  # of a map beside whose scale bar there is room for a word


def finish_map(axis: Axes, scan: Scan, title: str) -> None:
    """Give a map its title, ticks and scale bar.

    Parameters
    ----------
    axis
        From `make_panels`, with the map drawn.
    scan
        Geometry.
    title
        What stands above.
    """
    wide = _inches(axis, panel=True)[0] + BAR_ROOM
    axis.set_axis_on()
    size = TITLE_POINTS * min(1.0, wide * TITLE_LETTERS_PER_INCH / max(1, len(title)))  # before the next panel's begins
    axis.set_title(title, fontsize=size, loc="left", pad=4)
    axis.tick_params(labelsize=6, length=2, color="0.5", labelcolor="0.4")
    for name, inches in zip("xy", _inches(axis), strict=True):
        axis.locator_params(axis=name, nbins=count_ticks(inches))  # type: ignore[arg-type]
    axis.spines[:].set(color="0.5", lw=0.5)
    add_scale_bar(axis, scan)


def add_scale_bar(axis: Axes, scan: Scan) -> None:
    """Draw a bar of a round length below the map and its ticks, in µm where the step is known.

    Parameters
    ----------
    axis
        From `make_panels`, with the map drawn.
    scan
        Geometry.
    """
    _, width = size_um(scan)
    length = nice_length(width / 4)
    unit = "µm" if scan.step_um[0] else "steps"
    wide, high = _inches(axis)
    below = -0.34 / high
    axis.plot(
        [0, length / width],
        [below, below],
        transform=axis.transAxes,
        color="black",
        lw=2.5,
        solid_capstyle="butt",  # a cap would make the bar longer than it says
        clip_on=False,
    )
    axis.text(
        length / width + 0.06 / wide, below, f"{length:g} {unit}", transform=axis.transAxes, va="center", fontsize=7
    )
    if axis.axison and wide > AXES_SAID_INCHES:
        said = f"axes in {unit}"
        axis.text(1, below, said, transform=axis.transAxes, ha="right", va="center", fontsize=6, color="0.4")


def nice_length(length: float) -> float:
    """Largest of 1, 2, 5 times a power of ten that is not longer.

    Parameters
    ----------
    length
        More than 0, in any unit.
    """
    power = 10.0 ** math.floor(math.log10(length))
    return next(step * power for step in (5, 2, 1) if step * power <= length * (1 + 1e-9))


def size_um(scan: Scan) -> tuple[float, float]:
    """Height and width of a map in µm, or in steps where no step is known."""
    step_x, step_y = scan.spacing
    rows, cols = scan.nav_shape
    return rows * step_y, (cols + (0.5 if scan.grid == "hexagonal" else 0)) * step_x


def _inches(axis: Axes, panel: bool = False) -> tuple[float, float]:
    """Width and height of a map, or of the panel in which it lies."""
    figure, place = axis.get_figure(root=True), axis.get_position(original=panel)
    assert figure is not None
    wide, high = figure.get_size_inches()
    return float(place.width * wide), float(place.height * high)


def choose_aspect(axis: Axes, height: float, width: float) -> float:
    """Length of a step downwards over that of one to the right: 1, or more or less for maps that would be too thin.

    Parameters
    ----------
    axis
        From `make_panels`.
    height, width
        Of the map, in any unit.
    """
    wide, high = _inches(axis, panel=True)
    thinnest = min(THINNEST * wide, high)
    if wide * height / width < thinnest:
        return thinnest / height * width / wide
    return high / height * width / thinnest if high * width / height < thinnest else 1.0


def count_ticks(inches: float) -> int:
    """Intervals between ticks that have room on an axis of so many inches."""
    return max(1, min(MOST_TICKS, int(inches / TICK_INCHES)))
