"""What `microrun bench` has printed and written, as its tests read it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path

from microrun.cli.bench.measurement import Table

WIDTH = 80  # columns of a terminal that tables fit into


def read_tables(path: Path) -> list[Table]:
    """Tables as they were written; every median is that of the samples beside it."""
    numbers = json.loads(path.read_text())
    assert set(numbers) == {"subjects", "measurements"}
    tables = {facts["subject"]: Table(facts.pop("subject"), facts=facts) for facts in numbers["subjects"]}
    for row in numbers["measurements"]:
        assert row["median"] == statistics.median(row["samples"])
        tables[row["subject"]].note(row["name"], row["unit"], *row["samples"], remark=row["remark"])
    return list(tables.values())


def make_table(rows: Mapping[str, float], **facts: object) -> Table:
    """A table with one sample for every name."""
    table = Table("made", facts=facts)
    for name, sample in rows.items():
        table.note(name, "", sample)
    return table


def check_width(printed: str) -> None:
    """No line is wider than a terminal."""
    lines = [line.rstrip() for line in printed.splitlines() if not line.startswith("wrote ")]  # a path is not wrapped
    assert max(map(len, lines)) <= WIDTH, printed
