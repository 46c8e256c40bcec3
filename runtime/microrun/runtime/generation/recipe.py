"""What a volume is asked to be, and the ways of drawing that were measured."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from microrun.runtime.array_types import Mask
from microrun.runtime.errors import EngineError, VolumeError
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.tiling import Region, Tiling, check_periodic, tile_anisotropic, tile_isotropic
from microrun.runtime.spec import Diffusion, ModelSpec, Process
from microrun.runtime.volumes.axes import parse_axes, wraps_of
from microrun.runtime.volumes.volume import LARGEST, Shape

Order = Literal["isotropic", "anisotropic"]
PresetName = Literal["default", "fast", "repaint"]
TILINGS = {"isotropic": tile_isotropic, "anisotropic": tile_anisotropic}
# Two units of the simulation's time: boundaries move by a voxel, grains do not grow. Chosen of 13, 26, 39 and 52.
RELAX_SWEEPS = 52


class Usual(NamedTuple):
    """What suits a denoiser: the order of the blocks, and the sweeps that straighten boundaries."""

    order: Order
    relax: int


# By the process that a denoiser has learned from. Rows of printed grains go on from block to block only if every block
# has a neighbour: the isotropic order begins with blocks apart, whose rows do not meet. Even simulated columns lose a
# tenth of their grains by relaxing, and what is left is too long.
GROWTH = Usual("isotropic", RELAX_SWEEPS)
USUAL: dict[Process, Usual] = {"": GROWTH, "potts": GROWTH, "am": Usual("anisotropic", 0)}
# How far known voxels are ahead, measured: with less, borders of blocks show; with more, sizes of grains suffer.
LEAD = 0.16
PRESETS: dict[str, Sampling] = {
    "default": Sampling(50, n_resample=2, plain_steps=5, known_lead=LEAD),
    "fast": Sampling(25, n_resample=2, plain_steps=2, known_lead=LEAD),
}
# RePaint as GrainPaint takes it: all timesteps, 250 there, all but the last tenth drawn again 10 times, nothing ahead.
REPAINT = Sampling(250, n_resample=11, plain_steps=25)
# Of denoisers that see what is known: nothing is drawn again.
KNOWN_PRESETS: dict[str, Sampling] = {"default": Sampling(50), "fast": Sampling(25)}


@dataclass(frozen=True)
class Preset:
    """A way of drawing by its name; it becomes a `Sampling` when the denoiser is known.

    Parameters
    ----------
    name
        "default"; "fast", in half the evaluations; or "repaint", as the paper has it, for denoisers that do not see
        what is known.
    timesteps
        Visited, instead of the preset's.
    resample
        How often each is drawn again where voxels are known, likewise.

    Raises
    ------
    VolumeError
        If there is none of this name.
    """

    name: PresetName = "default"
    timesteps: int | None = None
    resample: int | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(PresetName):
            raise VolumeError(f"a preset is one of {', '.join(get_args(PresetName))}; got {self.name!r}")

    def of(self, spec: ModelSpec) -> Sampling:
        """How a denoiser draws by it.

        Parameters
        ----------
        spec
            Of the denoiser.

        Raises
        ------
        EngineError
            If that is RePaint, and the denoiser takes none.
        MicrorunError
            If so many timesteps make no sense.
        """
        assert spec.diffusion is not None
        chosen = presets_of(spec.diffusion).get(self.name)
        if chosen is None or (spec.diffusion.known_inputs and self.resample):
            raise EngineError(
                f"{spec.name}: sees what is known, so that nothing is drawn again by RePaint; leave out --resample "
                f"and --preset repaint"
            )
        if self.timesteps is not None:
            plain_steps = 0 if spec.diffusion.known_inputs else self.timesteps // 10
            chosen = replace(chosen, count=self.timesteps, plain_steps=plain_steps)
        return chosen if self.resample is None else replace(chosen, n_resample=self.resample + 1)


def find_usual(diffusion: Diffusion) -> Usual:
    """What suits a denoiser, by the process that it has learned from."""
    return USUAL[diffusion.process]


def presets_of(diffusion: Diffusion) -> Mapping[str, Sampling]:
    """The presets of a denoiser, by name."""
    if diffusion.known_inputs:
        return KNOWN_PRESETS
    every = diffusion.schedule.training_steps
    return {**PRESETS, "repaint": replace(REPAINT, count=every, plain_steps=every // 10)}


def fit_sampling(sampling: Sampling | Preset, spec: ModelSpec) -> Sampling:
    """How a denoiser draws what is asked for; EngineError if that is RePaint, and the denoiser takes none."""
    if isinstance(sampling, Preset):
        return sampling.of(spec)
    assert spec.diffusion is not None
    if spec.diffusion.known_inputs and (sampling.n_resample > 1 or sampling.known_lead):
        raise EngineError(
            f"{spec.name}: sees what is known, so that nothing is drawn again by RePaint, and nothing is ahead; "
            f"expected n_resample 1 and known_lead 0, got {sampling.n_resample} and {sampling.known_lead:g}"
        )
    return sampling


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
        Of the blocks; None is what suits the denoiser: anisotropic of printed metal, else isotropic.
    sampling
        How each block is drawn; by default the denoiser's preset.
    periodic
        Axes along which the volume goes on at its opposite face, as `parse_axes` reads them: "zyx", "yx", "" for none.
    grain_voxels
        Mean diameter of the grains in voxels, of a denoiser that is told it; None for what it usually draws.

    Raises
    ------
    VolumeError
        If shape, order, seed, periodic axes or the size of grains make no sense.
    """

    shape: Shape
    seed: int = 0
    order: Order | None = None
    sampling: Sampling | Preset = Preset()
    periodic: str = ""
    grain_voxels: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _as_shape(self.shape))
        if self.grain_voxels is not None and not 0 < self.grain_voxels < math.inf:
            raise VolumeError(f"the mean diameter of grains is more than 0 voxels; got {self.grain_voxels:g}")
        if self.order is not None and self.order not in TILINGS:
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
            fit or is empty; or if the order is still left to the denoiser.
        """
        if self.order is None:
            raise VolumeError("the order of the blocks is the denoiser's: settle the request by its spec, or name one")
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
