"""Patterns, what models make of them, and the differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.maps.judge import Judged
from microrun.runtime.patterns.bands import band_correlation, smooth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("best", "median", "worst")
COLOURS = {"pattern": "gray", "difference": "RdBu_r"}
LABELS = {"pattern": "patterns, as prepared", "difference": "original less reconstruction"}


def draw_differences(judged: Judged, reconstructed: Mapping[str, Float32]) -> Figure:
    """Draw original, reconstruction and difference of the best, median and worst pattern (Fig. 8 of the paper).

    Parameters
    ----------
    judged
        The originals.
    reconstructed
        (n, H, W) float32 by the model's name; the first model chooses the patterns, by the
        correlation of their bands.
    """
    from matplotlib.figure import Figure

    first = next(iter(reconstructed.values()))
    keep = judged.pixel_keep
    order = np.argsort(-band_correlation(first, smooth(judged.patterns, keep), keep), kind="stable")
    chosen = dict(zip(SHOWN, order[[0, len(order) // 2, -1]], strict=True)) if len(order) > 2 else {"": order[0]}
    columns = 1 + 2 * len(reconstructed)
    figure = Figure((1.7 * columns + 1.2, 1.75 * len(chosen)), layout="constrained")
    grid = figure.subplots(len(chosen), columns, squeeze=False)
    outside = ~keep
    bars = {}
    for (label, number), axes in zip(chosen.items(), grid, strict=True):
        original = judged.patterns[number]
        panels = [("original", original)]
        for name, images in reconstructed.items():
            image = images[number]
            panels += [(name, image), ("difference", original - image)]
        for axis, (title, image) in zip(axes, panels, strict=True):
            shown = np.ma.masked_array(image, outside)
            kind = "difference" if title == "difference" else "pattern"
            bars[kind] = axis.imshow(shown, cmap=COLOURS[kind], vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[], title=title if axes[0] is grid[0, 0] else "", frame_on=False)
            axis.title.set_fontsize(9)
        axes[0].set_ylabel(label, fontsize=9)
    for kind, image in bars.items():
        bar = figure.colorbar(image, ax=grid, shrink=0.7, aspect=30, pad=0.01)
        bar.set_label(LABELS[kind], fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return figure
