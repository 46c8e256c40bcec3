"""Curves of a training run as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from microrun.runtime.files.output import write_whole

VAE_PANELS = {
    "l2_per_pixel": "squared error per pixel",
    "kl": "KL divergence",
    "contrastive": "NT-Xent",
    "held_out_r2": "held-out R²",
}
DISTIL_PANELS = {"loss": "loss", "latent_error": "latents differ, of their spread"}
TRANSLATE_PANELS = {**DISTIL_PANELS, "held_out_r2": "held-out R² of the bands"}
DENOISER_PANELS = {"loss": "loss", "held_out_loss": "held out, averaged weights"}


def draw_loss(metrics: Path, out: Path, panels: Mapping[str, str] = VAE_PANELS) -> None:
    """Draw what a run's table holds over the steps.

    Parameters
    ----------
    metrics
        The run's ``metrics.csv``.
    out
        The .png to make.
    panels
        Titles by column; a column of zeros is left out.
    """
    from matplotlib.figure import Figure

    with metrics.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [float(row["step"]) for row in rows]
    values = {name: [float(row[name]) for row in rows] for name in panels}
    shown = {name: title for name, title in panels.items() if any(values[name])} or panels
    point = "o" if len(rows) == 1 else ""  # no line goes through a single report
    figure = Figure((3 * len(shown), 2.8), layout="constrained")
    for axis, (name, title) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True):
        axis.plot(steps, values[name], color="tab:blue", lw=1, marker=point)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        if name == "held_out_r2" and min(values[name]) < 0 < max(values[name]):
            axis.set_ylim(bottom=0)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    write_whole(out, picture.getvalue())
