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
    figure = Figure((1.7 * columns, 1.75 * len(chosen) + 0.2), layout="constrained")
    grid = figure.subplots(len(chosen), columns, squeeze=False)
    outside = ~keep
    for (label, number), axes in zip(chosen.items(), grid, strict=True):
        original = judged.patterns[number]
        panels = [("original", original)]
        for name, images in reconstructed.items():
            image = images[number]
            panels += [(name, image), ("difference", original - image)]
        for axis, (title, image) in zip(axes, panels, strict=True):
            axis.imshow(np.ma.masked_array(image, outside), cmap="gray", vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[], title=title if axes[0] is grid[0, 0] else "", frame_on=False)
            axis.title.set_fontsize(9)
        axes[0].set_ylabel(label, fontsize=9)
    figure.supxlabel("patterns and differences from −1 (black) to 1 (white)", fontsize=8)
    return figure
