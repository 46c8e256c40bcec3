"""What to grow, and the presets that were measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from microrun.runtime.array_types import Mask
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.errors import OutputError
from microrun.runtime.generation.block_folder import BlockFolder, make_folder
from microrun.runtime.generation.blueprint import Blueprint, Order, hash_mask, name_computed, tile_volume
from microrun.runtime.generation.effort import check_block, evaluations_per_block
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.tiling import Tiling
from microrun.runtime.spec import ModelSpec
from microrun.runtime.volumes.volume import SUFFIXES, Shape

# Of known voxels, measured: with less, borders of blocks show; with more, sizes of grains suffer.
LEAD = 0.16
PRESETS = {
    "default": Sampling(50, n_resample=2, plain_steps=5, known_lead=LEAD),
    "fast": Sampling(25, n_resample=2, plain_steps=2, known_lead=LEAD),
}
# Of a grain, 3³: voxels that a network is not sure of look like tiny ones. Of Potts' 8 % are smaller, with 0.2 % of the
# voxels.
MIN_VOXELS = 27


@dataclass(frozen=True, eq=False)
class GenerateRequest:
    """What to grow.

    Parameters
    ----------
    out
        The .npy or .h5 file to make; blocks lie beside it in OUT.blocks until it is done.
    shape
        (z, y, x) in voxels; without a part 32 or more each.
    seed
        The same seed and engine give the same volume.
    sampling
        How each block is drawn.
    order
        Of the blocks.
    part
        Bool of that shape, True in the part; None for the whole box.
    min_voxels
        Smaller grains are absorbed by a neighbour; 0 keeps all.

    Raises
    ------
    VolumeError
        If there is no such volume.
    OutputError
        If a file of this name cannot be made.
    """

    out: Path
    shape: Shape
    seed: int = 0
    sampling: Sampling = PRESETS["default"]
    order: Order = "isotropic"
    part: Mask | None = None
    min_voxels: int = MIN_VOXELS

    def __post_init__(self) -> None:
        if self.out.suffix.lower() not in SUFFIXES:
            raise OutputError(f"{self.out}: volumes are written as .npy or .h5")
        if not self.out.parent.is_dir():
            raise OutputError(f"{self.out.parent}: no such folder")
        if self.out.is_dir():
            raise OutputError(f"{self.out}: is a folder; choose another name")

    @property
    def folder(self) -> Path:
        """Of the blocks."""
        return self.out.with_name(self.out.name + ".blocks")

    def blueprint(self, info: EngineInfo) -> Blueprint:
        """All that the volume is a function of, with the engine that computes it."""
        part = "" if self.part is None else hash_mask(self.part)
        return Blueprint(self.shape, self.seed, self.order, self.sampling, info.sha256, name_computed(info), part)

    def open_folder(self, spec: ModelSpec, info: EngineInfo) -> BlockFolder:
        """Make the folder of the blocks, or go on with it.

        Raises
        ------
        EngineError
            If the denoiser draws no blocks.
        VolumeError
            If the folder is that of another volume.
        MicrorunError
            If so many timesteps do not fit the denoiser's schedule.
        """
        diffusion = check_block(spec)
        evaluations_per_block(diffusion.schedule, self.sampling)  # refuses before there is a folder
        self.check()
        make_folder(self.folder, self.blueprint(info), self.part)
        return BlockFolder(self.folder, diffusion)

    def check(self) -> None:
        """Raise VolumeError if the volume cannot be tiled."""
        _ = self.tiling

    @cached_property
    def tiling(self) -> Tiling:
        """The blocks and their order; VolumeError if there are none."""
        return tile_volume(self.order, self.shape, self.part)
