"""Volumes of grains for DREAM3D-NX: .dream3d, of any size, slab by slab.

A .dream3d file is of DREAM3D-NX's format 8.0, as the open reader and writer of its library simplnx have it
(src/simplnx/DataStructure/IO/HDF5 and Utilities/Parsing/DREAM3D of BlueQuartzSoftware/simplnx, 2026). That reader wants
FileVersion, a pipeline, NextObjectId, and for every object ObjectType, ObjectId and Importable; it refuses attributes
with text of variable length. Tuples are (z, y, x) with x fastest, while sizes, spacings and origins are x, y, z.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.files.disk import check_room
from microrun.runtime.volumes.grain_volume import GrainVolume

MICROMETRE = 6  # among simplnx's units of length
PIPELINE_VERSION = 3
GEOMETRY, CELL_DATA, FEATURE_DATA, ENSEMBLE_DATA = "ImageGeom", "Cell Data", "Cell Feature Data", "Cell Ensemble Data"
GEOMETRY_ID, CELLS_ID = 1, 2
UNKNOWN = 999  # crystal structure of phase 0
CRYSTAL_STRUCTURES = {
    "6/mmm": 0, "m-3m": 1, "6/m": 2, "m-3": 3, "-1": 4, "2/m": 5, "mmm": 6, "4/m": 7, "4/mmm": 8, "-3": 9, "-3m": 10,
}  # fmt: skip


class FeatureTable:
    """Voxels and centroids of grains, gathered slab by slab; DREAM3D calls grains features."""

    def __init__(self) -> None:
        self.voxels: Float64 = np.zeros(0)
        self.sums: Float64 = np.zeros((0, 3))

    def add(self, grains: NDArray[np.int32], first: int) -> None:
        """Count the voxels of grains, (planes, y, x), of planes from the first on."""
        inside = np.nonzero(grains >= 0)
        numbers = grains[inside]
        size = max(len(self.voxels), int(grains.max()) + 1)
        z, y, x = (np.bincount(numbers, at, size) for at in (inside[0] + first, inside[1], inside[2]))
        more = size - len(self.voxels)
        self.voxels = np.pad(self.voxels, (0, more)) + np.bincount(numbers, minlength=size)
        self.sums = np.pad(self.sums, ((0, more), (0, 0))) + np.stack([x, y, z], axis=1)

    def measure(self, volume: GrainVolume) -> dict[str, NDArray[Any]]:
        """Arrays of DREAM3D's names with a row for each feature; that of feature 0 is empty."""
        voxels = np.concatenate([[0], self.voxels])
        sums = np.concatenate([np.zeros((1, 3)), self.sums])
        volumes = voxels * volume.voxel_um**3
        middle = sums / np.maximum(voxels, 1)[:, None] + 0.5
        centroids = np.where(voxels[:, None] > 0, middle * volume.voxel_um + volume.origin_um[::-1], 0)
        return {
            "NumElements": voxels.astype(np.int32),
            "Volumes": volumes.astype(np.float32),
            "EquivalentDiameters": np.cbrt(volumes * (6 / np.pi)).astype(np.float32),
            "Centroids": centroids.astype(np.float32),
        }


def write_dream3d(volume: GrainVolume, path: Path) -> None:
    """Write a .dream3d file; see the top of this module for its format.

    Parameters
    ----------
    volume
        What to write; lengths are in µm.
    path
        The file to make.

    Raises
    ------
    VolumeError
        If the volume cannot be read, or its labels are no labels.
    OSError
        If the file cannot be written.
    """
    arrays = 1 + (volume.values is not None) + 4 * (volume.orientations is not None)
    check_room(path, 4 * math.prod(volume.labels.shape) * arrays)
    ids = itertools.count(CELLS_ID + 1)
    with h5py.File(path, "w") as file:
        file.attrs["FileVersion"] = np.bytes_("8.0")
        _add_pipeline(file)
        root = file.create_group("DataStructure")
        geometry = _mark(root.create_group(GEOMETRY), "ImageGeom", GEOMETRY_ID)
        geometry.attrs["_DIMENSIONS"] = np.array(volume.labels.shape[::-1], np.uint64)
        geometry.attrs["_SPACING"] = np.full(3, volume.voxel_um, np.float32)
        geometry.attrs["_ORIGIN"] = np.array(volume.origin_um[::-1], np.float32)
        geometry.attrs["Units"] = np.uint32(MICROMETRE)
        geometry.attrs["Cell Data ID"] = np.uint64(CELLS_ID)
        cells = _add_matrix(geometry, CELL_DATA, volume.labels.shape, CELLS_ID)
        features = _fill_cells(volume, cells, ids)
        measured = features.measure(volume)
        if volume.orientations is not None:
            measured.update(_orient(volume, features))
            structures = np.array([UNKNOWN, CRYSTAL_STRUCTURES[volume.orientations.symmetry]], np.uint32)
            _add_table(geometry, ENSEMBLE_DATA, {"CrystalStructures": structures}, ids)
        _add_table(geometry, FEATURE_DATA, measured, ids)
        root.attrs["NextObjectId"] = np.uint64(next(ids))


def _fill_cells(volume: GrainVolume, cells: h5py.Group, ids: Iterator[int]) -> FeatureTable:
    """Write what every voxel has; angles and phases come from tables with a row for each feature."""
    features = FeatureTable()
    numbers = _add_array(cells, "FeatureIds", np.dtype(np.int32), (1,), next(ids))
    values = None if volume.values is None else _add_array(cells, "Value", np.dtype(np.float32), (1,), next(ids))
    tables: list[tuple[h5py.Dataset, NDArray[Any]]] = []
    if volume.orientations is not None:
        counts = volume.count_voxels()
        euler = np.concatenate([np.zeros((1, 3)), volume.find_euler(counts)]).astype(np.float32)
        phases = np.concatenate([[0], counts > 0]).astype(np.int32)[:, None]
        for name, table in (("EulerAngles", euler), ("Phases", phases)):
            tables.append((_add_array(cells, name, table.dtype, table.shape[1:], next(ids)), table))
    for planes in volume.slabs():
        grains = volume.read_grains(planes)
        features.add(grains, planes.start)
        numbers[planes] = (grains + 1)[..., None]
        if values is not None:
            values[planes] = volume.read_values(planes)[..., None]
        for array, table in tables:
            array[planes] = table[grains + 1]
    return features


def _orient(volume: GrainVolume, features: FeatureTable) -> dict[str, NDArray[Any]]:
    """Orientations and phases of features, of DREAM3D's names."""
    voxels = features.voxels.astype(np.int64)
    euler = np.concatenate([np.zeros((1, 3)), volume.find_euler(voxels)])
    phases = np.concatenate([[0], voxels > 0])
    return {"AvgEulerAngles": euler.astype(np.float32), "Phases": phases.astype(np.int32)}


def _add_table(geometry: h5py.Group, name: str, arrays: dict[str, NDArray[Any]], ids: Iterator[int]) -> None:
    rows = len(next(iter(arrays.values())))
    matrix = _add_matrix(geometry, name, (rows,), next(ids))
    for column, array in arrays.items():
        components = array.shape[1:] or (1,)
        _add_array(matrix, column, array.dtype, components, next(ids))[:] = array.reshape(-1, *components)


def _add_pipeline(file: h5py.File) -> None:
    """An empty pipeline; DREAM3D-NX opens no file without one."""
    group = file.create_group("Pipeline")
    group.attrs["Pipeline Version"] = np.int32(PIPELINE_VERSION)
    group.attrs["Current Pipeline"] = np.bytes_("microrun")
    group["Pipeline"] = np.bytes_(json.dumps({"name": "microrun", "version": 1, "pipeline": []}))


def _add_matrix(geometry: h5py.Group, name: str, tuples: tuple[int, ...], number: int) -> h5py.Group:
    matrix = _mark(geometry.create_group(name), "AttributeMatrix", number)
    matrix.attrs["TupleDims"] = np.array(tuples, np.uint64)
    return matrix


def _add_array(
    matrix: h5py.Group, name: str, dtype: np.dtype[Any], components: tuple[int, ...], number: int
) -> h5py.Dataset:
    tuples = tuple(int(size) for size in matrix.attrs["TupleDims"])
    array = _mark(matrix.create_dataset(name, tuples + components, dtype), f"DataArray<{dtype.name}>", number)
    array.attrs["TupleDimensions"] = np.array(tuples, np.uint64)
    array.attrs["ComponentDimensions"] = np.array(components, np.uint64)
    return array


def _mark(item: Any, kind: str, number: int) -> Any:
    """Attributes that every object has."""
    item.attrs["ObjectType"] = np.bytes_(kind)
    item.attrs["ObjectId"] = np.uint64(number)
    item.attrs["Importable"] = np.int32(1)
    return item
