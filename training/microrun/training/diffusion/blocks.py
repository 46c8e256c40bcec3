"""Blocks of simulated volumes to train a diffusion model on.

Each is cut out at a random place, mirrored and turned as far as its physics allows, and its grains are numbered anew
within the block: what hangs together by faces is one grain. Then the grains become values. They get few colours, at
random, of which neighbouring grains (in the sense of 26 neighbours) never share one, and a colour is a row of bits or
one of few values far apart: a model that comes within half the gap can be told into grains again. The labels of
GrainPaint are there to compare with: numbers of grains in the whole volume, so that neighbours may come as close as
rounding of float16 lets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.colouring import colour_grains, label_grains
from microrun.runtime.colour_codes import colour_codes
from microrun.runtime.conditions import Condition
from microrun.runtime.errors import MicrorunError
from microrun.training.simulate.volumes import SimulatedVolume, mean_grain_voxels

Grains = NDArray[np.int32]
Float32 = NDArray[np.float32]
Drawn = NDArray[np.generic]  # uint8 colours, or float32
Labels = Literal["bits", "colours", "ids"]

MOST_COLOURS = 128
MOST_FLOAT16_IDS = 65_504
ATTEMPTS = 20  # to colour a block


@dataclass(frozen=True)
class BlockSettings:
    """What blocks to make.

    Parameters
    ----------
    side
        Voxels along each axis.
    labels
        "bits" for colours in channels of −1 and 1, "colours" for values evenly spaced from −1 to 1, of which
        neighbours differ by at least 2/(n_colours − 1), or "ids" for GrainPaint's.
    n_colours
        Number of colours; of bits a power of two.
    seed
        The same seed gives the same blocks.
    """

    side: int = 32
    labels: Labels = "bits"
    n_colours: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if self.side < 1:
            raise MicrorunError(f"a block has at least 1 voxel a side, not {self.side}")
        if self.labels not in get_args(Labels):
            raise MicrorunError(f"labels must be one of {', '.join(get_args(Labels))}; got {self.labels!r}")
        if not 2 <= self.n_colours <= MOST_COLOURS:
            raise MicrorunError(f"there are 2 to {MOST_COLOURS} colours, not {self.n_colours}")
        if self.labels == "bits" and self.n_colours & self.n_colours - 1:
            raise MicrorunError(f"bits make 2, 4, 8, … colours, not {self.n_colours}")

    @property
    def channels(self) -> int:
        """Numbers of a voxel."""
        return self.n_colours.bit_length() - 1 if self.labels == "bits" else 1


class Blocks:
    """Any number of blocks; each is a function of the seed and its number.

    Parameters
    ----------
    volumes
        To cut from; all are equally likely.
    settings
        What blocks to make.
    size
        Window of the mean diameter of the volumes' grains, where a block is conditioned on that of its volume.

    Raises
    ------
    MicrorunError
        If there is no volume, one is smaller than a block, has too many grains for float16, or grains of a size
        outside the window.
    """

    def __init__(
        self,
        volumes: Sequence[SimulatedVolume],
        settings: BlockSettings = BlockSettings(),
        size: Condition | None = None,
    ) -> None:
        if not volumes:
            raise MicrorunError("blocks need at least one volume to be cut from")
        for volume in volumes:
            _check_volume(volume, settings)
        self._volumes = tuple(volumes)
        self.settings = settings
        told = [[]] * len(volumes) if size is None else [[_scaled_size(volume, size)] for volume in volumes]
        self._conditions = np.array(told, np.float32).reshape(len(volumes), -1)

    def block(self, index: int) -> Drawn:
        """Draw a block.

        Parameters
        ----------
        index
            Its number, 0 or above.

        Returns
        -------
        (side, side, side)
            uint8 colours from 0, which `codes` turns into values, or GrainPaint's labels, float32 within [−1, 1].
        """
        rng, number = self._choose(index)
        volume = self._volumes[number]
        grains = turn(cut(volume, self.settings.side, rng), volume.kind, rng)
        if self.settings.labels == "ids":
            return scale_ids(grains)
        return colour(number_grains(grains), self.settings.n_colours, rng)

    @property
    def seed(self) -> int:
        """Of the blocks."""
        return self.settings.seed

    def draw(self, indices: Sequence[int]) -> tuple[Drawn, Float32]:
        """Draw the blocks of these numbers, (n, side, side, side), and the size of their grains: (n, 1), or (n, 0)."""
        numbers = [self._choose(index)[1] for index in indices]
        return np.stack([self.block(index) for index in indices]), self._conditions[numbers]

    def _choose(self, index: int) -> tuple[np.random.Generator, int]:
        """The number of a block's volume, and what draws all else of the block."""
        rng = np.random.default_rng((self.settings.seed, index))
        return rng, int(rng.integers(len(self._volumes)))

    @property
    def codes(self) -> Float32 | None:
        """What a network sees of each colour, (n_colours, channels); None where there are no colours."""
        if self.settings.labels == "ids":
            return None
        return colour_codes(self.settings.n_colours, self.settings.channels)


def cut(volume: SimulatedVolume, side: int, rng: np.random.Generator) -> Grains:
    """Take a block out at random, across the faces of a periodic volume.

    Parameters
    ----------
    volume
        Not smaller than the block.
    side
        Voxels along each axis of the block.
    rng
        Chooses the place.

    Returns
    -------
    (side, side, side) int32
    """
    shape = volume.grain_ids.shape
    room = shape if volume.periodic else tuple(size - side + 1 for size in shape)
    places = [(rng.integers(most) + np.arange(side)) % size for most, size in zip(room, shape, strict=True)]
    block: Grains = volume.grain_ids[np.ix_(*places)]
    return block


def turn(block: Grains, kind: str, rng: np.random.Generator) -> Grains:
    """Mirror and turn a block at random, to where it could have come from as likely.

    Grain growth knows no direction: all 48 symmetries of the cube. A melt pool runs along x both ways and takes its
    tracks in either order, but z points up: x and y are mirrored, no axes exchanged.

    Parameters
    ----------
    block
        (Z, Y, X) int32.
    kind
        "potts" or "am".
    rng
        Chooses among all that are as likely.
    """
    axes = rng.permutation(3) if kind == "potts" else np.arange(3)
    mirrored = rng.integers(2, size=3) * (1, 1, 1) if kind == "potts" else rng.integers(2, size=3) * (0, 1, 1)
    return np.ascontiguousarray(np.flip(block.transpose(axes), tuple(np.flatnonzero(mirrored))))


def number_grains(block: Grains) -> Grains:
    """Number grains 0, 1, … in the order of their first voxels, one for what hangs together by faces.

    Parameters
    ----------
    block
        (Z, Y, X) int32; the numbers have its shape and dtype.
    """
    grain_ids = np.empty(block.shape, np.int32)
    label_grains(block, False, grain_ids)
    return grain_ids


def colour(grain_ids: Grains, n_colours: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Give every voxel a colour from 0, one for each grain, that none of the grain's 26-neighbours has.

    Parameters
    ----------
    grain_ids
        (Z, Y, X) int32, as of `number_grains`.
    n_colours
        Number of colours.
    rng
        Chooses among all that fit.

    Raises
    ------
    MicrorunError
        If so few colours do not suffice.
    """
    count = int(grain_ids.max()) + 1
    colours = np.empty(count, np.uint8)
    for _ in range(ATTEMPTS):
        if colour_grains(grain_ids, rng.permutation(count), rng.random(count), n_colours, colours):
            return colours[grain_ids]
    raise MicrorunError(f"{n_colours} colours do not suffice for a block of {count} grains; take more")


def scale_ids(grain_ids: Grains) -> Float32:
    """Scale ids as GrainPaint does: rounded to float16, (x − mean) / max|x − mean|; 0 for a single grain.

    Parameters
    ----------
    grain_ids
        (Z, Y, X) int32, below `MOST_FLOAT16_IDS`; the values have its shape, in float32.
    """
    ids = (grain_ids + 1).astype(np.float16).astype(np.float32)
    centred = ids - ids.mean()
    largest = np.abs(centred).max()
    scaled: Float32 = centred / largest if largest > 0 else centred
    return scaled


def _scaled_size(volume: SimulatedVolume, size: Condition) -> float:
    mean = mean_grain_voxels([volume])
    if mean is None or not size.low <= mean <= size.high:
        raise MicrorunError(
            f"grains of a volume are {'cut by its faces' if mean is None else f'{mean:g} voxels'} on average, outside "
            f"of {size.low:g} to {size.high:g}, which the network is told; train on others, or begin anew"
        )
    return size.scale(mean)


def _check_volume(volume: SimulatedVolume, settings: BlockSettings) -> None:
    if min(volume.grain_ids.shape) < settings.side:
        raise MicrorunError(f"a volume of {volume.grain_ids.shape} voxels holds no block of {settings.side}³")
    if settings.labels == "ids" and volume.grain_ids.max() >= MOST_FLOAT16_IDS:
        raise MicrorunError(f"labels by ids need fewer than {MOST_FLOAT16_IDS} grains a volume; grow it longer")
