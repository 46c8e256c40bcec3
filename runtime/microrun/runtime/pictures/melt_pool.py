"""A melt pool from above, along and across the track, in one figure and at one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 11.0
MARGIN_UM = 40.0  # of colder metal around what is drawn
SHOWN_K = 1200.0  # what is warmer is drawn, with the margin
NUMBERS_INCHES = 2.6


@dataclass(frozen=True, eq=False)
class PoolPicture:
    """What is drawn.

    Parameters
    ----------
    temperature
        (z, y, x) float32 in K: z rises up to the surface, the laser moves to +x in the middle of y.
    step_um
        Edge of a cell.
    laser_um, beam_radius_um
        Place of the beam's axis along x, from the face of low x, and its radius.
    solidus_k, liquidus_k, boiling_k
        Temperatures of isotherms, and of the end of the colours.
    title
        One line.
    numbers
        Names and values that stand beside.
    """

    temperature: NDArray[np.float32]
    step_um: float
    laser_um: float
    beam_radius_um: float
    solidus_k: float
    liquidus_k: float
    boiling_k: float
    title: str
    numbers: Mapping[str, str]


def draw_pool(picture: PoolPicture) -> Figure:
    """Draw a melt pool: its surface, the section along its middle, and the section across where it is deepest.

    Parameters
    ----------
    picture
        What is drawn.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    step = picture.step_um
    depth, rows, cols = picture.temperature.shape
    lengths, widths, depths = (_centres(side, step) for side in (cols, rows, depth))
    lengths, widths, depths = lengths - picture.laser_um, widths - rows * step / 2, depths - depth * step
    first, last, side, down = _frame(picture)
    lower = max(down, 30.0)
    ratios = [last - first, 2 * side], [2 * side, lower]
    high = (WIDTH_INCHES - NUMBERS_INCHES) * sum(ratios[1]) / sum(ratios[0]) + 1.7
    figure = Figure((WIDTH_INCHES, high), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    axes = figure.subplots(2, 2, width_ratios=ratios[0], height_ratios=ratios[1])
    deepest = _deepest(picture)
    temperature = picture.temperature
    shown = _show(picture, axes[0, 0], lengths, widths, temperature[-1])
    _show(picture, axes[1, 0], lengths, depths, temperature[:, rows // 2])
    _show(picture, axes[1, 1], widths, depths, temperature[:, :, deepest])
    _label(axes, lengths[deepest])
    axes[0, 0].set(xlim=(first, last), ylim=(-side, side))
    axes[1, 0].set(xlim=(first, last), ylim=(-lower, 0))
    axes[1, 1].set(xlim=(-side, side), ylim=(-lower, 0))
    _mark_beam(axes[0, 0], picture)
    _write_numbers(axes[0, 1], picture)
    bar = figure.colorbar(shown, ax=list(axes.ravel()), location="right", shrink=0.9, pad=0.01, extend="max")
    bar.set_label("temperature in K, colours up to boiling", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(picture.title, fontsize=11)
    return figure


def _centres(side: int, step: float) -> Float64:
    return (np.arange(side, dtype=np.float64) + 0.5) * step


def _frame(picture: PoolPicture) -> tuple[float, float, float, float]:
    """First and last x, half the width and the depth in µm of what is warm."""
    step = picture.step_um
    depth, rows, cols = picture.temperature.shape
    warm = picture.temperature > min(SHOWN_K, (picture.temperature.min() + picture.temperature.max()) / 2)
    along, across, down = (np.flatnonzero(warm.any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2)))
    first = max(along[0] * step - MARGIN_UM, 0) - picture.laser_um
    last = min((along[-1] + 1) * step + MARGIN_UM, cols * step) - picture.laser_um
    side = min((across[-1] + 1 - rows / 2) * step + MARGIN_UM, rows * step / 2)
    return first, last, side, min((depth - down[0]) * step + MARGIN_UM, depth * step)


def _deepest(picture: PoolPicture) -> int:
    """Column of x at which the pool is deepest, or the hottest one if nothing melts."""
    molten = picture.temperature >= picture.liquidus_k
    if molten.any():
        deep = molten.any(axis=1).sum(axis=0)
        return int(np.median(np.flatnonzero(deep == deep.max())))
    return int(np.argmax(picture.temperature.max(axis=(0, 1))))


def _show(picture: PoolPicture, axis: Axes, across: Float64, up: Float64, values: NDArray[np.float32]) -> Any:
    half = picture.step_um / 2
    extent = (across[0] - half, across[-1] + half, up[0] - half, up[-1] + half)
    shown = axis.imshow(
        values,
        extent=extent,
        origin="lower",
        cmap="inferno",
        vmin=300,
        vmax=picture.boiling_k,
        interpolation="bilinear",
    )
    levels = {picture.solidus_k: ("white", "dashed"), picture.liquidus_k: ("white", "solid")}
    for level, (colour, style) in levels.items():
        if values.max() > level > values.min():
            axis.contour(across, up, values, levels=[level], colors=colour, linestyles=style, linewidths=1.1)
    axis.set_aspect("equal")
    axis.tick_params(labelsize=7)
    return shown


def _label(axes: Any, deepest_um: float) -> None:
    axes[0, 0].set_title("from above: laser moves to the right", fontsize=9)
    axes[0, 0].set_ylabel("y in µm", fontsize=8)
    axes[1, 0].set_title("along, in the middle of the track", fontsize=9)
    axes[1, 0].set_xlabel("x from the beam's axis in µm", fontsize=8)
    axes[1, 0].set_ylabel("z in µm", fontsize=8)
    axes[1, 1].set_title(f"across, at x = {deepest_um:.0f} µm".replace("-", "−"), fontsize=9)
    axes[1, 1].set_xlabel("y in µm", fontsize=8)


def _mark_beam(axis: Axes, picture: PoolPicture) -> None:
    from matplotlib.patches import Circle

    circle = Circle((0, 0), picture.beam_radius_um, fill=False, ec="cyan", lw=0.9, ls=(0, (2, 2)))
    axis.add_patch(circle)


def _write_numbers(axis: Axes, picture: PoolPicture) -> None:
    from matplotlib.lines import Line2D

    axis.set_axis_off()
    text = "\n".join(f"{name}: {value}" for name, value in picture.numbers.items())
    axis.text(0, 1, text, va="top", ha="left", fontsize=8, linespacing=1.5, transform=axis.transAxes)
    styles = [("liquidus", "solid", "0.2"), ("solidus", "dashed", "0.2"), ("beam, 1/e²", (0, (2, 2)), "darkcyan")]
    lines = [Line2D([], [], ls=style, color=colour, lw=1.1, label=name) for name, style, colour in styles]
    axis.legend(handles=lines, loc="lower left", fontsize=7, frameon=False, borderaxespad=0)
