"""Table of judged models as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence

from microrun.runtime.maps.judge import Row

HEADINGS = (
    "indexed",
    "confidence",
    "image quality",
    "sharpness",
    "misorientation, °",
    "from truth, °",
    "correlation",
)
RATIOS = ("confidence", "quality", "sharpness", "misorientation_deg", "truth_deg", "correlation")
# Table 1 of Calvat et al., medians on their scans: share indexed, image quality, sharpness. Their misorientations
# are headed degrees, but are radians.
PAPER = {
    16: (0.953, 0.64, 0.16),
    32: (0.988, 0.87, 0.23),
    64: (0.999, 0.95, 0.27),
    128: (1.0, 0.97, 0.34),
    256: (1.0, 0.96, 0.38),
}


def to_markdown(rows: Sequence[Row]) -> str:
    """Table for people; below each model the paper's, where it has one of the same size.

    Parameters
    ----------
    rows
        One a model, that of the originals first.
    """
    lines = [
        f"| model | D | {' | '.join(HEADINGS)} |",
        "|---" * (2 + len(HEADINGS)) + "|",
    ]
    for row in rows:
        cells = [
            row.name,
            row.latent_size or "",
            f"{row.indexed:.1%}",
            *(_quantiles_text(getattr(row, n)) for n in RATIOS),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
        if row.latent_size in PAPER:
            indexed, quality, sharpness = PAPER[row.latent_size]
            lines.append(
                f"| *paper* | {row.latent_size} | {indexed:.1%} | | {quality:.2f} | {sharpness:.2f} | ≈ 0.6 | | |"
            )
    note = (
        f"{rows[0].patterns:,} patterns. Confidence, quality and sharpness: reconstructed over original, "
        "misorientation between the two, each as 10 / 50 / 90 % quantiles over the patterns that are indexed (at least "
        "4 bands, fit below 3°). Sharpness rewards noise, which no model reproduces."
    )
    return "\n".join(lines) + "\n\n" + note + "\n"


def to_csv(rows: Sequence[Row]) -> str:
    """Table as CSV: one line a model, one column a quantile.

    Parameters
    ----------
    rows
        As for `to_markdown`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"{name}_{percent}" for name in RATIOS for percent in ("q10", "q50", "q90")]
    writer.writerow(["model", "latent_size", "patterns", "indexed", *names])
    for row in rows:
        values = [value for name in RATIOS for value in getattr(row, name) or ("", "", "")]
        writer.writerow([row.name, row.latent_size, row.patterns, row.indexed, *values])
    return text.getvalue()


def to_json(rows: Sequence[Row], about: Mapping[str, object]) -> str:
    """Table as JSON: all numbers, and what they were measured on; what is not known is null.

    Parameters
    ----------
    rows
        As for `to_markdown`.
    about
        What they were measured on, by name.
    """
    judged = [{name: _null_for_nan(value) for name, value in dataclasses.asdict(row).items()} for row in rows]
    return json.dumps({**about, "models": judged}, indent=1, allow_nan=False) + "\n"


def _quantiles_text(values: tuple[float, ...] | None) -> str:
    if values is None or math.isnan(values[0]):
        return ""
    return " / ".join(f"{value:.2f}" for value in values)


def _null_for_nan(value: object) -> object:
    if isinstance(value, tuple):
        return [None if math.isnan(number) else number for number in value]
    return value
