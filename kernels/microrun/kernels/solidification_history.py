"""Phase field of solidification where each cell has a history of its own: only hot cells hold order parameters.

They stand in rows of a pool, in no order; `Hot.slot` says which row is a cell's. Around them cells are solid, of
one orientation each. The step is that of `microrun.kernels.solidification`. What happens in a row depends on nothing
but the step before, whichever thread takes it, and in whatever order the rows are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import exact_kernel, fast_kernel
from microrun.kernels.solidification import (
    FOUR,
    MOLTEN,
    ONE,
    ORIENTATIONS,
    SIX,
    SMALLEST,
    THREE,
    UNDERCOOLINGS,
    ZERO,
    nucleate,
)

NONE = -1
GOES_ON, COLD, NUCLEATED = 0, 1, 2  # marks of rows
FIXED = ORIENTATIONS + 1  # rows before those of hot cells


class Hot(NamedTuple):
    """Which cells are hot, and what is around them.

    Parameters
    ----------
    cell, event
        (capacity,) int64: of each row, its cell in C order, and the event that it is in.
    slot
        (z, y, x) int32: the row of a cell, `NONE` of those that are cold.
    orientation
        (z, y, x) int8: of cold cells; `NONE` where one never solidified.
    """

    cell: NDArray[np.int64]
    event: NDArray[np.int64]
    slot: NDArray[np.int32]
    orientation: NDArray[np.int8]


class Events(NamedTuple):
    """Times at which cells melt and solidify, in the order in which they melt.

    Parameters
    ----------
    cell
        (n,) int64, in C order.
    liquid_s
        (n,) float64: until when the cell is above the liquidus.
    rate
        (n,) float64, K/s: by how much it cools from then on.
    """

    cell: NDArray[np.int64]
    liquid_s: NDArray[np.float64]
    rate: NDArray[np.float64]


class Moment(NamedTuple):
    """What is the same in all cells at a time.

    Parameters
    ----------
    time_s
        float64.
    top
        Planes that there are; cells above are not there yet, and nothing flows to them.
    hot_k
        float32: below it a cell is cold.
    mobility
        (n,) float32, L in m³/(J·s) at 0, 1, 2, … K; the last is that of all that is molten.
    """

    time_s: float
    top: int
    hot_k: np.float32
    mobility: NDArray[np.float32]


@fast_kernel
def advance_history(rows: Any, eta: Any, hot: Any, events: Any, moment: Any, step: Any, mark: Any, out: Any) -> None:
    """Advance some rows by one step.

    Parameters
    ----------
    rows
        (2,) int64: first row, and the one after the last.
    eta
        (capacity, `ORIENTATIONS`) float32, as it is; the first `FIXED` rows as from `fixed_rows`.
    hot, events, moment
        `Hot`, `Events`, `Moment`.
    step
        `microrun.kernels.solidification.Step`.
    mark
        (capacity,) uint8: `COLD` where the cell is cold and was left alone, `NUCLEATED`, or `GOES_ON`.
    out
        Of eta's shape, as it will be.
    """
    width, length = hot.slot.shape[1:]
    slot, orientation = hot.slot.ravel(), hot.orientation.ravel()
    hottest = np.float32(moment.mobility.size - 1)
    for row in range(rows[0], rows[1]):
        cell, event = hot.cell[row], hot.event[row]
        elapsed = moment.time_s - events.liquid_s[event]
        cooled = np.float32(max(step.liquidus - events.rate[event] * elapsed, 0.0))
        temperature = cooled if elapsed >= 0 else hottest
        if temperature <= moment.hot_k:
            mark[row] = COLD
            for o in range(ORIENTATIONS):
                out[row, o] = eta[row, o]
            continue
        x, y, z = cell % length, cell // length % width, cell // (length * width)
        left = find_row(cell - 1 if x > 0 else cell, slot, orientation)
        right = find_row(cell + 1 if x < length - 1 else cell, slot, orientation)
        front = find_row(cell - length if y > 0 else cell, slot, orientation)
        back = find_row(cell + length if y < width - 1 else cell, slot, orientation)
        down = find_row(cell - length * width if z > 0 else cell, slot, orientation)
        up = find_row(cell + length * width if z < moment.top - 1 else cell, slot, orientation)
        low = min(int(temperature), moment.mobility.size - 2)
        mobility = moment.mobility[low]
        mobility += (temperature - np.float32(low)) * (moment.mobility[low + 1] - mobility)
        react, spread = mobility * step.reaction, mobility * step.diffusion
        squares = ZERO
        for o in range(ORIENTATIONS):
            squares += eta[row, o] * eta[row, o]
        drive = FOUR * squares + (-ONE if temperature < step.liquidus else ONE)
        keep = ONE - react * drive - SIX * spread
        for o in range(ORIENTATIONS):
            own = eta[row, o]
            beside = eta[down, o] + eta[up, o] + eta[front, o] + eta[back, o] + eta[left, o] + eta[right, o]
            value = own * (keep + THREE * react * own * own) + spread * beside
            out[row, o] = value if value > SMALLEST else ZERO
        mark[row] = GOES_ON
        undercooling = step.liquidus - temperature
        open_to_nuclei = elapsed >= 0 and squares < MOLTEN and 0 < undercooling <= UNDERCOOLINGS - 1
        if open_to_nuclei and nucleate(step, cell, undercooling, out[row]):
            mark[row] = NUCLEATED


@fast_kernel
def find_row(cell: int, slot: Any, orientation: Any) -> int:
    """Find the row with a cell's order parameters: its own, or a fixed one if it is cold.

    Parameters
    ----------
    cell
        In C order.
    slot, orientation
        (cells,), as those of `Hot`.

    Returns
    -------
    int
        The row.
    """
    if slot[cell] != NONE:
        return int(slot[cell])
    return int(orientation[cell]) if orientation[cell] != NONE else ORIENTATIONS


def fixed_rows() -> NDArray[np.float32]:
    """The rows of cold cells, (`FIXED`, `ORIENTATIONS`) float32: solid of one orientation each, the last of none."""
    return np.eye(FIXED, ORIENTATIONS, dtype=np.float32)


@exact_kernel
def open_cells(first: int, stop: int, count: int, events: Any, hot: Any, eta: Any) -> int:
    """Let events begin: cells that were cold get a row, of the orientation that they have.

    Parameters
    ----------
    first, stop
        The events, and the one after the last.
    count
        Rows in use, with those that are fixed.
    events, hot, eta
        As for `advance_history`; hot and eta are changed, and have room for them.

    Returns
    -------
    int
        Rows in use now.
    """
    slot, orientation = hot.slot.ravel(), hot.orientation.ravel()
    for event in range(first, stop):
        cell = events.cell[event]
        row = slot[cell]
        if row == NONE:
            row, count = count, count + 1
            slot[cell], hot.cell[row] = row, cell
            for o in range(ORIENTATIONS):
                eta[row, o] = ONE if o == orientation[cell] else ZERO
        hot.event[row] = event
    return count


@exact_kernel
def close_cells(count: int, mark: Any, solid: float, hot: Any, eta: Any) -> int:
    """Read off the rows that are marked as cold, and give them back; the last rows move into their place.

    Parameters
    ----------
    count
        Rows in use, with those that are fixed.
    mark
        (capacity,) uint8, from `advance_history`.
    solid
        Order parameter that a solid cell has at least one of.
    hot, eta
        As for `advance_history`, changed.

    Returns
    -------
    int
        Rows in use now.
    """
    slot, orientation = hot.slot.ravel(), hot.orientation.ravel()
    for row in range(count - 1, FIXED - 1, -1):
        if mark[row] != COLD:
            continue
        best = np.argmax(eta[row])
        cell = hot.cell[row]
        orientation[cell] = best if eta[row, best] >= solid else NONE
        slot[cell] = NONE
        count -= 1
        if row != count:
            eta[row], hot.cell[row], hot.event[row] = eta[count], hot.cell[count], hot.event[count]
            slot[hot.cell[row]] = row
    return count
