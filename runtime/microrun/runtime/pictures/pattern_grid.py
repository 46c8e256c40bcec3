"""Patterns side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.pictures.panels import WHITE_POINTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def count_columns(count: int) -> int:
    """Columns of a grid about twice as wide as high, with as few empty places as can be.

    Parameters
    ----------
    count
        Patterns, 1 or more.
    """
    wide = math.ceil(math.sqrt(2 * count))
    some = range(max(1, wide - 1), min(count, wide + 2) + 1)
    return min(some, key=lambda columns: (-count % columns, abs(columns - wide)))


def draw_patterns(patterns: Float32, pixel_keep: NDArray[np.bool_], columns: int) -> Figure:
    """Draw patterns in rows, each from black to white between its 1st and 99th percentile, white outside the mask.

    Parameters
    ----------
    patterns
        (n, H, W) float32 in [−1, 1].
    pixel_keep
        (H, W) bool, True inside the mask.
    columns
        Patterns in a row.
    """
    from matplotlib.figure import Figure

    rows = -(-len(patterns) // columns)
    figure = Figure((1.3 * columns, 1.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, pattern in zip(axes, patterns, strict=False):
        low, high = np.percentile(pattern[pixel_keep], WHITE_POINTS)
        axis.imshow(np.ma.masked_array(pattern, ~pixel_keep), cmap="gray", vmin=low, vmax=high)
    return figure
