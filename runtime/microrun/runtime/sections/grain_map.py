"""Maps of grains as microscopes see them: segmented by misorientation, every point with its grain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import SectionsError
from microrun.runtime.scans.lattice import connect

GRAIN_DEG = 10.0  # neighbours below this angle belong to one grain
AT_ONCE = 1 << 20  # pairs of neighbours


@dataclass(frozen=True, eq=False)
class GrainMap:
    """A map of grains.

    Parameters
    ----------
    grain
        (rows, cols) int32 from 0; −1 where nothing is indexed.
    step_um
        Distance of columns and of rows, in µm.
    """

    grain: NDArray[np.int32]
    step_um: tuple[float, float]

    @property
    def not_indexed(self) -> float:
        """Share of the points without a grain."""
        return float((self.grain < 0).mean())


@dataclass(frozen=True, eq=False)
class OrientationMap:
    """A map of orientations of cubic crystals.

    Parameters
    ----------
    euler
        (rows, cols, 3) float64 Bunge angles in radians.
    phase
        (rows, cols) int32, negative where nothing is indexed.
    step_um
        Distance of columns and of rows, in µm.
    """

    euler: Float64
    phase: NDArray[np.int32]
    step_um: tuple[float, float]


def segment_map(measured: OrientationMap, source: str) -> GrainMap:
    """Join neighbours that are turned against each other by less than 10°.

    Parameters
    ----------
    measured
        Orientations.
    source
        The file, for messages.

    Raises
    ------
    SectionsError
        If nothing is indexed.
    """
    valid = measured.phase >= 0
    if not valid.any():
        raise SectionsError(f"{source}: no point is indexed")
    numbers = np.arange(valid.size).reshape(valid.shape)
    pairs = np.concatenate(
        [
            np.stack([one.ravel(), other.ravel()], axis=1)
            for one, other in ((numbers[:, :-1], numbers[:, 1:]), (numbers[:-1], numbers[1:]))
        ]
    )
    pairs = pairs[valid.ravel()[pairs].all(axis=1)]
    turned, phase = to_quaternions(measured.euler).reshape(-1, 4), measured.phase.ravel()
    together = np.empty(len(pairs), np.bool_)
    for first in range(0, len(pairs), AT_ONCE):
        one, other = pairs[first : first + AT_ONCE].T
        near = cubic_angles(turned[one], turned[other]) < GRAIN_DEG
        together[first : first + AT_ONCE] = near & (phase[one] == phase[other])
    return GrainMap(connect(pairs[together], valid).astype(np.int32), measured.step_um)


def to_quaternions(euler: Float64) -> Float64:
    """Unit quaternions of Bunge angles, scalar first, that turn the sample's axes into the crystal's.

    Parameters
    ----------
    euler
        (…, 3) float64 phi1, Phi, phi2 in radians.

    Returns
    -------
    (…, 4) float64
    """
    first, half, second = euler[..., 0], euler[..., 1] / 2, euler[..., 2]
    total, difference = (first + second) / 2, (first - second) / 2
    cosine, sine = np.cos(half), np.sin(half)
    return np.stack(
        [cosine * np.cos(total), sine * np.cos(difference), sine * np.sin(difference), cosine * np.sin(total)],
        axis=-1,
    )


def cubic_angles(one: Float64, other: Float64) -> Float64:
    """Smallest angles between orientations of cubic crystals.

    Of the 24 equivalent rotations the smallest is known from the sizes of the quaternion's parts (Grimmer, 1974,
    doi:10.1107/S0567739474001719).

    Parameters
    ----------
    one, other
        (n, 4) unit quaternions that `to_quaternions` made.

    Returns
    -------
    (n,) float64 in degrees
    """
    a, b, c, d = one.T
    e, f, g, h = other.T
    # one⁻¹ · other: both turn the sample's axes into the crystal's, so that this turns one crystal into the other.
    parts = np.stack(
        [a * e + b * f + c * g + d * h, a * f - b * e - c * h + d * g,
         a * g + b * h - c * e - d * f, a * h - b * g + c * f - d * e]
    )  # fmt: skip
    small, less, more, most = np.sort(np.abs(parts), axis=0)
    cosine = np.maximum(most, np.maximum((most + more) / np.sqrt(2), (most + more + less + small) / 2))
    angles: Float64 = np.rad2deg(2 * np.arccos(np.clip(cosine, -1, 1)))
    return angles
