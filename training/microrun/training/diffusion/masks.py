"""Which voxels of a block are known while a volume grows: masks to train on, taken from the tilings themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from microrun.runtime.array_types import Mask
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.tiling import Region, Tiling, tile_anisotropic, tile_isotropic

NONE_SHARE = 0.2  # of the blocks find nothing known: those that a volume begins with
STREAM = 1  # so that masks are drawn apart from blocks of the same number
SIDE = 104  # of volumes whose blocks have all neighbours: four blocks along each axis
PERIODIC_SIDES = (48, 72, 80)  # two, three and four blocks around a period
LAYERS = (1, 16)  # voxels of what is known from the start


class Masks:
    """Any number of masks; each is a function of the seed and its number.

    A share of `NONE_SHARE` is empty. The others are drawn from the blocks of all tilings that find known voxels, each
    tiling as likely as the others: of a cube, of a ball, of periodic cubes, in the anisotropic order, and beside layers
    that are known from the start.

    Parameters
    ----------
    seed
        The same seed gives the same masks.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def draw(self, indices: Sequence[int]) -> Mask:
        """Draw the masks of these numbers, (n, 32, 32, 32) bool, True where a voxel is known."""
        return np.stack([self._mask(index) for index in indices])

    def _mask(self, index: int) -> Mask:
        rng = np.random.default_rng((self._seed, index, STREAM))
        if rng.random() < NONE_SHARE:
            return np.zeros((BLOCK, BLOCK, BLOCK), bool)
        tilings = _tilings()
        tiling, known = tilings[rng.integers(len(tilings))]
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


@cache
def _tilings() -> tuple[tuple[Tiling, Mask | None], ...]:
    """Tilings to draw blocks from, with what is known before the first block."""
    cube = (SIDE, SIDE, SIDE)
    places = np.indices(cube) - (SIDE - 1) / 2
    ball = Region(part=np.square(places).sum(axis=0) < (SIDE / 2) ** 2)
    plain = [tile_isotropic(cube), tile_isotropic(cube, ball), tile_anisotropic(cube)]
    plain += [tile_isotropic((side, side, side), Region(wraps=(True, True, True))) for side in PERIODIC_SIDES]
    beside = [(tile_isotropic(cube, Region(known=known)), known) for known in _layers()]
    return (*((tiling, None) for tiling in plain), *beside)


def _layers() -> list[Mask]:
    """A thin and a thick layer, one in the middle of a cube, one at its face, along different axes."""
    thin, thick = (np.zeros((SIDE, SIDE, SIDE), bool) for _ in LAYERS)
    thin[:, SIDE // 2 : SIDE // 2 + LAYERS[0]] = True
    thick[: LAYERS[1]] = True
    return [thin, thick]
