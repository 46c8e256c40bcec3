"""Curves of a training run as a picture."""

from __future__ import annotations

import csv
from pathlib import Path


def draw_loss(metrics: Path, out: Path) -> None:
    """Draw loss, KL divergence and held-out R² over the steps.

    Parameters
    ----------
    metrics
        The run's ``metrics.csv``.
    out
        The .png to make.
    """
    from matplotlib.figure import Figure

    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [float(row["step"]) for row in rows]
    figure = Figure((9, 2.8), layout="constrained")
    panels = (
        ("l2_per_pixel", "squared error per pixel"),
        ("kl", "KL divergence"),
        ("held_out_r2", "held-out R²"),
    )
    for axis, (name, title) in zip(figure.subplots(1, 3), panels, strict=True):
        axis.plot(steps, [float(row[name]) for row in rows], color="tab:blue", lw=1)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    if min(float(row["held_out_r2"]) for row in rows) < 0:
        figure.axes[2].set_ylim(bottom=0)
    figure.savefig(out, dpi=150)
