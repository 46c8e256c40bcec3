"""Named measurements: their samples, their medians, the ratios between them; one printer and one JSON for all."""

from __future__ import annotations

import json
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from microrun.cli import console
from microrun.cli.outputs import say_wrote
from microrun.runtime.files.output import write_text
from microrun.runtime.progress import Job

ACROSS, TITLE_WIDTH = 3, 13  # tables side by side, and columns of their titles: what fits into a terminal


@dataclass
class Measurement:
    """One quantity, measured in every repeat.

    Parameters
    ----------
    name, unit
        What was measured, and in what; ratios have no unit.
    samples
        One of every repeat.
    remark
        What stands beside the median, such as an aim.
    """

    name: str
    unit: str
    samples: list[float] = field(default_factory=list)
    remark: str = ""

    @property
    def median(self) -> float:
        """The figure that is shown."""
        return statistics.median(self.samples)


@dataclass
class Table:
    """Measurements of one subject, such as an engine.

    Parameters
    ----------
    title
        Name of the subject, which tells it from all others.
    detail
        The rest that people want to know of it.
    facts
        The rest that programs want to know of it.
    rows
        Measurements by their names, in the order of their first samples.
    """

    title: str
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Measurement] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        """Median of a measurement."""
        return self.rows[name].median

    def note(self, name: str, unit: str, *samples: float, remark: str = "") -> None:
        """Add samples to a measurement."""
        self.rows.setdefault(name, Measurement(name, unit, remark=remark)).samples.extend(samples)

    def note_best(self, name: str, unit: str, sample: float | None) -> None:
        """Keep the best sample only: what is possible is no median. None is none."""
        if sample is not None:
            best = max([sample, *(self.rows[name].samples if name in self.rows else ())])
            self.rows[name] = Measurement(name, unit, [best])

    def ratio(self, name: str, above: str, below: str, of: Table | None = None, remark: str = "") -> None:
        """Divide one measurement by another, of this table or of another one; without both there is no ratio."""
        other = of or self
        if above in self.rows and below in other.rows:
            self.note(name, "", self[above] / other[below], remark=remark)


Measuring = Job[list[Table]]


def figure(value: float) -> str:
    """Three digits at least; whole numbers have all of theirs."""
    return f"{value:,.0f}" if value.is_integer() or value >= 99.95 else f"{value:#.3g}"


def print_tables(tables: Sequence[Table]) -> None:
    """Print a line for every name and a column for every table, some tables side by side."""
    for table in tables:
        if table.detail:
            console.results.print(f"{table.title}: {table.detail}")
    filled = [table for table in tables if table.rows]
    for first in range(0, len(filled), ACROSS):
        some = filled[first : first + ACROSS]
        units = {name: row.unit for table in some for name, row in table.rows.items()}
        rows = [(_label(name, unit), *(_cell(table, name) for table in some)) for name, unit in units.items()]
        console.print_rows(("", *(_heading(table.title) for table in some)), rows)
        console.results.print()


def write_tables(out: Path, tables: Sequence[Table]) -> None:
    """Write all facts and all measurements as two flat lists."""
    numbers = {
        "subjects": [{"subject": table.title, **table.facts} for table in tables],
        "measurements": [
            {"subject": table.title, **asdict(row), "median": row.median}
            for table in tables
            for row in table.rows.values()
        ],
    }
    write_text(out, json.dumps(numbers, indent=1, default=str) + "\n")
    say_wrote(out)


def _label(name: str, unit: str) -> str:
    return f"{name}, {unit}" if unit else name


def _cell(table: Table, name: str) -> str:
    row = table.rows.get(name)
    return f"{figure(float(row.median))} {row.remark}".strip() if row else ""


def _heading(title: str) -> str:
    lines = (line for part in title.split(", ") for line in textwrap.wrap(part, TITLE_WIDTH))
    return "\n".join(lines)
