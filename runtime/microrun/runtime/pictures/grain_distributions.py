"""Histograms of what was measured of grains, a reference beside them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.volumes.compare import bin_edges
from microrun.runtime.volumes.tables import titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN, REFERENCE = "tab:blue", "tab:orange"
CLOUD = 4000  # points of a scatter plot; more hide each other


class Sample(NamedTuple):
    """Grains to draw: what they are called, and their measures, from `collect_measures`."""

    name: str
    values: Mapping[str, Float64]


def draw_distributions(
    own: Sample, reference: Sample | None, in_um: bool = True, verdicts: Mapping[str, str] = MappingProxyType({})
) -> Figure:
    """Draw the distribution of every measure, and the plane of aspect ratios, as GrainPaint's figures 9-16 do.

    Parameters
    ----------
    own, reference
        What to draw; without a reference it is left out.
    in_um
        Whether lengths are in µm, or count voxels.
    verdicts
        What stands above a panel, by measure.
    """
    from matplotlib.figure import Figure

    figure = Figure((9.6, 8.6), layout="constrained")
    axes = figure.subplots(3, 3).ravel()
    samples = [(own, OWN)] + ([] if reference is None else [(reference, REFERENCE)])
    for axis, (name, title) in zip(axes, titles(in_um).items(), strict=False):
        _draw_histograms(axis, name, samples)
        axis.set_xlabel(title, fontsize=9)
        axis.set_title(verdicts.get(name, "").partition(",")[0], fontsize=8, color="dimgrey", loc="left")
    _draw_plane(axes[-1], samples)
    for axis in axes[::3]:
        axis.set_ylabel("share of the grains", fontsize=9)
    for axis in axes:
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", fontsize=9, frameon=False)
    return figure


def _draw_histograms(axis: Axes, name: str, samples: list[tuple[Sample, str]]) -> None:
    filled = [(sample.name, sample.values[name], colour) for sample, colour in samples if sample.values[name].size]
    if not filled:
        axis.text(0.5, 0.5, "no grain has one", transform=axis.transAxes, ha="center", fontsize=9, color="dimgrey")
        axis.set(xticks=[], yticks=[])
        return
    edges = bin_edges(name, filled[0][1], filled[-1][1])
    for label, values, colour in filled:
        share = np.histogram(values, edges)[0] / values.size
        grains = f"{values.size:,} grain{'s' * (values.size != 1)}"
        axis.stairs(share, edges, color=colour, lw=1.5, label=f"{label}: {grains}, median dashed")
        axis.stairs(share, edges, color=colour, alpha=0.2, fill=True)
        axis.axvline(np.median(values), color=colour, lw=1, ls="--")
    if name == "volume_um3":
        axis.set_xscale("log")
    axis.set_ylim(bottom=0)


def _draw_plane(axis: Axes, samples: list[tuple[Sample, str]]) -> None:
    for sample, colour in reversed(samples):
        every = max(1, -(-len(sample.values["b_over_a"]) // CLOUD))
        points = sample.values["b_over_a"][::every], sample.values["c_over_a"][::every]
        axis.scatter(*points, s=4, color=colour, alpha=0.4, lw=0)
    axis.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set_xlabel("b/a", fontsize=9)
    axis.set_ylabel("c/a", fontsize=9)
