"""What was measured of sections as tables: for people, as CSV, as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from microrun.runtime.sections.distributions import Compared, Estimate, count_in_bins
from microrun.runtime.sections.measures import MEASURES, Measure
from microrun.runtime.sections.report import ConditionReport, Measured, Report

SCORES = {"mae": "mean absolute error of counts a section", "mape": "MAPE, %", "wasserstein": "Wasserstein distance"}
TITLES = ("", "mean", "reference", "MAE", "MAPE, %", "by chance", "Wasserstein", "by chance")
KID = "KID on physics descriptors"
ALL = "all conditions in common"


class Line(NamedTuple):
    """One number: of which condition, what it is, its interval, and what chance makes of it (NaN: not known)."""

    condition: str
    measure: str
    quantity: str
    number: Estimate
    chance: float = math.nan


def overall_rows(report: Report) -> list[tuple[str, ...]]:
    """Cells of the table under `TITLES`: each measure beside the reference, means over conditions."""
    rows: list[tuple[str, ...]] = []
    for name, compared in report.overall.items():
        scores = [compared.estimate(score) for score in SCORES]
        rows.append(
            (
                MEASURES[name].short,
                with_half_width(compared.estimate("mean")),
                with_half_width(compared.estimate("reference_mean")),
                with_half_width(scores[0]),
                in_words(scores[1]),
                _short(compared.chance("mape"), 3),
                with_half_width(scores[2]),
                _short(compared.chance("wasserstein"), 3),
            )
        )
    return rows


def condition_rows(report: Report) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Titles and cells of the table of conditions: means, lean, and depth of the columnar grains."""
    titles = ["", "sections", "cases", *(measure.short for measure in MEASURES.values()), "lean, °", "columnar to, µm"]
    rows = []
    for one in report.conditions:
        cells = [str(one.condition), str(one.sections), str(one.cases)]
        cells += [with_half_width(one.means[name]) for name in MEASURES]
        cells.append("not known" if one.leaning is None else with_half_width(one.leaning.angle))
        rows.append((*cells, with_half_width(one.depth)))
    return tuple(titles), rows


def with_half_width(number: Estimate) -> str:
    """A number of three digits with half its interval."""
    if math.isnan(number.value):
        return "not found"
    half = (number.high - number.low) / 2
    return _short(number.value, 3) + ("" if math.isnan(half) else f" ± {_short(half, 2)}")


def _short(value: float, digits: int) -> str:
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def in_words(number: Estimate) -> str:
    """A number with its interval, three digits."""
    if math.isnan(number.value):
        return "not found"
    value, low, high = (_short(each, 3) for each in (number.value, number.low, number.high))
    return value if math.isnan(number.low) else f"{value} [{low}, {high}]"


def to_csv(report: Report) -> str:
    """All numbers as CSV, one a line: condition, measure, quantity, value, low, high, by_chance."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["condition", "measure", "quantity", "value", "low", "high", "by_chance"])
    for line in _lines(report):
        numbers = (line.number.value, line.number.low, line.number.high, line.chance)
        writer.writerow([*line[:3], *("" if math.isnan(number) else f"{number:.8g}" for number in numbers)])
    return text.getvalue()


def to_json(report: Report, about: Mapping[str, object]) -> str:
    """All numbers and histograms as JSON; what is not known is null.

    Parameters
    ----------
    report
        What was measured.
    about
        What stands beside it, such as files.
    """
    numbers = [
        {
            **dict(zip(Line._fields[:3], line[:3], strict=True)),
            "value": _known(line.number.value),
            "interval": [_known(line.number.low), _known(line.number.high)],
            "by_chance": _known(line.chance),
        }
        for line in _lines(report)
    ]
    sides = {"sections": report.own, "reference": report.reference}
    histograms = {
        name: {
            "bins_from": measure.first_edge,
            "bin_width": measure.bin_width,
            "bins_compared": measure.compared,
            **{side: _histogram(report, one, name, measure) for side, one in sides.items() if one is not None},
        }
        for name, measure in MEASURES.items()
    }
    whole = {**about, "numbers": numbers, "histograms_a_section": histograms}
    return json.dumps(whole, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _lines(report: Report) -> Iterator[Line]:
    for name, compared in report.overall.items():
        yield from _score_lines(ALL, name, compared)
    if report.distance is not None:
        yield Line(
            ALL, "descriptors", "KID on physics descriptors", _alone(report.distance.value), report.distance.floor
        )
    for one in report.conditions:
        yield from _condition_lines(one)


def _condition_lines(one: ConditionReport) -> Iterator[Line]:
    condition = str(one.condition)
    for name, mean in one.means.items():
        yield Line(condition, name, "mean", mean)
        if name in one.compared:
            yield from _score_lines(condition, name, one.compared[name], with_mean=False)
    if one.leaning is not None:
        yield Line(condition, "lean_deg", "angle from the build direction", one.leaning.angle)
        yield Line(condition, "lean_deg", "coherence", _alone(one.leaning.coherence))
    yield Line(condition, "columnar_depth_um", "depth below the top", one.depth)
    if one.distance is not None:
        yield Line(condition, "descriptors", KID, _alone(one.distance.value), one.distance.floor)


def _score_lines(condition: str, name: str, compared: Compared, with_mean: bool = True) -> Iterator[Line]:
    if with_mean:
        yield Line(condition, name, "mean", compared.estimate("mean"))
    yield Line(condition, name, "mean of the reference", compared.estimate("reference_mean"))
    for score, title in SCORES.items():
        yield Line(condition, name, title, compared.estimate(score), compared.chance(score))
    yield Line(condition, name, "bins without any of the reference", _alone(compared.empty_bins))


def _histogram(report: Report, measured: Measured, name: str, measure: Measure) -> list[float]:
    side = measured.side(name, report.shared(measured))
    bins = int((side.sample.values.max() - measure.first_edge) / measure.bin_width) + 2
    counts = count_in_bins(side.sample, measure, (len(side.groups), bins)).mean(axis=0)
    return [float(count) for count in counts.round(6)]


def _alone(value: float) -> Estimate:
    return Estimate(float(value), math.nan, math.nan)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
