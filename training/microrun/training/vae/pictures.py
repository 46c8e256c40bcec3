"""Reconstructions of a training run as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.files.output import write_whole

Float32 = NDArray[np.float32]


def draw_reconstructions(patterns: Float32, reconstructed: Float32, pixel_keep: NDArray[np.bool_], out: Path) -> None:
    """Draw the best, the median and the worst of some reconstructions, by R².

    Parameters
    ----------
    patterns, reconstructed
        (n, H, W), prepared patterns and what a model makes of them.
    pixel_keep
        (H, W) bool, True inside the mask.
    out
        The .png to make.
    """
    from matplotlib.figure import Figure

    r2 = pattern_r2(patterns, reconstructed, pixel_keep)
    order = np.argsort(r2)
    chosen = {"best": order[-1], "median": order[len(order) // 2], "worst": order[0]}
    errors = (reconstructed - patterns)[list(chosen.values())][:, pixel_keep]
    limit = float(np.quantile(np.abs(errors), 0.995))
    figure = Figure((6.6, 6.4), layout="constrained")
    axes = figure.subplots(3, 3)
    for row, (name, number) in zip(axes, chosen.items(), strict=True):
        pattern, image = patterns[number], reconstructed[number]
        shown = _show(row[0], pattern, pixel_keep, 1.0)
        _show(row[1], image, pixel_keep, 1.0)
        difference = _show(row[2], image - pattern, pixel_keep, limit)
        row[0].set_ylabel(f"{name}\nR² = {r2[number]:.3f}", fontsize=10)
    for axis, title in zip(axes[0], ("held-out pattern", "reconstruction", "reconstruction − pattern"), strict=True):
        axis.set_title(title, fontsize=10)
    for image, columns in ((shown, axes[:, :2]), (difference, axes[:, 2])):
        bar = figure.colorbar(image, ax=columns, location="bottom", shrink=0.9, aspect=30, pad=0.02)
        bar.ax.tick_params(labelsize=8)
        bar.ax.locator_params(nbins=5)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    write_whole(out, picture.getvalue())


def pattern_r2(patterns: Float32, reconstructed: Float32, pixel_keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each pattern's own variance that its reconstruction explains.

    The held-out R² of a report is about the mean pattern; here that would favour patterns of unusual brightness.

    Parameters
    ----------
    patterns, reconstructed
        (n, H, W).
    pixel_keep
        (H, W) bool.

    Returns
    -------
    (n,) float64
        1 is perfect; 0 is as good as the pattern's mean.
    """
    inside = patterns[:, pixel_keep].astype(np.float64)
    error = np.square(reconstructed[:, pixel_keep] - inside).sum(axis=1)
    spread = np.square(inside - inside.mean(axis=1, keepdims=True)).sum(axis=1)
    r2: NDArray[np.float64] = 1 - error / spread
    return r2


def _show(axis: Any, image: Float32, pixel_keep: NDArray[np.bool_], limit: float) -> Any:
    axis.set(xticks=[], yticks=[], frame_on=False)
    masked = np.where(pixel_keep, image, np.nan)
    return axis.imshow(masked, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest")
