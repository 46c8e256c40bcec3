"""Columns of text of one width, made for many lines at once: solvers' files have a line for every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Text = NDArray[np.uint8]


def set_column(texts: Sequence[str]) -> Text:
    """Texts of ASCII as rows of bytes, blanks before the shorter ones.

    Parameters
    ----------
    texts
        One a row.

    Returns
    -------
    (rows, width) uint8
    """
    width = max(map(len, texts), default=0)
    joined = "".join(text.rjust(width) for text in texts).encode("ascii")
    return np.frombuffer(joined, np.uint8).reshape(len(texts), width)


def set_numbers(numbers: NDArray[Any], width: int) -> Text:
    """Whole numbers as rows of bytes, blanks before the shorter ones.

    Parameters
    ----------
    numbers
        (n,) integers, 0 or more, of at most so many digits.
    width
        Of the column.

    Returns
    -------
    (n, width) uint8
    """
    tens = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    digits = (numbers[:, None] // tens % 10 + ord("0")).astype(np.uint8)
    digits[(numbers[:, None] < tens) & (tens > 1)] = ord(" ")
    return digits


def join_columns(*columns: Text | str) -> Text:
    """Lines from columns, and texts that are the same in all of them.

    Parameters
    ----------
    columns
        (rows, width) uint8 of the same number of rows each, or texts of ASCII.

    Returns
    -------
    (rows, total width) uint8
    """
    rows = max(len(column) for column in columns if not isinstance(column, str))
    parts = [
        np.broadcast_to(np.frombuffer(column.encode("ascii"), np.uint8), (rows, len(column)))
        if isinstance(column, str)
        else column
        for column in columns
    ]
    return np.concatenate(parts, axis=1)
