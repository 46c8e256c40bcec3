"""Grain statistics as tables: Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence

from microrun.runtime.volumes.compare import Comparison
from microrun.runtime.volumes.measure import Grains

TITLES = {
    "volume_um3": "grain volume, µm³",
    "diameter_um": "equivalent diameter, µm",
    "b_over_a": "aspect ratio b/a",
    "c_over_a": "aspect ratio c/a",
    "c_over_b": "aspect ratio c/b",
    "nearest_um": "nearest centroid, µm",
    "neighbours": "neighbours",
}
COMPARED = ("reference median", "reference mean", "KL", "KL by chance", "Wasserstein")


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
        Lines with a header; lengths in µm, ten digits.
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


def to_markdown(rows: Sequence[Comparison], in_um: bool) -> str:
    """Table of medians, means and distances from the reference, where there is one, in Markdown.

    Parameters
    ----------
    rows
        Comparisons, at least one.
    in_um
        Whether lengths are in µm, else in voxels.

    Returns
    -------
    str
        Lines of the table.
    """
    compared = rows[0].kl is not None
    headings = ("", "median", "mean", *(COMPARED if compared else ()))
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    for row in rows:
        cells = [titles(in_um)[row.measure], *to_cells(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def to_cells(row: Comparison) -> list[str]:
    """Numbers of a row that are known, with four digits, for people."""
    return [f"{value:.4g}" for value in dataclasses.astuple(row)[1:] if value is not None]


def to_json(rows: Sequence[Comparison], about: Mapping[str, object]) -> str:
    """JSON of all numbers and of what they were measured on.

    Parameters
    ----------
    rows
        Comparisons; what is not known in them becomes null.
    about
        What stands beside the measures, such as files.

    Returns
    -------
    str
        A JSON object with ``measures``, a list.
    """
    measures = [dataclasses.asdict(row) for row in rows]
    return json.dumps({**about, "measures": measures}, indent=1, allow_nan=False) + "\n"
