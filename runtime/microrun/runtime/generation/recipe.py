"""What a volume is asked to be, and the ways of drawing that were measured."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from microrun.runtime.array_types import Mask
from microrun.runtime.errors import VolumeError
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.tiling import Region, Tiling, check_periodic, tile_anisotropic, tile_isotropic
from microrun.runtime.volumes.axes import parse_axes, wraps_of
from microrun.runtime.volumes.volume import LARGEST, Shape

Order = Literal["isotropic", "anisotropic"]
TILINGS = {"isotropic": tile_isotropic, "anisotropic": tile_anisotropic}
# How far known voxels are ahead, measured: with less, borders of blocks show; with more, sizes of grains suffer.
LEAD = 0.16
PRESETS = {
    "default": Sampling(50, n_resample=2, plain_steps=5, known_lead=LEAD),
    "fast": Sampling(25, n_resample=2, plain_steps=2, known_lead=LEAD),
}


@dataclass(frozen=True)
class VolumeRecipe:
    """What a volume is a function of, but for its part and the engine that computes it.

    Parameters
    ----------
    shape
        (z, y, x) in voxels; without a part 32 or more each.
    seed
        The same seed and engine give the same volume.
    order
        Of the blocks.
    sampling
        How each block is drawn.
    periodic
        Axes along which the volume goes on at its opposite face, as `parse_axes` reads them: "zyx", "yx", "" for none.

    Raises
    ------
    VolumeError
        If shape, order, seed or periodic axes make no sense.
    """

    shape: Shape
    seed: int = 0
    order: Order = "isotropic"
    sampling: Sampling = PRESETS["default"]
    periodic: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _as_shape(self.shape))
        if self.order not in TILINGS:
            raise VolumeError(f"order must be one of {', '.join(TILINGS)}; got {self.order!r}")
        if not 0 <= self.seed < 1 << 64:
            raise VolumeError(f"seed must be 0 to 2^64 - 1; got {self.seed}")
        object.__setattr__(self, "periodic", parse_axes(self.periodic))

    def tile(self, part: Mask | None, known: Mask | None = None) -> Tiling:
        """Tile the volume; around a part that is thinner than a block there is room for one.

        Parameters
        ----------
        part
            Bool of the volume's shape, True in the part; None for the whole box.
        known
            Bool of the volume's shape, True where voxels are known before the first block; None for none.

        Raises
        ------
        VolumeError
            If the volume is smaller than a block or far too large, or does not fit its periods, or the mask does not
            fit or is empty.
        """
        if math.prod(self.shape) > LARGEST:
            raise VolumeError(f"a volume must have at most {LARGEST:,} voxels; got {self.shape}: grow it in pieces")
        tile, wraps = TILINGS[self.order], wraps_of(self.periodic)
        check_periodic(self.shape, wraps)
        if part is None or part.shape != self.shape:
            return tile(self.shape, Region(part, known, wraps))
        depth, rows, cols = (max(side, BLOCK) for side in self.shape)
        missing = [(0, more - side) for more, side in zip((depth, rows, cols), self.shape, strict=True)]
        part, known = (mask if mask is None or not np.any(missing) else np.pad(mask, missing) for mask in (part, known))
        return tile((depth, rows, cols), Region(part, known, wraps))


def _as_shape(given: Iterable[int]) -> Shape:
    """A list or an array as the tuple that blueprints are compared by."""
    try:
        z, y, x = map(operator.index, given)
    except (TypeError, ValueError):
        raise VolumeError(f"shape must be three whole numbers (z, y, x); got {given!r}") from None
    return z, y, x
