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
