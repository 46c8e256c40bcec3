"""Grain statistics as tables: Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from microrun.runtime.volumes.compare import Comparison
from microrun.runtime.volumes.judge import Judgement, to_facts
from microrun.runtime.volumes.measure import Grains

TITLES = {
    "volume_um3": "grain volume, µm³",
    "diameter_um": "equivalent diameter, µm",
    "b_over_a": "aspect ratio b/a",
    "c_over_a": "aspect ratio c/a",
    "c_over_b": "aspect ratio c/b",
    "nearest_um": "nearest centroid, µm",
    "neighbours": "neighbours",
    "sphericity": "sphericity",
}
COLUMNS = ("median", "mean")
COMPARED = (
    "ref. median", "ref. mean", "KL", "chance", "Wasserstein", "chance", "KS", "chance",
)  # fmt: skip


class Section(NamedTuple):
    """A table under a title, and sentences below it.

    Parameters
    ----------
    title
        What the table is of.
    headings, cells
        A heading for each column, and the cells of each row; no cells where there is nothing to show.
    lines
        Sentences without a full stop.
    """

    title: str
    headings: list[str]
    cells: list[list[str]]
    lines: list[str]


def to_sections(judgement: Judgement, in_um: bool) -> list[Section]:
    """Everything that `microrun grains` says: interior grains with verdicts, voxels, rows and columns, all grains.

    Parameters
    ----------
    judgement
        What was compared.
    in_um
        Whether lengths are in µm, else in voxels.

    Returns
    -------
    list of Section
        In the order in which they are shown; rows and columns of printed metal only.
    """
    numbers = " beside ".join(f"{side.n_interior:,}" for side in judgement.sides)
    verdicts = [f"{titles(in_um)[measure].partition(',')[0]}: {said}" for measure, said in judgement.verdicts.items()]
    sections = [
        Section(f"Interior grains, {numbers}", *to_rows(judgement.interior, in_um), verdicts),
        Section("Voxels, before grains were absorbed here", *to_voxel_rows(judgement), []),
    ]
    if judgement.standing:
        title = "Rows and columns of printed metal, built along z in tracks along x"
        sections.append(Section(title, *to_standing_rows(judgement), []))
    return [*sections, Section("All grains, cut ones too", *to_rows(judgement.every, in_um), [])]


def titles(in_um: bool) -> dict[str, str]:
    """Titles of the measures with their units.

    Parameters
    ----------
    in_um
        Whether lengths are in µm; otherwise in voxels, whose edge is not known.

    Returns
    -------
    dict of str to str
        Titles by the names in `MEASURES`.
    """
    if in_um:
        return TITLES
    return {name: title.replace("µm³", "µm").replace("µm", "voxels") for name, title in TITLES.items()}


def to_csv(measured: Mapping[str, Grains]) -> str:
    """Table of all grains as CSV, one line a grain.

    Parameters
    ----------
    measured
        Grains by the names of their volumes.

    Returns
    -------
    str
        Lines with a header, whose names end in the unit; lengths in µm (or voxels, where their edge is not known), ten
        digits.
    """
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


def to_rows(rows: Sequence[Comparison], in_um: bool) -> tuple[list[str], list[list[str]]]:
    """Table of medians, means and distances from the reference, where there is one, of texts.

    Parameters
    ----------
    rows
        Comparisons.
    in_um
        Whether lengths are in µm, else in voxels.

    Returns
    -------
    headings, cells
        A heading for each column, and the cells of each row; numbers have four digits.
    """
    compared = any(row.kl is not None for row in rows)
    cells = [[titles(in_um)[row.measure], *_to_cells(row)] for row in rows]
    return ["", *COLUMNS, *(COMPARED if compared else ())], cells


def _to_cells(row: Comparison) -> list[str]:
    numbers = (
        row.median, row.mean, row.reference_median, row.reference_mean, row.kl, row.kl_by_chance,
        row.wasserstein, row.wasserstein_by_chance, row.ks, row.ks_by_chance,
    )  # fmt: skip
    return [f"{value:.4g}" for value in numbers if value is not None]


def to_voxel_rows(judgement: Judgement) -> tuple[list[str], list[list[str]]]:
    """Table of what is counted of voxels, of texts.

    Parameters
    ----------
    judgement
        What was compared.

    Returns
    -------
    headings, cells
        A column for the volume and one for the reference, if there is one; a row for specks, one for unstable voxels,
        and one for each stage of the tiling, if there are stages.
    """
    sides = judgement.sides
    cells = [
        ["voxels in specks", *(f"{side.tally.speck_share:.2%}" for side in sides)],
        ["specks", *(f"{side.tally.specks:,}" for side in sides)],
        ["unstable voxels", *(f"{side.tally.unstable_share:.2%}" if side.tally.surrounded else "–" for side in sides)],
    ]
    own = judgement.own.stages
    if own is not None:
        relative = [(side.stages.relative, side.stages.later) if side.stages else None for side in sides]
        for stage in range(len(own.voxels)):
            numbers = [one[0][stage] if one and stage < len(one[0]) else np.nan for one in relative]
            cells.append([f"grain size, stage {stage}", *(_to_ratio(number) for number in numbers)])
        later = [_to_ratio(one[1]) if one else _to_ratio(np.nan) for one in relative]
        cells.append(["grain size, all later stages", *later])
    return _name_columns(sides), cells


def to_standing_rows(judgement: Judgement) -> tuple[list[str], list[list[str]]]:
    """Table of rows and columns of printed metal, of texts.

    Parameters
    ----------
    judgement
        What was compared.

    Returns
    -------
    headings, cells
        A column for the volume, one for the reference, if there is one, and one of what chance gives; no cells where
        rows and columns were not measured.
    """
    sides = judgement.standing
    if not sides:
        return [], []
    period = _to_text(sides[-1].rows.period)
    lines: list[tuple[str, list[float], str]] = [
        (f"mean intercept along {axis}, voxels", [one.intercepts[number] for one in sides], "")
        for number, axis in enumerate(("z", "y", "x"))
    ]
    lines += [
        ("elongation along z", [one.elongation for one in sides], "1"),
        ("longest axis from z, median, degrees", [one.inclination_deg for one in sides], "60"),
        (f"rows every {period} voxels along y", [one.rows.across for one in sides], _to_text(sides[0].rows.by_chance)),
        (f"rows every {period} voxels along x", [one.rows.along for one in sides], ""),
    ]
    cells = [[name, *map(_to_text, numbers), chance] for name, numbers, chance in lines]
    return [*_name_columns(sides), "chance"], cells


def _to_text(number: float, digits: str = ".3g") -> str:
    return f"{number:{digits}}" if np.isfinite(number) else "–"


def _to_ratio(number: float) -> str:
    return _to_text(number, ".2f")


def _name_columns(sides: Sequence[object]) -> list[str]:
    """Headings of the names of rows, and of a column for each side."""
    return ["", "volume", "reference"][: 1 + len(sides)]


def to_markdown(judgement: Judgement, in_um: bool) -> str:
    """Everything that `microrun grains` says, in Markdown.

    Parameters
    ----------
    judgement
        What was compared.
    in_um
        Whether lengths are in µm, else in voxels.

    Returns
    -------
    str
        Tables of interior grains, of voxels, and of all grains, with the verdicts after the first.
    """
    names = [", ".join(file.source for file in side.files) for side in judgement.sides]
    text = [f"# Grains of {' beside '.join(names)}"]
    for title, headings, cells, lines in to_sections(judgement, in_um):
        text += [f"## {title}", _to_table(headings, cells) if cells else "", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(part for part in text if part) + "\n"


def _to_table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in cells)])


def to_json(judgement: Judgement, in_um: bool) -> str:
    """JSON of all numbers.

    Parameters
    ----------
    judgement
        What was compared; what is not known in it becomes null.
    in_um
        Whether lengths are in µm, else in voxels.

    Returns
    -------
    str
        A JSON object, `to_facts`.
    """
    return json.dumps(to_facts(judgement, in_um), indent=1, allow_nan=False) + "\n"
