"""Sections of printed metal: representative ones, process maps, histograms, and what power and speed change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.pictures.map_frame import nice_length
from microrun.runtime.pictures.part_sections import draw_colour_key
from microrun.runtime.sections.distributions import Estimate, count_in_bins, draw_groups
from microrun.runtime.sections.measures import MEASURES
from microrun.runtime.sections.orientations import paint_orientations
from microrun.runtime.sections.report import Condition, ConditionReport, Measured, Report
from microrun.runtime.sections.section_set import SectionSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN, REFERENCE = "tab:blue", "tab:orange"
MOST_COLUMNS = 8  # conditions in one picture; of more, some that are spread evenly are shown
PANEL = 1.9  # inches
MARGINS = (0.35, 1.5, 0.35, 0.4)  # inches: left, right with the colour key, below, above
THUMBNAIL = 0.15  # of the plane of speed and power, the side of a section in it
SHOWN = 0.99  # of the values lie within a histogram's bins


def draw_representatives(report: Report) -> Figure:
    """Draw the section of each condition whose descriptors are nearest to the mean, the reference's below.

    Parameters
    ----------
    report
        Of any number of conditions; eight at most are shown.
    """
    sides = [side for side in (report.own, report.reference) if side is not None]
    wanted = [set(side.conditions()) for side in sides]
    conditions = _spread(sorted(set.intersection(*wanted)), MOST_COLUMNS)
    figure, axes = _make_grid(len(sides), len(conditions))
    for row, side in zip(axes, sides, strict=True):
        at = side.conditions()
        for axis, condition in zip(row, conditions, strict=True):
            show_section(axis, side.sections, nearest_to_mean(side, at[condition]))
            if row is axes[0]:
                axis.set_title(str(condition), fontsize=8)
        row[0].set_ylabel(_name(report, side), fontsize=8)
    add_scale(axes[-1][0], report.own.sections)
    _add_key(axes)
    return figure


def draw_process_map(sections: SectionSet) -> Figure:
    """Draw one section of each power and speed: power upwards, speed to the right.

    Of a single condition, its first sections side by side.

    Parameters
    ----------
    sections
        A set; each condition shows its first section.
    """
    pairs = np.stack([sections.power_w, sections.speed_m_s], axis=1).round(5)
    conditions, first = np.unique(pairs, axis=0, return_index=True)
    powers, speeds = np.unique(conditions[:, 0]), np.unique(conditions[:, 1])
    if len(conditions) == 1:
        return _draw_row(sections)
    if len(conditions) * 2 < len(powers) * len(speeds):
        return _draw_scattered(sections, conditions, first)
    figure, axes = _make_grid(len(powers), len(speeds))
    for (power, speed), number in zip(conditions, first, strict=True):
        axis = axes[len(powers) - 1 - int(np.searchsorted(powers, power))][int(np.searchsorted(speeds, speed))]
        show_section(axis, sections, int(number))
    for row, power in zip(axes[::-1], powers, strict=True):
        row[0].set_ylabel(f"{power:g} W", fontsize=9)
    for axis, speed in zip(axes[-1], speeds, strict=True):
        axis.set_xlabel(f"{speed:g} m/s", fontsize=9)
    add_scale(next(axis for row in axes for axis in row if axis.images), sections)
    _add_key(axes)
    return figure


def _draw_row(sections: SectionSet) -> Figure:
    figure, axes = _make_grid(1, min(len(sections), MOST_COLUMNS))
    for number, axis in enumerate(axes[0]):
        show_section(axis, sections, number)
    figure.suptitle(f"{sections.power_w[0]:g} W, {sections.speed_m_s[0]:g} m/s", fontsize=9)
    add_scale(axes[0][0], sections)
    _add_key(axes)
    return figure


def _draw_scattered(sections: SectionSet, conditions: Float64, first: NDArray[np.int64]) -> Figure:
    """Sections at their places in the plane of speed and power; those that would hide another are points."""
    from matplotlib.figure import Figure

    figure = Figure((9.5, 8))
    plane = figure.add_axes((0.08, 0.08, 0.72, 0.88))
    low, high = conditions.min(axis=0), conditions.max(axis=0)
    margin = 0.12 * np.maximum(high - low, 1e-6)
    plane.set(xlim=(low[1] - margin[1], high[1] + margin[1]), ylim=(low[0] - margin[0], high[0] + margin[0]))
    plane.set(xlabel="speed, m/s", ylabel="power, W")
    plane.plot(conditions[:, 1], conditions[:, 0], "k.", ms=4)
    shown: list[Float64] = []
    for condition, number in zip(conditions, first, strict=True):
        place = (condition[::-1] - (low - margin)[::-1]) / ((high - low) + 2 * margin)[::-1]
        if all(np.abs(place - other).max() > THUMBNAIL for other in shown):
            shown.append(place)
            axis = plane.inset_axes((*(place - THUMBNAIL / 2), THUMBNAIL * 0.98, THUMBNAIL * 0.98))
            show_section(axis, sections, int(number))
            if len(shown) == 1:
                add_scale(axis, sections)
    left_out = len(conditions) - len(shown)
    if left_out:
        plane.set_title(f"{left_out} of {len(conditions)} conditions, too near to another, are points", fontsize=9)
    draw_colour_key(figure.add_axes((0.83, 0.7, 0.15, 0.2)))
    return figure


def draw_section_histograms(report: Report) -> Figure:
    """Draw counts a section of every measure, with intervals of sections drawn anew; bins compared are shaded.

    Parameters
    ----------
    report
        Without a reference its own counts are all.
    """
    from matplotlib.figure import Figure

    figure = Figure((11, 6.4), layout="constrained")
    sides = [(report.own, OWN), *([(report.reference, REFERENCE)] if report.reference is not None else [])]
    for axis, (name, measure) in zip(figure.subplots(2, 2).ravel(), MEASURES.items(), strict=True):
        parts = [(side.side(name, report.shared(side)), side, colour) for side, colour in sides]
        most = max(float(np.quantile(part.sample.values, SHOWN)) for part, _, _ in parts)
        bins = max(measure.compared, math.ceil((most - measure.first_edge) / measure.bin_width))
        edges = measure.first_edge + measure.bin_width * np.arange(bins + 1)
        axis.axvspan(edges[0], edges[measure.compared], color="0.95", lw=0)
        for shift, (part, side, colour) in zip((-0.2, 0.2) if len(parts) > 1 else (0.0,), parts, strict=True):
            counts = count_in_bins(part.sample, measure, (len(part.groups), bins))
            drawn = draw_groups(part.groups, np.random.default_rng(0))
            low, high = np.quantile(drawn @ counts / drawn.sum(axis=1, keepdims=True), (0.025, 0.975), axis=0)
            mean, middle = counts.mean(axis=0), edges[:-1] + measure.bin_width * (0.5 + shift)
            width = measure.bin_width * (0.4 if len(parts) > 1 else 0.8)
            label = f"{_name(report, side)} ({len(part.groups):,})"
            error = np.maximum([mean - low, high - mean], 0)
            axis.bar(middle, mean, width, yerr=error, color=colour, ecolor="0.3", error_kw={"lw": 0.8}, label=label)
        axis.set(xlim=(edges[0], edges[-1]), xlabel=measure.title, ylabel="count a section")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure


def draw_trends(report: Report) -> Figure:
    """Draw means, lean and pool depth against speed, a line for each power.

    Parameters
    ----------
    report
        Of two conditions or more.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    quantities = [(measure.title, partial(_mean_of, name)) for name, measure in MEASURES.items()]
    quantities += [("lean, °", partial(_mean_of, "lean")), ("columnar to, µm", partial(_mean_of, "depth"))]
    drawn = [each for each in quantities if any(_is_known(each[1](one)) for one in report.conditions)]
    columns = 2 if len(drawn) == 4 else 3
    rows = math.ceil(len(drawn) / columns)
    figure = Figure((3.6 * columns + 1.2, 2.8 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    powers = sorted({one.condition.power_w for one in report.conditions})
    norm = Normalize(powers[0] - 1, powers[-1] + 1)
    for axis, (title, quantity) in zip(axes, drawn, strict=False):
        for power in powers:
            same = [one for one in report.conditions if one.condition.power_w == power]
            _draw_line(axis, same, quantity, colormaps["viridis"](norm(power)))
        axis.set(xlabel="speed, m/s", ylabel=title)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    for axis in axes[len(drawn) :]:
        axis.set_axis_off()
    figure.colorbar(ScalarMappable(norm, "viridis"), ax=list(axes), label="power, W", shrink=0.7)
    return figure


def nearest_to_mean(measured: Measured, chosen: NDArray[np.int64]) -> int:
    """Number of the section that is most like the mean of some.

    Parameters
    ----------
    measured
        All sections.
    chosen
        Numbers of those that count.
    """
    descriptors = measured.descriptors[chosen]
    spread = np.maximum(descriptors.std(axis=0), 1e-9)
    return int(chosen[(((descriptors - descriptors.mean(axis=0)) / spread) ** 2).sum(axis=1).argmin()])


def show_section(axis: Axes, sections: SectionSet, number: int) -> None:
    """Show a section in IPF-Z colours, at its true proportions.

    Parameters
    ----------
    axis
        Where.
    sections, number
        Which.
    """
    rows, cols = sections.orientation.shape[1:]
    picture = paint_orientations(sections.orientation[number], sections.euler)
    extent = (0, cols * sections.step_um, rows * sections.step_um, 0)
    axis.imshow(picture, extent=extent, interpolation="nearest")
    axis.set(xticks=[], yticks=[])


def add_scale(axis: Axes, sections: SectionSet) -> None:
    """Put a bar of a round length into the lower left corner.

    Parameters
    ----------
    axis
        With a section.
    sections
        Whose size it has.
    """
    rows, cols = (size * sections.step_um for size in sections.orientation.shape[1:])
    length = nice_length(cols / 3)
    axis.add_patch(_rectangle((0.03 * cols, 0.84 * rows), length + 0.04 * cols, 0.13 * rows, "white", 0.8))
    axis.plot([0.05 * cols, 0.05 * cols + length], [0.94 * rows] * 2, color="black", lw=2, solid_capstyle="butt")
    middle = 0.05 * cols + length / 2
    axis.text(middle, 0.925 * rows, f"{length:g} µm", ha="center", va="bottom", fontsize=6.5)


def _rectangle(corner: tuple[float, float], width: float, height: float, colour: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, color=colour, alpha=alpha, lw=0)


def _make_grid(rows: int, columns: int) -> tuple[Figure, Sequence[Sequence[Axes]]]:
    from matplotlib.figure import Figure

    left, right, below, above = MARGINS
    wide, high = PANEL * columns + left + right, PANEL * rows + below + above
    figure = Figure((wide, high))
    place = {"left": left / wide, "right": 1 - right / wide, "bottom": below / high, "top": 1 - above / high}
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=place | {"wspace": 0.05, "hspace": 0.05})
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, axes.tolist()


def _add_key(axes: Sequence[Sequence[Axes]]) -> None:
    """Colours of directions along the build direction, beside the grid."""
    last = axes[0][-1]
    draw_colour_key(last.inset_axes((1.1, 0.2, 0.6, 0.6)))


def _name(report: Report, side: Measured) -> str:
    return f"{'sections' if side is report.own else 'reference'}: {side.sections.origin}"


def _spread(conditions: Sequence[Condition], most: int) -> Sequence[Condition]:
    if len(conditions) <= most:
        return conditions
    return [conditions[round(at)] for at in np.linspace(0, len(conditions) - 1, most)]


def _mean_of(name: str, one: ConditionReport) -> Estimate | None:
    if name == "lean":
        return None if one.leaning is None else one.leaning.angle
    return one.depth if name == "depth" else one.means[name]


def _is_known(number: Estimate | None) -> bool:
    return number is not None and math.isfinite(number.value)


def _draw_line(
    axis: Axes, reports: Sequence[ConditionReport], quantity: Callable[[ConditionReport], Estimate | None], colour: Any
) -> None:
    known = [(one.condition, number) for one in reports if (number := quantity(one)) is not None and _is_known(number)]
    if not known:
        return
    speeds = [condition.speed_m_s for condition, _ in known]
    values = np.array([number.value for _, number in known])
    bounds = np.array([[number.low, number.high] for _, number in known]).T
    error = np.nan_to_num(np.maximum([values - bounds[0], bounds[1] - values], 0))
    axis.errorbar(speeds, values, error, fmt="o-", color=colour, ms=4, lw=1, capsize=2)
