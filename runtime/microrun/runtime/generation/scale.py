"""How large a voxel is, so that grains are as large as asked for."""

from __future__ import annotations

import math

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
    return mean_grain_um / _native(spec)


def check_grains_fit(spec: ModelSpec, shape: Shape) -> None:
    """Refuse a volume of (z, y, x) voxels that is less than two mean grains across; VolumeError."""
    across = _native(spec)
    if min(shape) < LEAST_GRAINS * across:
        raise VolumeError(
            f"a volume is {LEAST_GRAINS} mean grains across or more, {math.ceil(LEAST_GRAINS * across)} voxels of "
            f"{spec.name}; got {shape}: choose a larger size"
        )


def _native(spec: ModelSpec) -> float:
    native = None if spec.diffusion is None else spec.diffusion.grain_voxels
    if native is None:
        raise EngineError(f"{spec.name}: does not state how large its grains are; give --voxel-um instead")
    return native
