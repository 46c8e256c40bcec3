"""A volume that is asked for: what to grow, and where to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from microrun.runtime.array_types import Mask
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.errors import OutputError
from microrun.runtime.generation.block_folder import BlockFolder, make_folder
from microrun.runtime.generation.blueprint import Blueprint
from microrun.runtime.generation.effort import check_block, evaluations_per_block
from microrun.runtime.generation.recipe import VolumeRecipe
from microrun.runtime.generation.tiling import Tiling
from microrun.runtime.spec import ModelSpec
from microrun.runtime.volumes.volume import SUFFIXES

# Of a grain, 3³: voxels that a network is not sure of look like tiny ones. Of Potts' 8 % are smaller, with 0.2 % of the
# voxels.
MIN_VOXELS = 27


@dataclass(frozen=True, eq=False)
class GenerateRequest(VolumeRecipe):
    """What to grow, and where to.

    Parameters
    ----------
    shape, seed, order, sampling
        As of `VolumeRecipe`.
    out
        The .npy or .h5 file to make, a path or text; blocks lie beside it in OUT.blocks until it is done.
    part
        Bool of that shape, True in the part; None for the whole box.
    min_voxels
        Smaller grains are absorbed by a neighbour; 0 keeps all.

    Raises
    ------
    VolumeError
        If order or seed make no sense.
    OutputError
        If a file of this name cannot be made.

    Examples
    --------
    >>> from microrun.runtime import GenerateRequest
    >>> request = GenerateRequest((64, 64, 64), seed=7, out="grains.h5")
    >>> len(request.tiling)
    27
    """

    out: Path = field(kw_only=True)
    part: Mask | None = field(default=None, kw_only=True)
    min_voxels: int = field(default=MIN_VOXELS, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "out", Path(self.out))
        if self.out.suffix.lower() not in SUFFIXES:
            raise OutputError(f"{self.out}: volumes are written as .npy or .h5")
        if not self.out.parent.is_dir():
            raise OutputError(f"{self.out.parent}: no such folder")
        if self.out.is_dir():
            raise OutputError(f"{self.out}: is a folder; choose another name")

    @property
    def folder(self) -> Path:
        """Folder of the blocks."""
        return name_folder(self.out)

    @cached_property
    def tiling(self) -> Tiling:
        """The blocks and their order; VolumeError if the volume cannot be tiled."""
        return self.tile(self.part)

    def open_folder(self, spec: ModelSpec, info: EngineInfo) -> BlockFolder:
        """Make the folder of the blocks, or go on with it.

        Raises
        ------
        EngineError
            If the denoiser draws no blocks.
        VolumeError
            If the folder is that of another volume, its part is damaged, or the volume cannot be tiled.
        MicrorunError
            If so many timesteps do not fit the denoiser's schedule.
        """
        diffusion = check_block(spec)
        evaluations_per_block(diffusion.schedule, self.sampling)  # refuses before there is a folder
        tiling = self.tiling
        make_folder(self.folder, Blueprint.of(self, self.part, info), self.part)
        folder = BlockFolder(self.folder, diffusion, tiling)
        _ = folder.part  # a damaged one is refused now, not when all blocks are grown
        return folder


def name_folder(out: Path) -> Path:
    """Folder of a volume's blocks, beside it."""
    return out.with_name(out.name + ".blocks")
