"""Grains that are known before a volume grows: a measured layer, a slab, a volume to be continued."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.given_grains import (
    Choice,
    Nearness,
    Rows,
    flood_colours,
    list_met,
    list_touching,
    spread_colours,
)
from microrun.runtime.array_types import Mask
from microrun.runtime.errors import VolumeError
from microrun.runtime.files.disk import take_room
from microrun.runtime.volumes.axes import Wraps
from microrun.runtime.volumes.volume import Shape, Volume

FIRST_GIVEN = 128  # above all colours
CELL = 8  # voxels along a cell; grains in its 26 neighbours are near
NOT_INTEGER = "grains are numbered by integers, −1 where nothing is known"


@dataclass(frozen=True, eq=False)
class GivenGrains:
    """Grains that are known, by number.

    Parameters
    ----------
    numbers
        (z, y, x) int32: grains 0, 1, …; −1 where nothing is known.
    count
        Number of grains.
    """

    numbers: NDArray[np.int32]
    count: int

    @property
    def shape(self) -> Shape:
        """Of the volume, (z, y, x)."""
        depth, rows, cols = self.numbers.shape
        return depth, rows, cols

    @property
    def mask(self) -> Mask:
        """(z, y, x) bool: voxels that are known."""
        return self.numbers >= 0


def number_given(labels: Volume | NDArray[Any], shape: Shape, part: Mask | None = None) -> GivenGrains:
    """Number the labels that occur, ascending, plane by plane.

    Parameters
    ----------
    labels
        (z, y, x) integers; negative where nothing is known. Voxels of one label are a grain, connected or not.
    shape
        Of the volume.
    part
        Bool of that shape, True in the part; None for the whole box.

    Raises
    ------
    VolumeError
        If shape or type are others, none or all voxels are known, or some outside the part.
    """
    volume = labels if isinstance(labels, Volume) else Volume(np.asarray(labels), "known grains")
    name = volume.name
    if volume.dtype.kind not in "iu":
        raise VolumeError(f"{name}: {NOT_INTEGER}; got {volume.dtype}: round what is known, and write −1 elsewhere")
    if volume.shape != tuple(shape):
        raise VolumeError(f"{name}: must have the volume's shape {tuple(shape)}, −1 where unknown; got {volume.shape}")
    found = [np.unique(plane[plane >= 0]) for plane in _planes(volume)]
    values = np.unique(np.concatenate(found))
    numbers = np.empty(volume.shape, np.int32)
    for plane, out in zip(_planes(volume), numbers, strict=True):
        out[...] = np.where(plane >= 0, np.searchsorted(values, plane), -1)
    given, all_known = GivenGrains(numbers, len(values)), numbers.min() >= 0
    if not given.count:
        raise VolumeError(f"{name}: must hold a known grain, 0 or more; got none: all labels are negative")
    if all_known:
        raise VolumeError(f"{name}: nothing is left to grow: all voxels are known; write −1 where it is to grow")
    if part is not None and part.shape == numbers.shape and (outside := np.count_nonzero(given.mask & ~part)):
        raise VolumeError(f"{name}: {outside:,} known voxels lie outside the part; write −1 there")
    return given


def colour_given(given: GivenGrains, n_colours: int, seed: int, wraps: Wraps) -> NDArray[np.int8]:
    """Colour known grains so that those that touch differ, and as far as colours reach those that are near.

    Parameters
    ----------
    given
        The grains.
    n_colours
        At most 128.
    seed
        The same seed gives the same colours.
    wraps
        Whether the volume goes on at its opposite face along z, y and x.

    Returns
    -------
    (grains,) int8
    """
    rng = np.random.default_rng(seed)
    pairs = list_touching(given.numbers, wraps)
    one, other = pairs >> 32, pairs & 0xFFFFFFFF
    touching = _rows(np.concatenate([one, other]), np.concatenate([other, one]), given.count)
    choice = Choice(rng.permutation(given.count), rng.integers(0, n_colours, given.count), n_colours)
    colours = np.empty(given.count, np.int8)
    spread_colours(choice, touching, _list_near(given), wraps, colours)
    return colours


def paint_given(given: GivenGrains, colours: NDArray[np.int8]) -> NDArray[np.int8]:
    """Colours of known voxels, (z, y, x) int8; −1 elsewhere."""
    return np.append(colours, np.int8(-1))[given.numbers]


def continue_given(
    volume: NDArray[np.int8], given: GivenGrains, colours: NDArray[np.int8], wraps: Wraps, path: Path
) -> tuple[NDArray[np.int32], int]:
    """Tell known grains apart in a grown volume, whatever their colours.

    Parameters
    ----------
    volume
        (z, y, x) int8 colours, those of known grains among them.
    given, colours
        The grains, and the colour of each.
    wraps
        Whether the volume goes on at its opposite face along z, y and x.
    path
        A .npy file to make, into which the values are mapped.

    Returns
    -------
    values : (z, y, x) int32
        Colours; of known grains and what has grown on them, 128 + number.
    met : int
        Pairs of known grains of one colour that share a face, and so were divided by nearness.
    """
    values = np.lib.format.open_memmap(path, "w+", np.int32, volume.shape)
    take_room(path)
    values[...] = given.numbers
    flood_colours(np.ascontiguousarray(volume), wraps, np.asarray(values))
    met = len(list_met(np.asarray(values), colours, wraps))
    for plane, drawn in zip(values, volume, strict=True):
        np.copyto(plane, np.where(plane >= 0, plane + FIRST_GIVEN, drawn))
    return np.asarray(values), met


def _planes(volume: Volume) -> Iterator[NDArray[Any]]:
    return (np.asarray(volume[z]) for z in range(volume.shape[0]))


def _rows(place: NDArray[np.int64], numbers: NDArray[np.int64], count: int) -> Rows:
    """Lists by place, each ascending."""
    order = np.lexsort((numbers, place))
    return Rows(np.searchsorted(place[order], np.arange(count + 1)), numbers[order])


def _list_near(given: GivenGrains) -> Nearness:
    depth, rows, cols = (-(-side // CELL) for side in given.numbers.shape)
    y, x = (np.arange(side) // CELL for side in given.numbers.shape[1:])
    within = y[:, None] * cols + x
    found = []
    for z in range(depth):
        slab = given.numbers[z * CELL : (z + 1) * CELL]
        known = slab >= 0
        cells = np.broadcast_to(z * rows * cols + within, slab.shape)[known]
        found.append(np.unique(cells.astype(np.int64) * given.count + slab[known]))
    cell, grain = np.divmod(np.concatenate(found), given.count)
    return Nearness((depth, rows, cols), _rows(cell, grain, depth * rows * cols), _rows(grain, cell, given.count))
