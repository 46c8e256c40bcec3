"""A volume that is asked for: what to grow, and where to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Mask
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.errors import EngineError, OutputError, VolumeError
from microrun.runtime.generation.block_folder import BlockFolder, make_folder
from microrun.runtime.generation.blueprint import Blueprint
from microrun.runtime.generation.effort import check_block, evaluations_per_block
from microrun.runtime.generation.given import GivenGrains, colour_given, number_given, paint_given
from microrun.runtime.generation.recipe import VolumeRecipe, find_usual, fit_sampling
from microrun.runtime.generation.scale import tell_size
from microrun.runtime.generation.tiling import Tiling
from microrun.runtime.spec import ModelSpec
from microrun.runtime.volumes.axes import wraps_of
from microrun.runtime.volumes.segment import SegmentOptions
from microrun.runtime.volumes.volume import SUFFIXES

# Of a grain, 3³: voxels that a network is not sure of look like tiny ones. Of Potts' 8 % are smaller, with 0.7 % of the
# voxels.
MIN_VOXELS = 27


@dataclass(frozen=True, eq=False)
class GenerateRequest(VolumeRecipe):
    """What to grow, and where to.

    Parameters
    ----------
    shape, seed, order, sampling, periodic, grain_voxels
        As of `VolumeRecipe`.
    out
        The .npy or .h5 file to make, a path or text; blocks lie beside it in OUT.blocks until it is done.
    part
        Bool of that shape, True in the part; None for the whole box.
    known
        Grains to be continued: `GivenGrains`, or (z, y, x) integers, negative where nothing is known.
    min_voxels
        Smaller grains are absorbed by a neighbour, but for those that are known; 0 keeps all.
    relax
        Sweeps of the Potts model at T = 0 that straighten boundaries, of a denoiser of colours; 0 leaves them as drawn,
        None is what suits the denoiser: 52, but 0 of printed metal.
    voxel_um
        Edge of a voxel in µm, which an HDF5 file states; None if there is nothing to state.

    Raises
    ------
    VolumeError
        If order, seed, periodic axes, known grains or the edge of a voxel make no sense.
    OutputError
        If a file of this name cannot be made.

    Examples
    --------
    >>> from microrun.runtime import GenerateRequest
    >>> request = GenerateRequest((64, 64, 64), seed=7, order="isotropic", out="grains.h5")
    >>> len(request.tiling)
    27
    """

    out: Path = field(kw_only=True)
    part: Mask | None = field(default=None, kw_only=True)
    known: GivenGrains | NDArray[Any] | None = field(default=None, kw_only=True)
    min_voxels: int = field(default=MIN_VOXELS, kw_only=True)
    relax: int | None = field(default=None, kw_only=True)
    voxel_um: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "out", Path(self.out))
        if self.out.suffix.lower() not in SUFFIXES:
            raise OutputError(f"{self.out}: volumes are written as .npy or .h5")
        if not self.out.parent.is_dir():
            raise OutputError(f"{self.out.parent}: no such folder")
        if self.out.is_dir():
            raise OutputError(f"{self.out}: is a folder; choose another name")
        # Refuses now, not when all is grown.
        SegmentOptions(components=6, min_voxels=self.min_voxels, relax=self.relax or 0)
        if self.voxel_um is not None and not 0 < self.voxel_um < math.inf:
            raise VolumeError(f"the edge of a voxel is more than 0 µm; got {self.voxel_um:g}")
        if self.known is not None and not isinstance(self.known, GivenGrains):
            object.__setattr__(self, "known", number_given(self.known, self.shape, self.part))

    @property
    def given(self) -> GivenGrains | None:
        """The known grains."""
        return self.known if isinstance(self.known, GivenGrains) else None

    def settle(self, spec: ModelSpec) -> GenerateRequest:
        """The same with all that was left to the denoiser: order of the blocks, sampling, relaxing.

        Parameters
        ----------
        spec
            Of the denoiser.

        Raises
        ------
        EngineError
            If it draws no blocks, or not in the way that is asked for.
        """
        suited, sampling = find_usual(check_block(spec)), fit_sampling(self.sampling, spec)
        order, relax = self.order or suited.order, suited.relax if self.relax is None else self.relax
        if (order, relax, sampling) == (self.order, self.relax, self.sampling):
            return self
        return replace(self, order=order, relax=relax, sampling=sampling)

    @property
    def folder(self) -> Path:
        """Folder of the blocks."""
        return name_folder(self.out)

    @cached_property
    def tiling(self) -> Tiling:
        """The blocks and their order; VolumeError if the volume cannot be tiled, or the order is the denoiser's yet."""
        return self.tile(self.part, None if self.given is None else self.given.mask)

    def colour_known(self, n_colours: int) -> NDArray[np.int8]:
        """Colours of the known grains, (grains,) int8."""
        assert self.given is not None
        return colour_given(self.given, n_colours, self.seed, wraps_of(self.periodic))

    def open_folder(self, spec: ModelSpec, info: EngineInfo) -> BlockFolder:
        """Make the folder of the blocks, or go on with it.

        Raises
        ------
        EngineError
            If the denoiser draws no blocks, no colours where that takes some, grains of another size, or not in the way
            that is asked for.
        VolumeError
            If the folder is that of another volume, its part is damaged, or the volume cannot be tiled.
        MicrorunError
            If so many timesteps do not fit the denoiser's schedule.
        """
        diffusion, settled = check_block(spec), self.settle(spec)
        sampling = fit_sampling(settled.sampling, spec)
        tell_size(spec, self.grain_voxels)  # refuses, as the next
        evaluations_per_block(diffusion.schedule, sampling)  # refuses before there is a folder
        if (self.given or self.periodic) and not diffusion.n_colours:
            raise EngineError(
                f"{spec.name}: known grains and periodic volumes take a denoiser of colours, not of values"
            )
        tiling, known = settled.tiling, None
        if self.given is not None:
            known = paint_given(self.given, self.colour_known(diffusion.n_colours))
        make_folder(self.folder, Blueprint.of(settled, sampling, self.part, info, known), self.part, known)
        folder = BlockFolder(self.folder, diffusion, tiling)
        _ = folder.part, folder.given  # damaged ones are refused now, not when all blocks are grown
        return folder


def name_folder(out: Path) -> Path:
    """Folder of a volume's blocks, beside it."""
    return out.with_name(out.name + ".blocks")
