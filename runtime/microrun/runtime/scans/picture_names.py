"""What the names of pictures say: which belong to one scan, and where each lies in it."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import ScanError
from microrun.runtime.files.kinds import PATTERN_PICTURES

Numbers = NDArray[np.int64]
DIGITS = re.compile(r"[0-9]{1,18}")
LABEL = re.compile(r"([^\W\d_]+)[\W_]*$")  # the word before a number
POSITION = re.compile(r"(?<![^\W\d_])([xy])[\W_]*?([-−]?)[0-9]+(?:[.,]([0-9]+))?")  # axis, sign, decimals
ROWS = {"r", "row", "y", "line", "zeile"}
COLS = {"c", "col", "column", "x", "spalte"}
SPARSE = 10  # numbers for each picture, beyond which they count something else
FORMATS = "TIFF, PNG or BMP"


@dataclass(frozen=True, eq=False)
class NamedPictures:
    """Pictures of one scan, in scan order.

    Parameters
    ----------
    names
        Of their files.
    numbers
        (n,) int64, ascending: as they stand in the names; where those tell row and column, row · columns + column.
    nav_shape
        (rows, cols) that the names tell; None where they only count.
    understood
        What was understood, for people.
    others
        Names of pictures that do not belong to them.
    """

    names: list[str]
    numbers: Numbers
    nav_shape: tuple[int, int] | None
    understood: str
    others: list[str]


class _Order(NamedTuple):
    numbers: Numbers
    nav_shape: tuple[int, int] | None
    understood: str


def name_pictures(folder: Path) -> NamedPictures:
    """Find the pictures of a scan in a folder, and their order.

    The numbers in the names tell it: one that counts the pictures, such as scan0001.tif, or a row and a column, such as
    r03_c012.tif, 3_12.png or x12y3.bmp. Numbers that are the same in all names tell nothing, nor do leading zeros.

    Parameters
    ----------
    folder
        Hidden files and those with other endings are passed over.

    Raises
    ------
    ScanError
        If it cannot be read, holds no pictures, or their names tell no order.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _is_picture(entry.name)]
    except OSError as error:
        raise ScanError(f"{folder}: cannot be read ({error.strerror})") from None
    if not names:
        raise ScanError(f"{folder}: is a folder without {FORMATS} pictures, so it is not a scan")
    chosen, others = _choose_series(folder, names)
    stems = [name.rpartition(".")[0] for name in chosen]
    values = np.fromiter((int(run) for stem in stems for run in DIGITS.findall(stem)), np.int64)
    order = _find_order(folder, chosen, values.reshape(len(chosen), -1), DIGITS.split(stems[0].lower()))
    places = np.argsort(order.numbers, kind="stable")
    numbers, sorted_names = order.numbers[places], [chosen[place] for place in places.tolist()]
    _refuse_twins(folder, numbers, sorted_names)
    return NamedPictures(sorted_names, numbers, order.nav_shape, order.understood, others)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PATTERN_PICTURES) and not name.startswith(".")


def _choose_series(folder: Path, names: list[str]) -> tuple[list[str], list[str]]:
    """The names that differ in their numbers only, the most there are, and all others."""
    kinds = [DIGITS.sub("0", name.lower().replace(".tiff", ".tif")) for name in names]
    _refuse_positions(folder, names, kinds)
    (most, count), *rest = Counter(kinds).most_common(2)
    if 2 * count <= len(names) and rest:
        first, second = (names[kinds.index(kind)] for kind in (most, rest[0][0]))
        raise ScanError(
            f"{folder}: its {len(names):,} pictures are not one series: {count:,} are named like {first}, "
            f"{rest[0][1]:,} like {second}; give a folder with the patterns of one scan"
        )
    chosen = [name for name, kind in zip(names, kinds, strict=True) if kind == most]
    return chosen, sorted(name for name, kind in zip(names, kinds, strict=True) if kind != most)


def _refuse_positions(folder: Path, names: list[str], kinds: list[str]) -> None:
    """Refuse x and y that are no whole numbers: of decimals one half would be lost, and negative ones be mirrored."""
    found = {kind: POSITION.findall(kind) for kind in set(kinds)}
    placed = {kind: fields for kind, fields in found.items() if {axis for axis, _, _ in fields} == {"x", "y"}}
    if not any(sign or decimals for fields in placed.values() for _, sign, decimals in fields):
        return
    of_first: list[str] | None = None
    for name, kind in zip(names, kinds, strict=True):
        if kind not in placed:
            continue
        decimals = [tail for _, _, tail in POSITION.findall(name.lower())]  # the same in all names, they tell nothing
        of_first = decimals if of_first is None else of_first
        if decimals != of_first or any(sign for _, sign, _ in placed[kind]):
            raise ScanError(
                f"{folder}: its pictures are named by positions, such as {name}; decimal or negative positions are not "
                "understood: rename them by row and column, such as r03_c012.tif, or in scan order, as scan0001.tif"
            )


def _find_order(folder: Path, names: list[str], values: Numbers, texts: list[str]) -> _Order:
    """Which of the numbers in the names, (n, fields), tell the place."""
    if len(names) == 1:
        return _Order(np.ones(1, np.int64), None, "a single picture")
    labels = [found[1] if (found := LABEL.search(text)) else "" for text in texts[: values.shape[1]]]
    rows, cols = ([field for field, label in enumerate(labels) if label in known] for known in (ROWS, COLS))
    if len(rows) == len(cols) == 1:
        return _by_row_and_column(folder, names, values[:, rows[0]], values[:, cols[0]])
    varying = [field for field in range(values.shape[1]) if np.ptp(values[:, field])]
    counting = [field for field in varying if _counts(values[:, field])]
    if counting:
        return _by_number(folder, names, values[:, counting])
    if len(varying) == 2:
        first, second = (values[:, field] for field in varying)
        across_first = labels[varying[0]] in COLS or labels[varying[1]] in ROWS
        return _by_row_and_column(folder, names, *((second, first) if across_first else (first, second)))
    if len(varying) == 1:
        return _by_number(folder, names, values[:, varying])
    raise ScanError(
        f"{folder}: the names of its pictures tell no order ({names[0]}, {names[1]}): expected a number in scan order, "
        f"such as scan0001.tif, or row and column, such as r03_c012.tif"
    )


def _counts(numbers: Numbers) -> bool:
    """Whether numbers could count pictures: each is another, and few are missing between them."""
    return len(np.unique(numbers)) == len(numbers) and int(np.ptp(numbers)) < SPARSE * len(numbers)


def _by_number(folder: Path, names: list[str], fields: Numbers) -> _Order:
    """In the order of one number; of several that count, such as a time beside it, that with the fewest gaps."""
    orders = np.argsort(fields, axis=0, kind="stable")
    if (orders != orders[:, :1]).any():
        raise ScanError(
            f"{folder}: the numbers in the names of its pictures tell different orders ({names[0]}, {names[1]}); "
            "rename them so that one number counts them"
        )
    numbers = fields[:, int(np.argmin(np.ptp(fields, axis=0)))]
    low, high = int(numbers.min()), int(numbers.max())
    if high - low >= SPARSE * len(numbers):
        raise ScanError(
            f"{folder}: its {len(names):,} pictures are numbered {low} to {high}, which does not count them "
            f"({names[0]}); rename them so that a number does, such as scan0001.tif"
        )
    return _Order(numbers, None, f"numbered {low} to {high}, in scan order")


def _by_row_and_column(folder: Path, names: list[str], rows: Numbers, cols: Numbers) -> _Order:
    (row, row_count, said_rows), (col, col_count, said_cols) = _count_along(rows), _count_along(cols)
    if row_count * col_count > SPARSE * len(names):
        raise ScanError(
            f"{folder}: its {len(names):,} pictures are named by {said_rows} rows and {said_cols} columns, a map of "
            f"{row_count}×{col_count}, of which most are missing; were rows and columns meant ({names[0]})?"
        )
    understood = f"named by row ({said_rows}) and column ({said_cols})"
    return _Order(row * col_count + col, (row_count, col_count), understood)


def _count_along(values: Numbers) -> tuple[Numbers, int, str]:
    """Places from 0, how many there are, and in words; positions may come in steps, such as 0, 5, 10."""
    low, high = int(values.min()), int(values.max())
    step = int(np.gcd.reduce(np.diff(np.unique(values)))) if high > low else 1
    every = f" in steps of {step}" if step > 1 else ""
    return (values - low) // step, (high - low) // step + 1, f"{low} to {high}{every}"


def _refuse_twins(folder: Path, numbers: Numbers, names: list[str]) -> None:
    twins = np.flatnonzero(np.diff(numbers) == 0)
    if len(twins):
        one, other = names[twins[0]], names[twins[0] + 1]
        raise ScanError(f"{folder}: {one} and {other} have the same place in the scan; remove one of the two")
