"""How large grains are, in voxels and in µm."""

from __future__ import annotations

import math

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.conditions import GRAIN_VOXELS
from microrun.runtime.errors import EngineError, VolumeError
from microrun.runtime.spec import ModelSpec
from microrun.runtime.volumes.volume import Shape

LEAST_GRAINS = 2  # along each side of a volume


def scale_to_grains(spec: ModelSpec, mean_grain_um: float) -> float:
    """Edge of a voxel with which a denoiser's grains have a mean diameter.

    Parameters
    ----------
    spec
        Of the denoiser.
    mean_grain_um
        The diameter in µm, of spheres of the same volumes, by number.

    Returns
    -------
    float
        In µm.

    Raises
    ------
    VolumeError
        If the diameter is no length.
    EngineError
        If the denoiser does not state how many voxels across its grains are.
    """
    if not 0 < mean_grain_um < math.inf:
        raise VolumeError(f"the mean diameter of grains is more than 0 µm; got {mean_grain_um:g}")
    return mean_grain_um / _usual(spec)


def tell_size(spec: ModelSpec, grain_voxels: float | None) -> Float32 | None:
    """What a denoiser is told of the size of its grains.

    Parameters
    ----------
    spec
        Of the denoiser.
    grain_voxels
        Mean diameter that is asked for, in voxels; None for what it usually draws.

    Returns
    -------
    (1,) float32 or None
        From −1 to 1, as the network sees it; None for a denoiser that is told nothing.

    Raises
    ------
    EngineError
        If the denoiser draws grains of one size only, or was not trained on such ones.
    """
    sizes = [] if spec.diffusion is None else [one for one in spec.diffusion.conditions if one.name == GRAIN_VOXELS]
    if not sizes:
        if grain_voxels is not None:
            raise EngineError(
                f"{spec.name}: draws grains of one size; leave the size in voxels out, or scale the voxel"
            )
        return None
    (size,), wanted = sizes, _usual(spec) if grain_voxels is None else grain_voxels
    if not size.low <= wanted <= size.high:
        raise EngineError(
            f"{spec.name}: draws grains of {size.low:g} to {size.high:g} voxels on average; got {wanted:.3g}: choose "
            f"another size of a voxel"
        )
    return np.array([size.scale(wanted)], np.float32)


def check_grains_fit(spec: ModelSpec, shape: Shape, grain_voxels: float | None = None) -> None:
    """Refuse a volume of (z, y, x) voxels that is less than two mean grains across; VolumeError."""
    across = _usual(spec) if grain_voxels is None else grain_voxels
    if min(shape) < LEAST_GRAINS * across:
        raise VolumeError(
            f"a volume is {LEAST_GRAINS} mean grains across or more, {math.ceil(LEAST_GRAINS * across)} voxels of "
            f"{spec.name}; got {shape}: choose a larger size"
        )


def _usual(spec: ModelSpec) -> float:
    usual = None if spec.diffusion is None else spec.diffusion.grain_voxels
    if usual is None and spec.diffusion is not None and spec.diffusion.hatch_voxels:
        hatch = f"{spec.diffusion.hatch_voxels:g}"
        raise EngineError(
            f"{spec.name}: draws columns of printed metal in rows {hatch} voxels apart, which are not scaled by a mean "
            f"size; give --voxel-um instead, the distance of the tracks in µm / {hatch}"
        )
    if usual is None:
        raise EngineError(f"{spec.name}: does not state how large its grains are; give --voxel-um instead")
    return usual
