"""Statistics of grains: their size, shape and neighbourhood."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.kernels.colouring import label_grains
from microrun.kernels.grains import BOUNDARY, COLUMNS, FACES, FIRST, SECOND, VOXELS, sum_slab
from microrun.runtime.array_types import Float64
from microrun.runtime.cores import count_cores
from microrun.runtime.errors import VolumeError
from microrun.runtime.files.hdf5 import open_hdf5
from microrun.runtime.files.npy import map_array

Labels = NDArray[np.int32]
LABELS = "grain_id"
MEASURES = ("volume_um3", "diameter_um", "b_over_a", "c_over_a", "c_over_b", "nearest_um", "neighbours")
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
    touches_boundary
        (n,) bool, True for grains that the volume's faces may cut.
    """

    grain_id: NDArray[np.integer[Any]]
    volume_um3: Float64
    centroid_um: Float64
    semi_axes_um: Float64
    nearest_um: Float64
    neighbours: NDArray[np.int64]
    surface_um2: Float64
    touches_boundary: NDArray[np.bool_]

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
    numbers, volume = _number_grains(labels)
    threads = threads or count_cores()
    planes = np.linspace(0, len(volume), min(threads, len(volume)) + 1).astype(int)
    shares = [np.zeros((len(numbers), COLUMNS), np.int64) for _ in planes[1:]]
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda slab, share: sum_slab(volume, slab, share), itertools.pairwise(planes), shares)
        pairs = np.unique(np.concatenate(list(found)))
    sums = functools.reduce(np.add, shares)
    present = sums[:, VOXELS] > 0
    touching = np.concatenate([pairs >> 32, pairs & (2**32 - 1)])
    neighbours = np.bincount(touching, minlength=len(numbers))
    return _derive(numbers[present], sums[present], neighbours[present], voxel_um)


def _number_grains(labels: NDArray[Any]) -> tuple[NDArray[Any], Labels]:
    """Labels by number, and the volume of numbers; far-apart labels would make long tables."""
    if labels.ndim != 3 or labels.dtype.kind not in "iu":
        raise VolumeError(f"expected a volume of integer labels (z, y, x); got {labels.dtype} {labels.shape}")
    if not labels.size or labels.max() < 0:
        raise VolumeError("holds no grains: no label is 0 or more")
    if labels.max() < min(labels.size, 2**31) and labels.min() >= -(2**31):
        return np.arange(int(labels.max()) + 1), np.ascontiguousarray(labels, np.int32)
    numbers, numbered = np.unique(labels, return_inverse=True)
    outside = int(np.searchsorted(numbers, 0))
    return numbers[outside:], (numbered.reshape(labels.shape) - outside).astype(np.int32)


def _derive(numbers: NDArray[Any], sums: NDArray[np.int64], neighbours: NDArray[np.int64], voxel_um: float) -> Grains:
    from scipy.spatial import cKDTree

    count = sums[:, VOXELS].astype(np.float64)
    middle = sums[:, FIRST] / count[:, None]
    products = np.stack(
        [middle[:, i] * middle[:, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))], axis=1
    )
    covariances = (sums[:, SECOND] / count[:, None] - products)[:, MATRIX] + CUBE_VARIANCE * np.eye(3)
    variances = np.maximum(np.linalg.eigvalsh(covariances)[:, ::-1], CUBE_VARIANCE)
    centroid_um = (middle + 0.5) * voxel_um
    distances = cKDTree(centroid_um).query(centroid_um, k=2)[0][:, 1]
    return Grains(
        grain_id=numbers,
        volume_um3=count * voxel_um**3,
        centroid_um=centroid_um,
        semi_axes_um=np.sqrt(5 * variances) * voxel_um,
        nearest_um=np.where(np.isfinite(distances), distances, np.nan),
        neighbours=neighbours,
        surface_um2=sums[:, FACES].astype(np.float64) * voxel_um**2,
        touches_boundary=sums[:, BOUNDARY] > 0,
    )


def measure_file(path: Path, voxel_um: float = 1.0) -> dict[str, Grains]:
    """Measure all volumes of a file.

    Parameters
    ----------
    path
        A .npy of labels (z, y, x), or HDF5 with a data set ``grain_id``, or else with any of three dimensions. Grains
        that go on at the opposite face of a periodic volume count once at each.
    voxel_um
        Edge of a voxel in µm.

    Returns
    -------
    dict of str to Grains
        Measures by the names of the volumes.

    Raises
    ------
    VolumeError
        If it cannot be read, or holds no grains.
    """
    if path.suffix.lower() not in (".npy", ".h5", ".hdf5"):
        raise VolumeError(f"{path}: labels are read from .npy or .h5")
    if not path.exists():
        raise VolumeError(f"{path}: no such file")
    measured = {}
    volumes = [(path.stem, map_array(path))] if path.suffix.lower() == ".npy" else _read_hdf5(path)
    try:
        for name, labels in volumes:
            measured[name] = measure_grains(labels, voxel_um)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from None
    except (OSError, ValueError, KeyError) as error:
        raise VolumeError(f"{path}: cannot be read, it is damaged or of another format ({error})") from None
    return measured


def _read_hdf5(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    with open_hdf5(path) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if _is_volume(item) else None)
        if not names:
            raise VolumeError("holds no data set of three dimensions")
        for name in [LABELS] if LABELS in names else sorted(names):
            labels = file[name][()]
            if file[name].attrs.get("periodic", False):
                cut = np.empty(labels.shape, np.int32)
                label_grains(labels, False, cut)
                labels = cut
            yield name, labels


def _is_volume(item: object) -> bool:
    return isinstance(item, h5py.Dataset) and len(item.shape or ()) == 3
