"""Which voxels of a block are known while a volume grows: masks to train on, taken from the tilings themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from microrun.runtime.array_types import Mask
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.recipe import TILINGS, Order
from microrun.runtime.generation.tiling import Region, Tiling, tile_anisotropic, tile_isotropic

NONE_SHARE = 0.2  # of the blocks find nothing known: those that a volume begins with
STREAM = 1  # so that masks are drawn apart from blocks of the same number
SIDE = 104  # of volumes whose blocks have all neighbours: four blocks along each axis
UNEVEN = (88, 94, 101)  # beyond whose faces the last blocks stand out
FLAT = (48, 56, 72)  # of fewer blocks than a cube
PERIODIC_SIDES = (48, 72, 80)  # two, three and four blocks around a period
LAYERS = (1, 16)  # voxels of what is known from the start


class Masks:
    """Any number of masks; each is a function of the seed and its number.

    A share of `NONE_SHARE` is empty. The others are drawn from the blocks of all tilings that find known voxels, each
    kind as likely as the others: of a cube, of a ball, of volumes that blocks stand out of, of periodic cubes, in the
    other order, and beside layers that are known from the start. No volume of the anisotropic order is periodic.

    Parameters
    ----------
    seed
        The same seed gives the same masks.
    order
        Of the blocks, but for those of one kind.
    """

    def __init__(self, seed: int, order: Order = "isotropic") -> None:
        self._seed, self._order = seed, order

    def draw(self, indices: Sequence[int]) -> Mask:
        """Draw the masks of these numbers, (n, 32, 32, 32) bool, True where a voxel is known."""
        return np.stack([self._mask(index) for index in indices])

    def _mask(self, index: int) -> Mask:
        rng = np.random.default_rng((self._seed, index, STREAM))
        if rng.random() < NONE_SHARE:
            return np.zeros((BLOCK, BLOCK, BLOCK), bool)
        kinds = _kinds(self._order)
        kind = kinds[rng.integers(len(kinds))]
        tiling, known = kind[rng.integers(len(kind))]
        return known_voxels(tiling, int(rng.choice(np.flatnonzero(tiling.has_known))), known)


def known_voxels(tiling: Tiling, block: int, known: Mask | None) -> Mask:
    """What a block finds known, (32, 32, 32) bool.

    Parameters
    ----------
    tiling
        The blocks and their order.
    block
        Its number.
    known
        Bool of the volume's shape, True where voxels are known before the first block; None for none.
    """
    mask = tiling.known_mask(block)
    if known is not None:
        for of_volume, of_block in tiling.windows(block):
            mask[of_block] |= known[of_volume]
    return mask


Prepared = tuple[Tiling, Mask | None]


@cache
def _kinds(order: Order) -> tuple[tuple[Prepared, ...], ...]:
    """Tilings to draw blocks from, with what is known before the first block, by kinds."""
    cube, tile = (SIDE, SIDE, SIDE), TILINGS[order]
    ball = Region(part=np.square(np.indices(cube) - (SIDE - 1) / 2).sum(axis=0) < (SIDE / 2) ** 2)
    plain = [[tile(cube)], [tile(cube, ball)]]
    if order == "isotropic":
        periodic = [tile_isotropic((side, side, side), Region(wraps=(True, True, True))) for side in PERIODIC_SIDES]
        plain += [[tile_anisotropic(cube)], [tile(UNEVEN), tile_anisotropic(UNEVEN)], periodic]
    else:
        plain += [[tile_isotropic(cube)], [tile(UNEVEN), tile(FLAT)]]
    beside = tuple((tile(cube, Region(known=known)), known) for known in _layers())
    return (*(tuple((tiling, None) for tiling in kind) for kind in plain), beside)


def _layers() -> list[Mask]:
    """Thin and thick layers across each axis, at either face of a cube and in its middle."""
    layers = []
    for axis in range(3):
        for thickness in LAYERS:
            for first in (0, (SIDE - thickness) // 2, SIDE - thickness):
                known = np.zeros((SIDE, SIDE, SIDE), bool)
                np.moveaxis(known, axis, 0)[first : first + thickness] = True
                layers.append(known)
    return layers
