"""A built part by three planes through it, in the colours of the inverse pole figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.sections.orientations import colour_directions, paint_orientations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = 11.0  # inches
KEY_POINTS = 160  # along each side of the colour key
GREY = "0.35"


def draw_part(orientation: NDArray[np.int8], euler: Float64, step_um: float, row: int, title: str) -> Figure:
    """Draw a part across its tracks, along one of them, and from above.

    Parameters
    ----------
    orientation
        (z, y, x) int8, rows of ``euler``; z rises, the tracks run along x.
    euler
        (n, 3) float64 Bunge angles in radians.
    step_um
        Edge of a cell.
    row
        Along y, of the plane along a track.
    title
        What stands above all.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    depth, width, length = orientation.shape
    across, along, above = orientation[::-1, :, length // 2], orientation[::-1, row], orientation[-1]
    ratios = [width, length, length, max(width, length) / 4]
    tall = (WIDE - 1) * max(depth, width) / sum(ratios) + 0.9
    figure = Figure((WIDE, min(max(tall, 2.6), 9)), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    axes = figure.subplots(1, 4, width_ratios=ratios)
    planes = {
        "across the tracks, built upwards": (across, "y", "depth"),
        "along a track, built upwards": (along, "x", "depth"),
        "from above": (above, "x", "y"),
    }
    for axis, (name, (plane, right, down)) in zip(axes[:3], planes.items(), strict=True):
        _show_plane(axis, paint_orientations(plane, euler), step_um)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel(f"{right}, µm", fontsize=8)
        axis.set_ylabel(f"{down}, µm", fontsize=8)
        axis.set_anchor("N")  # all surfaces at one height
    draw_colour_key(axes[3])
    figure.suptitle(title, fontsize=10)
    return figure


def draw_colour_key(axis: Axes) -> None:
    """Draw the colours of the standard triangle of cubic crystals.

    Parameters
    ----------
    axis
        An empty one; its frame is taken away.
    """
    # Points in the plane of the stereographic projection, and the directions that they stand for.
    x, y = np.meshgrid(np.linspace(0, 0.45, KEY_POINTS), np.linspace(0, 0.4, KEY_POINTS))
    radius = x**2 + y**2
    directions = np.stack([2 * x, 2 * y, 1 - radius], axis=-1) / (1 + radius)[..., None]
    inside = (y <= x + 1e-9) & (directions[..., 0] <= directions[..., 2] + 1e-9)
    colours = np.where(inside[..., None], colour_directions(directions), 1.0)
    axis.imshow(colours, origin="lower", extent=(0, 0.45, 0, 0.4), interpolation="bilinear")
    for place, name in (((0, -0.03), "001"), ((0.41, -0.03), "101"), ((0.36, 0.385), "111")):
        axis.text(place[0], place[1], name, ha="center", va="top" if place[1] < 0 else "bottom", fontsize=8, color=GREY)
    axis.set(xlim=(-0.05, 0.48), ylim=(-0.1, 0.45), aspect="equal")
    axis.set_title("IPF-Z, m-3m\nz: build direction", fontsize=8)
    axis.set_axis_off()


def _show_plane(axis: Any, picture: Float64, step_um: float) -> None:
    rows, columns = picture.shape[:2]
    axis.imshow(picture, extent=(0, columns * step_um, rows * step_um, 0), interpolation="nearest")
    axis.tick_params(labelsize=7, colors=GREY)
    for spine in axis.spines.values():
        spine.set_color(GREY)
