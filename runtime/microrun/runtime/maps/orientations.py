"""Conventional maps to hold latent maps against: of the patterns themselves, and of their orientations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.maps.indexing import PHASES
from microrun.runtime.scans.lattice import Pairs, mean_over_pairs

GRAIN_DEG = 5.0  # neighbours below this angle belong to one grain
KAM_LIMIT_DEG = 5.0


def measure_pair_angles(rotations: Float64, valid: NDArray[np.bool_], phase: str, pairs: Pairs) -> Float64:
    """Misorientation of neighbours.

    Parameters
    ----------
    rotations
        (rows, cols, 4) unit quaternions.
    valid
        (rows, cols) bool, True where there is an orientation.
    phase
        One of `PHASES`, for its symmetry.
    pairs
        (pairs, 2) from `neighbour_pairs`.

    Returns
    -------
    (pairs,) float64 in degrees, infinite where an orientation is missing
    """
    one, other = (rotations.reshape(-1, 4)[side] for side in pairs.T)
    both = valid.ravel()[pairs].all(axis=1)
    return np.where(both, misorientation_angles(one, other, phase), np.inf)


def average_misorientation(
    angles: Float64, pairs: Pairs, shape: tuple[int, int], limit_deg: float = KAM_LIMIT_DEG
) -> Float64:
    """Kernel average misorientation (KAM): the mean over the nearest neighbours.

    Parameters
    ----------
    angles
        (pairs,) in degrees, from `measure_pair_angles`.
    pairs
        (pairs, 2) from `neighbour_pairs`.
    shape
        (rows, cols) of the map.
    limit_deg
        Neighbours across a larger angle belong to another grain and do not count.

    Returns
    -------
    (rows, cols) float64 in degrees, NaN where no neighbour counts
    """
    return mean_over_pairs(np.where(angles < limit_deg, angles, np.inf), pairs, shape)


def deviate_from_grains(rotations: Float64, grains: NDArray[np.int64], phase: str) -> Float64:
    """Misorientation with the mean orientation of the point's grain (GROD).

    Parameters
    ----------
    rotations
        (rows, cols, 4) unit quaternions.
    grains
        (rows, cols) int64, −1 outside grains, from `connect`.
    phase
        One of `PHASES`, for its symmetry.

    Returns
    -------
    (rows, cols) float64 in degrees, NaN outside grains
    """
    deviation = np.full(grains.shape, np.nan)
    inside = grains >= 0
    if not inside.any():
        return deviation
    labels, points = grains[inside], rotations[inside]
    first = np.unique(labels, return_index=True)[1]
    near = nearest_equivalents(points, points[first][labels], phase)
    total = np.stack([np.bincount(labels, near[:, i]) for i in range(4)], axis=1).astype(np.float64)
    mean = total / np.linalg.norm(total, axis=1, keepdims=True)
    deviation[inside] = misorientation_angles(points, mean[labels], phase)
    return deviation


def misorientation_angles(one: Float64, other: Float64, phase: str) -> Float64:
    """Smallest angles between orientations under the symmetry of a phase.

    Parameters
    ----------
    one, other
        (…, 4) unit quaternions, scalar first, sample to crystal.
    phase
        One of `PHASES`.

    Returns
    -------
    (…) float64 in degrees
    """
    nearest = nearest_equivalents(one, other, phase)
    difference = np.linalg.norm(nearest - other, axis=-1)  # exact for small angles, unlike the arc cosine
    angles: Float64 = np.rad2deg(4 * np.arcsin(np.clip(difference / 2, 0, 1)))
    return angles


def nearest_equivalents(rotations: Float64, references: Float64, phase: str) -> Float64:
    """Rotations closest to references, of all that symmetry makes equal.

    Parameters
    ----------
    rotations, references
        (…, 4) unit quaternions, scalar first, sample to crystal.
    phase
        One of `PHASES`.

    Returns
    -------
    (…, 4) float64, with a positive product with the reference
    """
    from orix.quaternion import Rotation

    group, turned = _point_group(phase), Rotation(rotations)
    best, closest = np.zeros(rotations.shape), np.full(rotations.shape[:-1], -1.0)
    for operation in group[~group.improper]:
        candidate = (operation * turned).data
        product = (candidate * references).sum(axis=-1)
        nearer = np.abs(product) > closest
        signed = candidate * np.where(product < 0, -1.0, 1.0)[..., None]
        best = np.where(nearer[..., None], signed, best)
        closest = np.where(nearer, np.abs(product), closest)
    return best


def colour_orientations(rotations: Float64, valid: NDArray[np.bool_], phase: str) -> Float64:
    """Inverse pole figure colours along the sample's normal, by orix.

    Parameters
    ----------
    rotations
        (rows, cols, 4) float64 unit quaternions, scalar first, sample to crystal.
    valid
        (rows, cols) bool, True where there is an orientation.
    phase
        One of `PHASES`, for its symmetry.

    Returns
    -------
    (rows, cols, 3) float64 in [0, 1], white where not valid
    """
    from orix.plot import IPFColorKeyTSL
    from orix.quaternion import Orientation

    symmetry = _point_group(phase)
    colours = np.ones((*valid.shape, 3))
    if valid.any():
        orientations = Orientation(rotations[valid], symmetry=symmetry)
        colours[valid] = IPFColorKeyTSL(symmetry.laue).orientation2color(orientations)
    return colours


def _point_group(phase: str) -> Any:
    from orix.quaternion.symmetry import get_point_group

    return get_point_group(PHASES[phase][0])
