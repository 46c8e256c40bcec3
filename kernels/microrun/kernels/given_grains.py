"""Grains that are given to a volume before it grows: which touch, their colours, and how far they have grown.

Numbers are those of grains, 0 and up, −1 where nothing is given. ``wraps`` says along which of z, y and x a volume goes
on at its opposite face.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.borders import Wraps
from microrun.kernels.compiling import exact_kernel
from microrun.kernels.grains import EMPTY, insert

UNCOLOURED = -1
TOUCHING = 1 << 20  # a grain that touches counts more than all that are near
ENOUGH = 16  # grains near by for each colour; further ones are not looked at
CENTRE, AROUND = 13, 27  # of the 27 places around a voxel, itself in the middle
FORWARD_FACES = (14, 16, 22)  # the voxels behind along x, y and z


class Rows(NamedTuple):
    """Lists of numbers: the i-th is ``numbers[starts[i] : starts[i + 1]]``; int64."""

    starts: NDArray[np.int64]
    numbers: NDArray[np.int64]


class Nearness(NamedTuple):
    """Grains by the cells of a coarse lattice (planes, rows, cols) that they lie in, and cells by grain."""

    shape: tuple[int, int, int]
    grains: Rows
    cells: Rows


class Choice(NamedTuple):
    """How grains choose, (grains,) int64 each: in which order, and of equally rare colours the first from which on."""

    order: NDArray[np.int64]
    first: NDArray[np.int64]
    n_colours: int


@exact_kernel
def step_from(place: Any, step: int, shape: Any, wraps: Wraps) -> tuple[int, int, int]:
    """Give the z, y, x of one of the 27 places around another; z is −1 beyond the volume."""
    z, y, x = place[0] + step // 9 - 1, place[1] + step // 3 % 3 - 1, place[2] + step % 3 - 1
    is_beyond = (z < 0 or z >= shape[0]) and not wraps[0]
    is_beyond |= (y < 0 or y >= shape[1]) and not wraps[1]
    is_beyond |= (x < 0 or x >= shape[2]) and not wraps[2]
    return (-1 if is_beyond else z % shape[0]), y % shape[1], x % shape[2]


@exact_kernel
def list_touching(numbers: NDArray[np.int32], wraps: Wraps) -> Any:
    """List pairs of grains of which voxels are among each other's 26 neighbours.

    Parameters
    ----------
    numbers
        (Z, Y, X) int32.
    wraps
        As above.

    Returns
    -------
    (pairs,) int64
        Each once: lower · 2³² + higher, in no order.
    """
    table, used = np.full(1 << 10, EMPTY, np.int64), 0
    for z in range(numbers.shape[0]):
        for y in range(numbers.shape[1]):
            for x in range(numbers.shape[2]):
                one = numbers[z, y, x]
                if one < 0:
                    continue
                for step in range(CENTRE + 1, AROUND):
                    place = step_from((z, y, x), step, numbers.shape, wraps)
                    two = numbers[place] if place[0] >= 0 else one
                    if two >= 0 and two != one:
                        table, used = note_pair(one, two, table, used)
    return table[table != EMPTY]


@exact_kernel
def note_pair(one: int, two: int, table: Any, used: int) -> tuple[Any, int]:
    """Put a pair into a table; gives the table, a longer one if it was half full, and how many are in it."""
    used += insert(np.int64(min(one, two)) << 32 | np.int64(max(one, two)), table)
    if 2 * used > table.size:
        longer = np.full(2 * table.size, EMPTY, np.int64)
        for pair in table:
            if pair != EMPTY:
                insert(pair, longer)
        table = longer
    return table, used


@exact_kernel
def spread_colours(choice: Choice, touching: Rows, near: Nearness, wraps: Wraps, out: NDArray[np.int8]) -> None:
    """Give each grain the colour that is rarest around it, above all among those that touch it.

    Parameters
    ----------
    choice
        Who chooses when, and among how many colours.
    touching
        Grains that touch each.
    near
        Grains near each other.
    wraps
        As above.
    out
        (grains,) int8, written.
    """
    out[:] = UNCOLOURED
    counts = np.empty(choice.n_colours, np.int64)
    for grain in choice.order:
        counts[:] = 0
        for other in touching.numbers[touching.starts[grain] : touching.starts[grain + 1]]:
            if out[other] != UNCOLOURED:
                counts[out[other]] += TOUCHING
        count_near(grain, out, near, wraps, counts)
        best = choice.first[grain]
        for further in range(1, counts.size):
            colour = (choice.first[grain] + further) % counts.size
            if counts[colour] < counts[best]:
                best = colour
        out[grain] = best


@exact_kernel
def count_near(grain: int, colours: NDArray[np.int8], near: Nearness, wraps: Wraps, out: NDArray[np.int64]) -> None:
    """Count the colours of the grains in the cells of a grain and around them, until there are enough."""
    _, rows, cols = near.shape
    seen = 0
    for cell in near.cells.numbers[near.cells.starts[grain] : near.cells.starts[grain + 1]]:
        place = (cell // (rows * cols), cell // cols % rows, cell % cols)
        for step in range(AROUND):
            z, y, x = step_from(place, step, near.shape, wraps)
            if z < 0:
                continue
            beside = (z * rows + y) * cols + x
            for other in near.grains.numbers[near.grains.starts[beside] : near.grains.starts[beside + 1]]:
                if colours[other] != UNCOLOURED:
                    out[colours[other]] += 1
                    seen += 1
        if seen > ENOUGH * out.size:
            return


@exact_kernel
def flood_colours(colours: NDArray[np.int8], wraps: Wraps, out: NDArray[np.int32]) -> None:
    """Let given grains grow on, by faces, into voxels of their colour; where two meet, each has what is nearer to it.

    Parameters
    ----------
    colours
        (Z, Y, X) int8.
    wraps
        As above.
    out
        (Z, Y, X) int32, C order: grains where they are given, −1 elsewhere; changed in place.
    """
    flat, shape = out.reshape(-1), out.shape
    queue, last = np.empty(1 << 12, np.int64), 0
    for voxel in range(flat.size):
        if flat[voxel] >= 0 and has_room(colours, out, voxel, wraps):
            queue, last = append(voxel, queue, last)
    first = 0
    while first < last:
        place = unravel(queue[first], shape)
        first += 1
        for axis in range(3):
            for step in (CENTRE - 9 // 3**axis, CENTRE + 9 // 3**axis):
                z, y, x = step_from(place, step, shape, wraps)
                if z >= 0 and out[z, y, x] < 0 and colours[z, y, x] == colours[place]:
                    out[z, y, x] = out[place]
                    queue, last = append((z * shape[1] + y) * shape[2] + x, queue, last)


@exact_kernel
def has_room(colours: NDArray[np.int8], numbers: NDArray[np.int32], voxel: int, wraps: Wraps) -> bool:
    """Say whether a voxel of nobody that has the colour of a voxel lies beside it."""
    place = unravel(voxel, numbers.shape)
    for axis in range(3):
        for step in (CENTRE - 9 // 3**axis, CENTRE + 9 // 3**axis):
            beside = step_from(place, step, numbers.shape, wraps)
            if beside[0] >= 0 and numbers[beside] < 0 and colours[beside] == colours[place]:
                return True
    return False


@exact_kernel
def unravel(voxel: int, shape: Any) -> tuple[int, int, int]:
    """Give the z, y, x of a flat index."""
    return voxel // (shape[1] * shape[2]), voxel // shape[2] % shape[1], voxel % shape[2]


@exact_kernel
def append(voxel: int, queue: Any, last: int) -> tuple[Any, int]:
    """Put a voxel behind the last of a queue; gives the queue, a longer one if it was full, and how many are in it."""
    if last == queue.size:
        longer = np.empty(2 * queue.size, np.int64)
        longer[:last] = queue
        queue = longer
    queue[last] = voxel
    return queue, last + 1


@exact_kernel
def list_met(numbers: NDArray[np.int32], colours: NDArray[np.int8], wraps: Wraps) -> Any:
    """List pairs of grains of one colour that share a face.

    Parameters
    ----------
    numbers
        (Z, Y, X) int32.
    colours
        (grains,) int8.
    wraps
        As above.

    Returns
    -------
    (pairs,) int64
        As of `list_touching`.
    """
    table, used = np.full(1 << 10, EMPTY, np.int64), 0
    for voxel in range(numbers.size):
        place = unravel(voxel, numbers.shape)
        one = numbers[place]
        for step in FORWARD_FACES:
            beside = step_from(place, step, numbers.shape, wraps)
            two = numbers[beside] if beside[0] >= 0 else one
            if one >= 0 and two >= 0 and two != one and colours[one] == colours[two]:
                table, used = note_pair(one, two, table, used)
    return table[table != EMPTY]
