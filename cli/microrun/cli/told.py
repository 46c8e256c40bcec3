"""What is told in a table for people, and as plain data for programs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from microrun.cli import console


@dataclass(frozen=True)
class Told:
    """A value in words, and the same as data.

    Parameters
    ----------
    text
        For a table.
    data
        For JSON: numbers, texts, lists and dictionaries of them.
    """

    text: str
    data: object

    def __str__(self) -> str:
        return self.text


def size_of(path: Path) -> Told:
    """Size of a file, in bytes as data.

    Parameters
    ----------
    path
        The file.
    """
    size = path.stat().st_size
    return Told(console.size_text(size), size)


def to_data(rows: Mapping[str, object]) -> dict[str, object]:
    """Rows of a table as data for JSON.

    Parameters
    ----------
    rows
        Values by their names.

    Returns
    -------
    dict of str to object
        Numbers as they are, of what was `Told` the data, of all else the text; names with underscores for spaces.
    """
    return {"_".join(re.findall(r"\w+", name)): _plain(value) for name, value in rows.items()}


def _plain(value: object) -> object:
    if isinstance(value, Told):
        value = value.data
    elif not isinstance(value, int | float):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
