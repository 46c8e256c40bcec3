"""Table of judged models as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence

from microrun.runtime.maps.judge import BANDS_AGAINST, Row

HEADINGS = (
    f"bands, against {BANDS_AGAINST}",
    "right",
    "indexed",
    "confidence",
    "image quality",
    "sharpness",
    "misorientation, °",
    "from truth, °",
    "correlation",
)
RIGHT = ("right", "right_of", "right_against", "right_chance")
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
            _quantiles_text(row.bands),
            f"{row.right.share:.1%}",
            f"{row.indexed:.1%}",
            *(_quantiles_text(getattr(row, n)) for n in RATIOS),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
        if row.latent_size in PAPER:
            indexed, quality, sharpness = PAPER[row.latent_size]
            lines.append(
                f"| *paper* | {row.latent_size} | | | {indexed:.1%} | | {quality:.2f} | {sharpness:.2f} | ≈ 0.6 | | |"
            )
    return "\n".join(lines) + "\n\n" + _describe(rows[0]) + "\n"


def _describe(row: Row) -> str:
    """What the columns mean."""
    return (
        f"{row.patterns:,} patterns; three numbers are 10 / 50 / 90 % quantiles over them. Bands: correlation of the "
        f"reconstruction with {BANDS_AGAINST}, both without what is smoother than bands; noise keeps the original's "
        f"own below 1. Right: {row.right}. Indexed: at least 4 bands, fit below 3°, be the orientation right "
        "or wrong. Confidence, quality and sharpness: reconstructed over original, misorientation between the two, "
        "where both are indexed. Sharpness rewards noise, which no model reproduces. Correlation: of whole patterns, "
        "which flatters a blur: brightness without any band scores well."
    )


def to_csv(rows: Sequence[Row]) -> str:
    """Table as CSV: one line a model, one column a quantile.

    Parameters
    ----------
    rows
        As for `to_markdown`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ratios = ("bands", *RATIOS)
    names = [f"{name}_{percent}" for name in ratios for percent in ("q10", "q50", "q90")]
    writer.writerow(["model", "latent_size", "patterns", "bands_against", *RIGHT, "indexed", *names])
    for row in rows:
        values = [value for name in ratios for value in getattr(row, name) or ("", "", "")]
        right = dataclasses.astuple(row.right)
        writer.writerow([row.name, row.latent_size, row.patterns, BANDS_AGAINST, *right, row.indexed, *values])
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
    return json.dumps({**about, "bands_against": BANDS_AGAINST, "models": judged}, indent=1, allow_nan=False) + "\n"


def _quantiles_text(values: tuple[float, ...] | None) -> str:
    if values is None or math.isnan(values[0]):
        return ""
    return " / ".join(f"{value:.2f}" for value in values)


def _null_for_nan(value: object) -> object:
    if isinstance(value, tuple):
        return [None if math.isnan(number) else number for number in value]
    return value
