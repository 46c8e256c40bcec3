"""Grain statistics for people: tables, and the distributions beside those of a reference."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from microrun.runtime.grains import Comparison, Float64, Grains, bin_edges

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "volume_um3": "grain volume, µm³",
    "diameter_um": "equivalent diameter, µm",
    "b_over_a": "aspect ratio b/a",
    "c_over_a": "aspect ratio c/a",
    "c_over_b": "aspect ratio c/b",
    "nearest_um": "nearest centroid, µm",
    "neighbours": "neighbours",
}
OWN, REFERENCE = "tab:blue", "tab:orange"
COMPARED = ("reference median", "reference mean", "KL", "KL by chance", "Wasserstein")
CLOUD = 4000  # points of a scatter plot; more hide each other


def titles(in_um: bool) -> dict[str, str]:
    """What the measures are called, with their units: µm, or voxels where the edge of one is not known."""
    if in_um:
        return TITLES
    return {name: title.replace("µm³", "µm").replace("µm", "voxels") for name, title in TITLES.items()}


def to_csv(measured: Mapping[str, Grains]) -> str:
    """One line a grain; lengths in µm."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    plain = ["grain_id", *TITLES, "surface_um2", "touches_boundary"]
    vectors = ["z_um", "y_um", "x_um", "a_um", "b_um", "c_um"]
    writer.writerow(["volume", *plain, *vectors])
    for name, grains in measured.items():
        columns = [getattr(grains, column) for column in plain[:-1]] + [grains.touches_boundary.astype(int)]
        columns += [*grains.centroid_um.T, *grains.semi_axes_um.T]
        for row in zip(*columns, strict=True):
            writer.writerow([name, *(f"{value:.10g}" for value in row)])
    return text.getvalue()


def to_markdown(rows: Sequence[Comparison], in_um: bool) -> str:
    """A table of medians, means and distances from the reference, where there is one."""
    compared = rows[0].kl is not None
    headings = ("", "median", "mean", *(COMPARED if compared else ()))
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    for row in rows:
        cells = [titles(in_um)[row.measure], *to_cells(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def to_cells(row: Comparison) -> list[str]:
    """The numbers of a row that are known, for people."""
    return [f"{value:.4g}" for value in dataclasses.astuple(row)[1:] if value is not None]


def to_json(rows: Sequence[Comparison], about: Mapping[str, object]) -> str:
    """All numbers, and what they were measured on; what is not known is null."""
    measures = [dataclasses.asdict(row) for row in rows]
    return json.dumps({**about, "measures": measures}, indent=1, allow_nan=False) + "\n"


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
