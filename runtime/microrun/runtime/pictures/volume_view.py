"""Pictures of volumes: a cube with an octant cut out, or a part, from its corner, and the three middle slices."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import OutputError
from microrun.runtime.pictures.drawing import Drawing
from microrun.runtime.pictures.figure_file import ENDINGS, save_figure
from microrun.runtime.pictures.isometric import NO_FACE, TOP, frame_of, look_at, project, sample_view
from microrun.runtime.pictures.map_frame import nice_length
from microrun.runtime.pictures.painting import SAMPLES, Image, paint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SLOPE = 1.5  # voxels around over which the steps of a part become a slope
DPI = 150  # of `save_figure`
VIEW_PIXELS = 1100  # the longer side of the view
ROW_PIXELS = 1000  # all three slices in a row
MARGIN, TITLE, FOOT, BAR, KEY = 24, 34, 80, 24, 160  # pixels; a bar or a key of colours makes the foot higher
LETTER = 9  # pixels of a caption's letter
BAR_PIXELS = 120  # the longest scale bar
LABEL_ROOM = 56  # pixels around the view, for the lengths of its edges
INK, PALE = "0.15", "0.5"
SLICE_AXES = (("z", "x →  y ↑"), ("y", "x →  z ↑"), ("x", "y →  z ↑"))
LEAST_WIDTH = 190  # pixels, for the title of a slice
LEAST_VIEW = 600  # pixels, for the rest of the foot


def render(drawing: Drawing, path: Path, only_slices: bool = False) -> None:
    """Draw a volume into a file.

    A volume with air around it, a quarter of its voxels or more, is a part and drawn whole; of any other the octant
    toward the viewer is cut out.

    Parameters
    ----------
    drawing
        From `read_drawing`.
    path
        The .png, .svg, .pdf or .jpg file to make or replace.
    only_slices
        Leave out the view from the corner.

    Raises
    ------
    OutputError
        If the name has another ending, or it cannot be written.
    """
    if path.suffix.lower() not in ENDINGS:
        raise OutputError(f"{path}: a picture is written as {', '.join(ENDINGS)}")
    save_figure(draw_slices(drawing) if only_slices else draw_volume(drawing), path, cut=False)


def draw_volume(drawing: Drawing) -> Figure:
    """Draw the view from the corner, and the slices beside it.

    Parameters
    ----------
    drawing
        From `read_drawing`.
    """
    depth, rows, cols = _drawn_shape(drawing)
    frame = left, right, bottom, top = frame_of((depth, rows, cols))
    scale = VIEW_PIXELS / max(right - left, top - bottom)
    view = draw_view(drawing, scale)
    seen = np.argwhere(view.min(axis=-1) < 1)  # of a part not all of its box, around which would be white space
    middles = (seen[:, ::-1] + 0.5) / np.array([scale, -scale]) + np.array([left, top])
    edges = _place_edges(drawing, middles.astype(np.float64), 1 / scale)
    (first, begin), (last, end) = _find_extent(seen, edges, frame, scale)
    wide, high = max(end - begin, LEAST_VIEW) + 2 * LABEL_ROOM, last - first + 2 * LABEL_ROOM
    zoom = min((high - 3 * TITLE) / (rows + 2 * depth), 0.45 * VIEW_PIXELS / max(rows, cols))
    slices = [draw_slice(drawing, axis, zoom) for axis in range(3)]
    beside = max(LEAST_WIDTH, *(image.shape[1] for image in slices)) + 2 * MARGIN
    sheet = _Sheet(drawing, wide + beside, high)
    axis = sheet.place((0, 0, wide, high))
    room = LABEL_ROOM / scale
    axis.imshow(view, extent=frame, interpolation="nearest")
    axis.set(xlim=(left + begin / scale - room, left + end / scale + room))
    axis.set(ylim=(top - last / scale - room, top - first / scale + room))
    _label_edges(axis, drawing, edges, room)
    down = 0
    for number, image in enumerate(slices):
        _show_slice(sheet, drawing, number, image, (wide, down))
        down += TITLE + image.shape[0]
    _write_foot(sheet, drawing, zoom, wide)
    return sheet.figure


def draw_slices(drawing: Drawing) -> Figure:
    """Draw the three middle slices side by side.

    Parameters
    ----------
    drawing
        From `read_drawing`.
    """
    depth, rows, cols = _drawn_shape(drawing)
    zoom = min(ROW_PIXELS / (2 * cols + rows), 0.6 * ROW_PIXELS / max(rows, depth))
    slices = [draw_slice(drawing, axis, zoom) for axis in range(3)]
    widths = [max(LEAST_WIDTH, image.shape[1]) for image in slices]
    wide = max(ROW_PIXELS, sum(widths)) + 4 * MARGIN
    sheet = _Sheet(drawing, wide, TITLE + max(image.shape[0] for image in slices))
    across = MARGIN
    for number, image in enumerate(slices):
        _show_slice(sheet, drawing, number, image, (across, 0))
        across += MARGIN + widths[number]
    _write_foot(sheet, drawing, zoom, MARGIN)
    return sheet.figure


def draw_view(drawing: Drawing, scale: float) -> Image:
    """Pixels of the view from the corner.

    Parameters
    ----------
    drawing
        From `read_drawing`.
    scale
        Pixels along the edge of a drawn voxel.

    Returns
    -------
    (rows, columns, 3) float32 sRGB in [0, 1]
    """
    solid = drawing.solid.copy()
    whole = solid.all()
    if whole:
        depth, rows, cols = (side - side // 2 if side > 1 else 1 for side in solid.shape)
        solid[depth:, rows:, cols:] = False
    view = sample_view(look_at(drawing.values, solid), scale * SAMPLES)
    numbers = view.values.astype(np.int64) if drawing.of_grains else np.zeros(view.faces.shape, np.int64)
    if whole:  # of a part every step of a slope would be a line
        numbers = numbers * 4 + view.faces
    radius = 0 if whole else round(SLOPE * scale * SAMPLES)
    return paint(drawing.colour(view.values), view.faces, np.where(view.faces == NO_FACE, -2, numbers), radius)


def draw_slice(drawing: Drawing, axis: int, scale: float) -> Image:
    """Pixels of the middle slice across an axis.

    Parameters
    ----------
    drawing
        From `read_drawing`.
    axis
        0, 1 or 2 for z, y or x.
    scale
        Pixels along the edge of a drawn voxel.

    Returns
    -------
    (rows, columns, 3) float32 sRGB in [0, 1]
    """
    middle = drawing.values.shape[axis] // 2
    plane, solid = drawing.values.take(middle, axis)[::-1], drawing.solid.take(middle, axis)[::-1]
    sides = (((np.arange(math.ceil(side * scale) * SAMPLES) + 0.5) / (scale * SAMPLES)) for side in plane.shape)
    at = np.ix_(*(np.minimum(side.astype(np.intp), size - 1) for side, size in zip(sides, plane.shape, strict=True)))
    numbers = plane[at] if drawing.of_grains else np.zeros_like(plane[at])
    faces = np.where(solid[at], np.uint8(TOP), np.uint8(NO_FACE))
    return paint(drawing.colour(plane[at]), faces, np.where(faces == NO_FACE, -2, numbers))


class _Edge(NamedTuple):
    """A line as long as an axis: its number, (2, 2) ends, where its text stands from it, and the text's turn."""

    number: int
    ends: Float64
    outward: Float64
    turn: int


class _Sheet:
    """Figure whose places are pixels from the upper left corner, with room below for the foot."""

    def __init__(self, drawing: Drawing, width: int, height: int) -> None:
        from matplotlib.figure import Figure

        self.width = max(width, 2 * MARGIN + LETTER * len(_describe(drawing)))
        self.height = height + _foot(drawing)
        self.figure = Figure((self.width / DPI, self.height / DPI))

    def place(self, box: tuple[float, float, float, float]) -> Axes:
        """Make empty axes at (left, top) of (width, height)."""
        left, top, width, height = box
        axis = self.figure.add_axes(
            (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        )
        axis.set_axis_off()
        return axis


def _drawn_shape(drawing: Drawing) -> tuple[int, int, int]:
    depth, rows, cols = drawing.values.shape
    return depth, rows, cols


def _place_edges(drawing: Drawing, seen: Float64, pixel: float) -> list[_Edge]:
    """Lines along x, y and z that touch what is seen, as (n, 2) places in the picture."""
    depth, rows, cols = _drawn_shape(drawing)
    box = (
        (2, (0, rows, cols), (0, rows, 0), (0.5, -0.866), 30),
        (1, (0, 0, cols), (0, rows, cols), (-0.5, -0.866), -30),
        (0, (0, 0, cols), (depth, 0, cols), (-1, 0), 90),
    )
    edges = [
        _Edge(number, np.array([project(first), project(last)]), np.array(outward), turn)
        for number, first, last, outward, turn in box
    ]
    gaps = [(edge.ends @ edge.outward).mean() - (seen @ edge.outward).max(initial=-np.inf) for edge in edges]
    lift = min(gaps[:2]) / 0.866  # one for both, so that they do not cross
    for edge, gap, inward in zip(edges, (lift, lift, gaps[2]), ((0, 1), (0, 1), (1, 0)), strict=True):
        if pixel < gap < np.inf:
            edge.ends[:] += np.multiply(inward, gap)
    return edges


def _find_extent(
    seen: NDArray[np.intp], edges: list[_Edge], frame: tuple[float, float, float, float], scale: float
) -> NDArray[np.intp]:
    """First and last row and column of the pixels that are seen and of the edges, (2, 2)."""
    left, _, _, top = frame
    ends = np.concatenate([edge.ends for edge in edges])
    lines = np.stack([(top - ends[:, 1]) * scale, (ends[:, 0] - left) * scale], axis=1)
    corners = np.concatenate([np.round(lines).astype(np.intp), seen, seen + 1])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _label_edges(axis: Axes, drawing: Drawing, edges: list[_Edge], room: float) -> None:
    """Write beside three edges how long they are."""
    for number, ends, outward, turn in edges:
        axis.plot(*(ends + outward * 0.25 * room).T, color=PALE, lw=0.8, solid_capstyle="butt")
        across, up = ends.mean(axis=0) + outward * 0.6 * room
        text = f"{drawing.axes[number]}  {drawing.length_text(drawing.shape[number])}"
        axis.text(across, up, text, rotation=turn, ha="center", va="center", fontsize=8, color=INK)


def _show_slice(sheet: _Sheet, drawing: Drawing, number: int, image: Image, corner: tuple[int, int]) -> None:
    left, top = corner
    rows, cols = image.shape[:2]
    sheet.place((left, top + TITLE, cols, rows)).imshow(image, interpolation="nearest", aspect="auto")
    name, directions = SLICE_AXES[number]
    place = drawing.length_text(drawing.values.shape[number] // 2 * drawing.stride)
    down = 1 - (top + 0.75 * TITLE) / sheet.height
    sheet.figure.text(left / sheet.width, down, f"{name} = {place}    {directions}", fontsize=7, color=INK)


def _write_foot(sheet: _Sheet, drawing: Drawing, zoom: float, left: int) -> None:
    """Write what is shown, and the scale of the slices."""
    voxel = 1.0 if drawing.voxel_um is None else drawing.voxel_um
    length = nice_length(BAR_PIXELS / zoom * drawing.stride * voxel)
    pixels = length / voxel / drawing.stride * zoom
    top = sheet.height - _foot(drawing)
    bar = sheet.place((left, top, sheet.width - left, FOOT))
    bar.set(xlim=(0, sheet.width - left), ylim=(FOOT, 0))
    bar.plot([0, pixels], [22, 22], color=INK, lw=3, solid_capstyle="butt")
    bar.text(pixels + 8, 22, drawing.length_text(length / voxel), va="center_baseline", fontsize=8, color=INK)
    sheet.figure.text(MARGIN / sheet.width, 20 / sheet.height, _describe(drawing), fontsize=8, color=INK)
    beside = MARGIN if left > MARGIN else sheet.width // 2
    if not drawing.of_grains:
        _draw_colour_bar(sheet, drawing, (beside, top + 22))
    elif drawing.grain_colours is not None:
        drawing.grain_colours.draw_key(sheet.figure, sheet.place((beside, top + 6, 200, KEY)))


def _foot(drawing: Drawing) -> int:
    """Height of the foot in pixels."""
    if not drawing.of_grains:
        return FOOT + BAR
    return FOOT if drawing.grain_colours is None else FOOT + KEY - 20


def _draw_colour_bar(sheet: _Sheet, drawing: Drawing, corner: tuple[int, int]) -> None:
    low, high = drawing.limits
    box = sheet.place((*corner, 200, 12))
    box.imshow(drawing.colour(np.linspace(low, high, 200, dtype=np.float32)[None]), aspect="auto")
    for at, value, side in ((0, low, "left"), (1, high, "right")):
        box.text(at, 1.4, f"{value:,.4g}", transform=box.transAxes, ha=side, fontsize=7, color=INK)


def _describe(drawing: Drawing) -> str:
    said = [drawing.name, " × ".join(f"{side:,}" for side in drawing.shape) + " voxels (z, y, x)"]
    if drawing.voxel_um is not None:
        said.append(f"voxel {drawing.voxel_um:g} µm")
    if drawing.of_grains and drawing.stride == 1:
        count = int(np.count_nonzero(np.unique(drawing.values) >= 0))
        said.append(f"{count:,} grain{'s' * (count != 1)}")
    if not drawing.of_grains:
        said.append("colours from the 1st to the 99th percentile")
    if drawing.stride > 1:
        said.append(f"one voxel in {drawing.stride} along each axis is drawn")
    return "  ·  ".join(said)
