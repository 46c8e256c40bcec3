"""What is asked for on the command line, in voxels: the size of a volume, its part, and the grains that are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from microrun.cli import console
from microrun.runtime.array_types import Mask
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import MicrorunError, VolumeError
from microrun.runtime.files.npy import map_array
from microrun.runtime.generation.effort import check_block
from microrun.runtime.generation.given import GivenGrains, number_given
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.generation.scale import check_grains_fit, scale_to_grains, tell_size
from microrun.runtime.volumes.parts import load_part
from microrun.runtime.volumes.volume import Shape, open_volume

SIZE = "64"


class Sizes(NamedTuple):
    """The size of a volume as it was written, and files that say it: a surface, a mask, known grains."""

    size: str | None
    size_um: str | None
    stl: Path | None
    part: Path | None
    known: Path | None


class Asked(NamedTuple):
    """A volume in voxels: (z, y, x), the mask of its part, and its known grains."""

    shape: Shape
    mask: Mask | None
    given: GivenGrains | None


class Scale:
    """Edge of a voxel, by itself or by the mean diameter of grains; both for a denoiser that is told their size.

    Parameters
    ----------
    engine
        Whose grains these are.
    voxel_um, mean_grain_um
        In µm.

    Attributes
    ----------
    voxel_um : float or None
        Edge of a voxel, None where nothing is asked for.
    grain_voxels : float or None
        Mean diameter of the grains, where that is to be another than the denoiser's usual one.
    """

    def __init__(self, engine: str, voxel_um: float | None, mean_grain_um: float | None) -> None:
        self.grain_voxels: float | None = None
        self.voxel_um, self._spec = voxel_um, None if mean_grain_um is None else read_model_spec(find_model(engine))
        if mean_grain_um is None or self._spec is None:
            return
        native_um = scale_to_grains(self._spec, mean_grain_um)
        if voxel_um is None:
            self.voxel_um = native_um
            return
        if not 0 < voxel_um < math.inf:
            raise VolumeError(f"the edge of a voxel is more than 0 µm; got {voxel_um:g}")
        if not self._spec.diffusion or not self._spec.diffusion.conditions:
            raise VolumeError(
                f"{self._spec.name} draws grains of one size, so that --mean-grain-um says how large a voxel is "
                f"({native_um:.3g} µm); leave --voxel-um out"
            )
        self.grain_voxels = mean_grain_um / voxel_um
        tell_size(self._spec, self.grain_voxels)  # refuses

    def check(self, shape: Shape) -> None:
        """Refuse a volume in which grains of the asked size have no place."""
        if self._spec is not None:
            check_grains_fit(self._spec, shape, self.grain_voxels)

    def in_voxels(self, size: str | None, size_um: str | None) -> str | None:
        """A size in voxels as it is written: as given, or what is nearest to one in µm."""
        if size_um is None:
            return size
        if size is not None:
            raise VolumeError("--size counts voxels, --size-um µm; take one")
        if self.voxel_um is None or not 0 < self.voxel_um < math.inf:
            raise VolumeError("--size-um needs the size of a voxel: give --mean-grain-um or --voxel-um, more than 0")
        sides = size_um.lower().replace("×", "x").split("x")
        try:
            voxels = [round(float(side) / self.voxel_um) for side in sides]
        except (ValueError, OverflowError):
            voxels = []
        if len(voxels) not in (1, 3) or min(voxels) < 1:
            raise VolumeError(f"--size-um is one number or ZxYxX in µm, a voxel or more, such as 200; got {size_um!r}")
        return "x".join(map(str, voxels))


def settle_here(request: GenerateRequest, engine: str) -> GenerateRequest:
    """A request as its denoiser has it, with blocks that can be tiled; as it was if opening the engine will fail."""
    try:
        spec = read_model_spec(find_model(engine))
        if spec.kind != "denoiser":
            return request
        check_block(spec)
    except MicrorunError:
        return request
    settled = request.settle(spec)
    _ = settled.tiling  # refuses
    return settled


def parse_size(text: str) -> Shape:
    """Read a size in voxels; VolumeError if it is none."""
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) not in (1, 3) or not all(side.isdecimal() for side in sides):
        raise VolumeError(f"--size is one number or ZxYxX, such as 64 or 64x128x128; got {text!r}")
    z, y, x = (int(side) for side in (sides * 3 if len(sides) == 1 else sides))
    return z, y, x


def read_asked(sizes: Sizes, scale: Scale) -> Asked:
    """Read what is asked for; `MicrorunError` of whatever is damaged, or does not go together."""
    size = scale.in_voxels(sizes.size, sizes.size_um)
    mask = _read_part(sizes.part, size) if sizes.stl is None else _load_stl(sizes.stl, sizes.part, size or SIZE)
    shape = parse_size(size or SIZE) if mask is None else (mask.shape[0], mask.shape[1], mask.shape[2])
    given = None
    if sizes.known is not None:
        with open_volume(sizes.known) as labels, console.step("reading known grains"):
            shape = labels.shape if mask is None and size is None else shape
            given = number_given(labels, shape, mask)
    scale.check(shape)
    return Asked(shape, mask, given)


def _load_stl(stl: Path, part: Path | None, size: str) -> Mask:
    if part is not None:
        raise VolumeError("--stl and --part are two ways to give a part; take one")
    if not size.isdecimal():
        raise VolumeError(f"--size is the longest side of the part in voxels, one number; got {size!r}")
    loaded = load_part(stl, int(size))
    for said in loaded.remarks:
        console.warning_line(f"{stl}: {said}")
    return loaded.filled


def _read_part(part: Path | None, size: str | None) -> Mask | None:
    if part is None:
        return None
    mask = map_array(part)
    if mask.ndim != 3 or mask.dtype != bool:
        raise VolumeError(f"{part}: a part is a mask of bool (z, y, x); got {mask.dtype} {mask.shape}")
    if size is not None and parse_size(size) != mask.shape:
        raise VolumeError(f"{part}: the mask is {mask.shape}; --size asks for {parse_size(size)}: leave it out")
    return mask
