"""Histograms of what was measured of grains, a reference beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.volumes.compare import bin_edges
from microrun.runtime.volumes.tables import titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN, REFERENCE = "tab:blue", "tab:orange"
CLOUD = 4000  # points of a scatter plot; more hide each other


def draw_distributions(
    values: Mapping[str, Float64], reference: Mapping[str, Float64] | None, in_um: bool = True
) -> Figure:
    """Draw the distribution of every measure, and the plane of aspect ratios, as GrainPaint's figures 9-16 do.

    Parameters
    ----------
    values, reference
        From `collect_measures`; without a reference it is left out.
    in_um
        Whether lengths are in µm, or count voxels.
    """
    from matplotlib.figure import Figure

    figure = Figure((13, 6.2), layout="constrained")
    axes = figure.subplots(2, 4).ravel()
    for axis, (name, title) in zip(axes, titles(in_um).items(), strict=False):
        _draw_histograms(axis, name, values[name], None if reference is None else reference[name])
        axis.set_xlabel(title, fontsize=9)
    _draw_plane(axes[-1], values, reference)
    for axis in axes[::4]:
        axis.set_ylabel("share of the grains", fontsize=9)
    for axis in axes:
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9, frameon=False)
    return figure


def _draw_histograms(axis: Axes, name: str, values: Float64, reference: Float64 | None) -> None:
    theirs = np.empty(0) if reference is None else reference
    if not values.size + theirs.size:
        return
    edges = bin_edges(name, values, theirs)
    for sample, colour, label in ((values, OWN, "grains"), (theirs, REFERENCE, "reference")):
        if sample.size:
            share = np.histogram(sample, edges)[0] / sample.size
            axis.stairs(share, edges, color=colour, lw=1.5, label=f"{label} ({sample.size:,}), median dashed")
            axis.stairs(share, edges, color=colour, alpha=0.2, fill=True)
            axis.axvline(np.median(sample), color=colour, lw=1, ls="--")
    if name == "volume_um3":
        axis.set_xscale("log")
    axis.set_ylim(bottom=0)


def _draw_plane(axis: Axes, values: Mapping[str, Float64], reference: Mapping[str, Float64] | None) -> None:
    for sample, colour in ((reference, REFERENCE), (values, OWN)):
        if sample is not None:
            every = -(-len(sample["b_over_a"]) // CLOUD)
            points = sample["b_over_a"][::every], sample["c_over_a"][::every]
            axis.scatter(*points, s=4, color=colour, alpha=0.4, lw=0)
    axis.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set_xlabel("b/a", fontsize=9)
    axis.set_ylabel("c/a", fontsize=9)
