"""NumPy's indices, for an array that stays on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

AXES = ("rows", "cols", "features")
Numbers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Selection:
    """What an index needs of a (rows, cols, D) array, and the index into just that.

    Parameters
    ----------
    rows
        Numbers of the rows, ascending.
    cols, features
        What is read of each row: all from the first to the last that is needed, as HDF5 skips slower than it reads.
    within
        Index into what was read.
    """

    rows: Numbers
    cols: slice
    features: slice
    within: tuple[Any, ...]

    def take(self, read: Callable[[tuple[slice, ...]], NDArray[Any]]) -> Any:
        """Read the rows, those that follow each other at once, and index them.

        Parameters
        ----------
        read
            Gives a piece of the array.
        """
        runs = np.split(self.rows, np.flatnonzero(np.diff(self.rows) != 1) + 1)
        pieces = [read((_span(run), self.cols, self.features)) for run in runs]
        return (pieces[0] if len(pieces) == 1 else np.concatenate(pieces))[self.within]


def select(index: Any, shape: tuple[int, int, int]) -> Selection:
    """Find what an index needs.

    Parameters
    ----------
    index
        Whatever NumPy takes for an array of this shape: integers, slices, ``...``, None, arrays of integers or bools.
    shape
        (rows, cols, D).

    Returns
    -------
    Selection

    Raises
    ------
    IndexError
        If the array has no such element; the message says what it has.
    """
    items = index if isinstance(index, tuple) else (index,)
    widths = [_width(item) for item in items]
    if sum(widths) > len(shape):
        raise IndexError(f"an index has at most {len(shape)} parts, {', '.join(AXES)}; got {sum(widths)}")
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError("an index has one ... at most")
    needed: list[Numbers] = [np.arange(size) for size in shape]
    within: list[Any] = []
    axis = 0
    for place, item in enumerate(items):
        if item is Ellipsis:
            axis = len(shape) - sum(widths[place + 1 :])
        if item is Ellipsis or item is None:
            within.append(item)
            continue
        for part in _parts(item, axis, shape):
            needed[axis], inner = _narrow(part, axis, shape[axis])
            within.append(inner)
            axis += 1
    return Selection(needed[0], _span(needed[1]), _span(needed[2]), tuple(within))


def _is_mask(item: Any) -> bool:
    return np.asarray(item).dtype == bool


def _width(item: Any) -> int:
    """Number of axes that a part of an index speaks of."""
    if item is None or item is Ellipsis:
        return 0
    return np.ndim(item) if _is_mask(item) else 1


def _parts(item: Any, axis: int, shape: tuple[int, ...]) -> Iterator[Any]:
    """Indices of single axes: a mask stands for the numbers of what is True in it, along each of its axes."""
    if not _is_mask(item):
        yield item
        return
    covered = shape[axis : axis + np.ndim(item)] or shape[:2]
    if np.shape(item) != covered:
        raise IndexError(f"a mask has the shape of what it chooses from, {covered}; got {np.shape(item)}")
    yield from np.nonzero(item)


def _narrow(item: Any, axis: int, size: int) -> tuple[Numbers, Any]:
    """Numbers to read along one axis, ascending, and the index into them."""
    try:
        numbers = np.arange(size)[item,]
    except IndexError as error:
        reason = str(error).partition(" for axis")[0]
        raise IndexError(f"{AXES[axis]} are 0 to {size - 1}, or from the end -1 to -{size}: {reason}") from None
    needed = np.unique(numbers)
    if axis > 0 and needed.size:
        needed = np.arange(needed[0], needed[-1] + 1)
    inner = np.searchsorted(needed, numbers)
    if isinstance(item, slice):  # stays one: NumPy treats arrays differently
        return needed, slice(None, None, int(inner[1] - inner[0]) if len(inner) > 1 else 1)
    return needed, inner


def _span(numbers: Numbers) -> slice:
    return slice(int(numbers[0]), int(numbers[-1]) + 1) if numbers.size else slice(0, 0)
