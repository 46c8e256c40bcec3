"""Columns of text of one width, made for many lines at once: solvers' files have a line for every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Text = NDArray[np.uint8]
WIDTH = 9  # of a number


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


# 0 to 999 with zeros before them; then once more with blanks, all of them for 0.
THREE_DIGITS = set_column([*(f"{n:03d}" for n in range(1000)), "   ", *(f"{n:3d}" for n in range(1, 1000))])


def set_numbers(numbers: NDArray[Any]) -> Text:
    """Whole numbers as rows of bytes, blanks before the shorter ones.

    Parameters
    ----------
    numbers
        (n,) integers from 1 to 999,999,999.

    Returns
    -------
    (n, WIDTH) uint8
    """
    whole = numbers.astype(np.int32)
    thousands, last = np.divmod(whole, 1000)
    first, middle = np.divmod(thousands, 1000)
    groups = [first + 1000, middle + 1000 * (first == 0), last + 1000 * (thousands == 0)]
    return np.concatenate([THREE_DIGITS[group] for group in groups], axis=1)


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
