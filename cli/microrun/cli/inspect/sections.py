"""What `microrun inspect` says of sections."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microrun.cli.told import size_of
from microrun.runtime.array_types import Float64
from microrun.runtime.sections.section_set import SectionSet, held_planes, read_sections

LONGEST = 120  # characters of a detail


def section_rows(path: Path) -> dict[str, object]:
    """Rows about a file of sections.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict of str to object
        Values by their names, to be printed.

    Raises
    ------
    SectionsError
        If it is damaged.
    """
    sets = [read_sections(path, plane) for plane in held_planes(path)]
    rows: dict[str, object] = {"kind": f"sections of printed metal, {', '.join(sorted({s.origin for s in sets}))}"}
    for one in sets:
        rows |= {f"{one.plane} the tracks": _cells(one), f"made with, {one.plane}": _conditions(one)}
    details = {name: text for one in sets for name, text in one.details.items()}
    rows |= {name: text if len(text) <= LONGEST else f"{text[:LONGEST]}…" for name, text in details.items()}
    return rows | {"size": size_of(path)}


def _cells(one: SectionSet) -> str:
    rows, cols = one.orientation.shape[1:]
    ids = "without grain ids" if one.grain is None else "with grain ids"
    missing = (one.orientation < 0).mean()
    holes = f", {missing:.1%} of the cells without orientation" if missing else ""
    return f"{len(one):,} of {rows}×{cols} cells of {one.step_um:g} µm, {len(one.euler)} orientations, {ids}{holes}"


def _conditions(one: SectionSet) -> str:
    pairs = np.unique(np.stack([one.power_w, one.speed_m_s]).round(5), axis=1)
    return (
        f"{_span(one.power_w)} W, {_span(one.speed_m_s)} m/s: {pairs.shape[1]} conditions, "
        f"{len(np.unique(one.case))} cases"
    )


def _span(values: Float64) -> str:
    low, high = values.min(), values.max()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
