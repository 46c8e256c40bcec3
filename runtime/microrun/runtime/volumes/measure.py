"""Statistics of grains: their size, shape and neighbourhood."""

from __future__ import annotations

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.grains import BOUNDARY, COLUMNS, FACES, FIRST, SECOND, VOXELS, sum_slab
from microrun.kernels.unlike import DISTANCES, count_crossings
from microrun.runtime.array_types import Float64, Mask
from microrun.runtime.cores import count_cores
from microrun.runtime.errors import VolumeError

Labels = NDArray[np.int32]
MEASURES = (
    "volume_um3", "diameter_um", "b_over_a", "c_over_a", "c_over_b", "nearest_um", "neighbours", "sphericity",
)  # fmt: skip
# Shares of all directions that are nearest to one of the 3 axes, 6 diagonals of faces or 4 of space: the weights of
# Legland, Kiêu and Devaux (2007, doi:10.5566/ias.v26.p83-92).
DIRECTION_SHARES = np.array([3 * 0.0915557824, 6 * 0.0739612558, 4 * 0.0703912796])
# Area in voxel faces that a crossing stands for. By Crofton's formula it is twice the crossings of lines, a mean over
# directions; lines of voxels lie the closer to each other, the farther apart their voxels.
AREA_PER_CROSSING = 2 * DIRECTION_SHARES / (np.array([3, 6, 4]) * np.sqrt([1, 2, 3]))
CUBE_VARIANCE = 1 / 12  # of the points of a voxel along each axis
MATRIX = np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])  # where the covariances zz, yy, xx, zy, zx, yx stand


@dataclass(frozen=True, eq=False)
class Grains:
    """Measures of the grains of one volume.

    Parameters
    ----------
    grain_id
        (n,) labels that occur, ascending.
    volume_um3
        (n,) float64.
    centroid_um
        (n, 3) float64, z, y, x from the corner of the volume.
    semi_axes_um
        (n, 3) float64, a ≥ b ≥ c of the ellipsoid with the grain's second moments.
    nearest_um
        (n,) float64, distance to the nearest other centroid; NaN for a single grain.
    neighbours
        (n,) number of other grains that share a face.
    surface_um2
        (n,) float64, area of the faces shared with voxels of other labels; the volume's own faces are no surface.
        Faces of voxels are stairs: half as large again as the surface of a body that is round.
    sphericity
        (n,) float64, area of the sphere of the same volume over that of the grain, by Crofton's formula along 13
        directions; 1 of a sphere, less of everything else, but up to 1.05 of balls below 27 voxels. Faces of the
        volume that cut a grain count as its surface.
    touches_boundary
        (n,) bool, True for grains that may be cut: by the volume's faces, or beside voxels of no grain, as outside a
        part.
    inclination_deg
        (n,) float64, angle between z and the longest axis of the ellipsoid, 0 to 90; without meaning of round grains.
    """

    grain_id: NDArray[np.integer[Any]]
    volume_um3: Float64
    centroid_um: Float64
    semi_axes_um: Float64
    nearest_um: Float64
    neighbours: NDArray[np.int64]
    surface_um2: Float64
    sphericity: Float64
    touches_boundary: Mask
    inclination_deg: Float64

    @property
    def diameter_um(self) -> Float64:
        """Diameters of spheres of the same volumes, (n,) float64."""
        return np.cbrt(self.volume_um3 * (6 / np.pi))

    @property
    def b_over_a(self) -> Float64:
        """Ratios of the middle to the longest semi-axis, (n,) float64."""
        return self.semi_axes_um[:, 1] / self.semi_axes_um[:, 0]

    @property
    def c_over_a(self) -> Float64:
        """Ratios of the shortest to the longest semi-axis, (n,) float64."""
        return self.semi_axes_um[:, 2] / self.semi_axes_um[:, 0]

    @property
    def c_over_b(self) -> Float64:
        """Ratios of the shortest to the middle semi-axis, (n,) float64."""
        return self.semi_axes_um[:, 2] / self.semi_axes_um[:, 1]

    @property
    def interior(self) -> Mask:
        """Grains that are whole for sure, (n,) bool."""
        return ~self.touches_boundary

    def scale(self, factor: float) -> Grains:
        """The same grains with all lengths a factor larger."""
        return replace(
            self,
            volume_um3=self.volume_um3 * factor**3,
            centroid_um=self.centroid_um * factor,
            semi_axes_um=self.semi_axes_um * factor,
            nearest_um=self.nearest_um * factor,
            surface_um2=self.surface_um2 * factor**2,
        )


def measure_grains(labels: NDArray[Any], voxel_um: float = 1.0, threads: int | None = None) -> Grains:
    """Measure all grains of a volume.

    Second moments are those of voxels as cubes, not of their centres: a grain of one voxel is a sphere-like body of
    aspect ratio 1, and one that is a single layer thick still has an extent.

    Parameters
    ----------
    labels
        (z, y, x) integers: grains 0, 1, …; negative where there is none.
    voxel_um
        Edge of a voxel in µm.
    threads
        Number of threads, by default one a core; the result is the same for any.

    Returns
    -------
    Grains
        Measures of the grains that occur.

    Raises
    ------
    VolumeError
        If there are not three dimensions, the labels are no integers, or there is no grain.
    """
    numbers, volume = number_grains(labels)
    threads = threads or count_cores()
    planes = np.linspace(0, len(volume), min(threads, len(volume)) + 1).astype(int)
    slabs = list(itertools.pairwise(planes))
    sums = [np.zeros((len(numbers), COLUMNS), np.int64) for _ in slabs]
    crossings = [np.zeros((len(numbers), DISTANCES), np.int64) for _ in slabs]
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(functools.partial(sum_slab, volume), slabs, sums)
        pairs = np.unique(np.concatenate(list(found)))
        list(pool.map(functools.partial(count_crossings, volume), slabs, crossings))
    total, crossed = (functools.reduce(np.add, shares) for shares in (sums, crossings))
    present = total[:, VOXELS] > 0
    touching = np.concatenate([pairs >> 32, pairs & (2**32 - 1)])
    neighbours = np.bincount(touching, minlength=len(numbers))
    area = crossed[present] @ AREA_PER_CROSSING
    return _derive(numbers[present], total[present], neighbours[present], area).scale(voxel_um)


def number_grains(labels: NDArray[Any]) -> tuple[NDArray[Any], Labels]:
    """Number grains such that no table of them is long, however far apart their labels are.

    Parameters
    ----------
    labels
        (z, y, x) integers; negative where there is no grain.

    Returns
    -------
    labels
        (numbers,) the label of each number.
    numbers
        (z, y, x) int32 in C order: 0, 1, …, negative where there is no grain.

    Raises
    ------
    VolumeError
        If there are not three dimensions, the labels are no integers, or there is no grain.
    """
    if labels.ndim != 3 or labels.dtype.kind not in "iu":
        raise VolumeError(f"expected a volume of integer labels (z, y, x); got {labels.dtype} {labels.shape}")
    if not labels.size or labels.max() < 0:
        raise VolumeError("contains no grains: no label is 0 or more")
    if labels.max() < min(labels.size, 2**31) and labels.min() >= -(2**31):
        return np.arange(int(labels.max()) + 1), np.ascontiguousarray(labels, np.int32)
    numbers, numbered = np.unique(labels, return_inverse=True)
    outside = int(np.searchsorted(numbers, 0))
    return numbers[outside:], (numbered.reshape(labels.shape) - outside).astype(np.int32)


def _derive(
    numbers: NDArray[Any], sums: NDArray[np.int64], neighbours: NDArray[np.int64], area: Float64
) -> Grains:  # fmt: skip
    """Grains in voxels."""
    from scipy.spatial import cKDTree

    count = sums[:, VOXELS].astype(np.float64)
    middle = sums[:, FIRST] / count[:, None]
    products = np.stack(
        [middle[:, i] * middle[:, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))], axis=1
    )
    covariances = (sums[:, SECOND] / count[:, None] - products)[:, MATRIX] + CUBE_VARIANCE * np.eye(3)
    ascending, axes = np.linalg.eigh(covariances)
    variances = np.maximum(ascending[:, ::-1], CUBE_VARIANCE)
    distances = cKDTree(middle).query(middle, k=2)[0][:, 1]
    return Grains(
        grain_id=numbers,
        volume_um3=count,
        centroid_um=middle + 0.5,
        semi_axes_um=np.sqrt(5 * variances),
        nearest_um=np.where(np.isfinite(distances), distances, np.nan),
        neighbours=neighbours,
        surface_um2=sums[:, FACES].astype(np.float64),
        sphericity=np.cbrt(36 * np.pi * count**2) / area,
        touches_boundary=sums[:, BOUNDARY] > 0,
        inclination_deg=np.degrees(np.arccos(np.minimum(np.abs(axes[:, 0, -1]), 1))),
    )
