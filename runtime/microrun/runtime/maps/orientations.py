"""What follows from orientations: misorientation of neighbours, KAM, GROD, colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import microrun.kernels.compiling  # noqa: F401 (before what orix compiles)
from microrun.runtime.array_types import Float64
from microrun.runtime.errors import ScanError
from microrun.runtime.maps.structures import find_structure
from microrun.runtime.scans.lattice import Pairs, mean_over_pairs

GRAIN_DEG = 5.0  # neighbours below this angle belong to one grain
KAM_LIMIT_DEG = 5.0
SampleDirection = Literal["x", "y", "z"]


@dataclass(frozen=True, eq=False)
class OrientedMap:
    """Orientations of a map, each of a phase.

    Parameters
    ----------
    rotations
        (rows, cols, 4) float64 unit quaternions, scalar first, sample to crystal; identity where not indexed.
    phase
        (rows, cols) int64, number of the phase; −1 where not indexed.
    symmetries
        By the number of the phase, what `point_group` takes.
    """

    rotations: Float64
    phase: NDArray[np.int64]
    symmetries: Mapping[int, str]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(rows, cols) bool, True where there is an orientation."""
        return self.phase >= 0


def measure_pair_angles(rotations: Float64, valid: NDArray[np.bool_], phase: str, pairs: Pairs) -> Float64:
    """Misorientation of neighbours.

    Parameters
    ----------
    rotations
        (rows, cols, 4) unit quaternions.
    valid
        (rows, cols) bool, True where there is an orientation.
    phase
        Its symmetry, as `point_group` takes it.
    pairs
        (pairs, 2) from `neighbour_pairs`.

    Returns
    -------
    (pairs,) float64 in degrees, infinite where an orientation is missing
    """
    both = valid.ravel()[pairs].all(axis=1)
    one, other = (rotations.reshape(-1, 4)[side] for side in pairs[both].T)
    angles = np.full(len(pairs), np.inf)
    angles[both] = misorientation_angles(one, other, phase)
    return angles


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
        (rows, cols) int64, negative outside grains, from `connect`.
    phase
        Its symmetry, as `point_group` takes it.

    Returns
    -------
    (rows, cols) float64 in degrees, NaN outside grains
    """
    deviation = np.full(grains.shape, np.nan)
    inside = grains >= 0
    if not inside.any():
        return deviation
    points = rotations[inside]
    _, first, labels = np.unique(grains[inside], return_index=True, return_inverse=True)
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
        Its symmetry, as `point_group` takes it.

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
        Its symmetry, as `point_group` takes it.

    Returns
    -------
    (…, 4) float64, with a positive product with the reference
    """
    from orix.quaternion import Rotation

    group, turned = point_group(phase), Rotation(rotations)
    best, closest = np.zeros(rotations.shape), np.full(rotations.shape[:-1], -1.0)
    for operation in group[~group.improper]:
        candidate = (operation * turned).data
        product = (candidate * references).sum(axis=-1)
        nearer = np.abs(product) > closest
        signed = candidate * np.where(product < 0, -1.0, 1.0)[..., None]
        best = np.where(nearer[..., None], signed, best)
        closest = np.where(nearer, np.abs(product), closest)
    return best


def colour_orientations(
    rotations: Float64, valid: NDArray[np.bool_], phase: str, direction: SampleDirection = "z"
) -> Float64:
    """Inverse pole figure colours along a direction of the sample, by orix.

    Parameters
    ----------
    rotations
        (rows, cols, 4) float64 unit quaternions, scalar first, sample to crystal.
    valid
        (rows, cols) bool, True where there is an orientation.
    phase
        Its symmetry, as `point_group` takes it.
    direction
        "x", "y" or "z", the sample's normal.

    Returns
    -------
    (rows, cols, 3) float64 in [0, 1], NaN where not valid
    """
    from orix.plot import IPFColorKeyTSL
    from orix.quaternion import Orientation
    from orix.vector import Vector3d

    symmetry = point_group(phase)
    colours = np.full((*valid.shape, 3), np.nan)
    if valid.any():
        orientations = Orientation(rotations[valid], symmetry=symmetry)
        along = {"x": Vector3d.xvector, "y": Vector3d.yvector, "z": Vector3d.zvector}[direction]()
        colours[valid] = IPFColorKeyTSL(symmetry, along).orientation2color(orientations)
    return colours


def point_group(symmetry: str) -> Any:
    """Laue group of crystals, which is all that patterns show of their symmetry.

    Parameters
    ----------
    symmetry
        A phase as `find_structure` takes it, a point group such as 6/mmm, or EDAX's number of one, such as 62.

    Returns
    -------
    orix.quaternion.Symmetry

    Raises
    ------
    ScanError
        If it is none of these.
    """
    from orix.crystal_map import Phase
    from orix.quaternion.symmetry import get_point_group

    structure = find_structure(symmetry)
    if structure is not None:
        return get_point_group(structure.space_group).laue
    try:
        return Phase(point_group=symmetry).point_group.laue
    except ValueError:
        raise ScanError(f"symmetry {symmetry!r} is not a point group") from None
