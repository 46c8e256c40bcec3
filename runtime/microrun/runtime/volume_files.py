"""Volumes of grains for other programs, of any size, slab by slab: .dream3d for DREAM3D-NX, .vti for ParaView.

A .dream3d file is of DREAM3D-NX's format 8.0, as the open reader and writer of its library simplnx have it
(src/simplnx/DataStructure/IO/HDF5 and Utilities/Parsing/DREAM3D of BlueQuartzSoftware/simplnx, 2026). That reader wants
FileVersion, a pipeline, NextObjectId, and for every object ObjectType, ObjectId and Importable; it refuses attributes
with text of variable length. Tuples are (z, y, x) with x fastest, while sizes, spacings and origins are x, y, z.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import OutputError, VolumeError
from microrun.runtime.output import written_beside
from microrun.runtime.room import check_room
from microrun.runtime.segment import SLAB_BYTES, Volume

VolumeFormat = Literal["dream3d", "vti"]
Float64 = NDArray[np.float64]
LARGEST_ID = 2**31 - 2  # DREAM3D's feature is one more
LEAST_ROWS = 10_000_000  # that a table of features may have, however small the volume is
MICROMETRE = 6  # among simplnx's units of length
PIPELINE_VERSION = 3
GEOMETRY, CELLS, FEATURES = "ImageGeom", "Cell Data", "Cell Feature Data"


@dataclass(frozen=True)
class GrainVolume:
    """Grains on a lattice of cubes, and where it lies.

    Parameters
    ----------
    labels
        Whole numbers: grains 0, 1, …; negative or NaN where there is none.
    values
        Of the same shape, what else is known of each voxel.
    voxel_um
        Edge of a voxel.
    origin_um
        z, y, x of the volume's corner.

    Raises
    ------
    VolumeError
        If the shapes differ, or the edge is no length.
    """

    labels: Volume
    values: Volume | None = None
    voxel_um: float = 1.0
    origin_um: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not 0 < self.voxel_um < np.inf:
            raise VolumeError(f"the edge of a voxel is more than 0 µm; got {self.voxel_um:g}")
        if self.values is not None and self.values.shape != self.labels.shape:
            raise VolumeError(
                f"{self.values.name}: values must have the shape {self.labels.shape} of the grains in "
                f"{self.labels.name}; got {self.values.shape}"
            )

    def slabs(self) -> Iterator[slice]:
        """Planes that are read at once."""
        depth, rows, cols = self.labels.shape
        planes = max(1, SLAB_BYTES // (rows * cols * 8))
        return (slice(first, min(first + planes, depth)) for first in range(0, depth, planes))

    @property
    def largest_number(self) -> int:
        """Of a grain; a table of features has a row for every number up to the largest."""
        return min(LARGEST_ID, max(LEAST_ROWS, math.prod(self.labels.shape)))

    def read_grains(self, planes: slice) -> NDArray[np.int32]:
        """Grains of some planes, −1 where there is none.

        Raises
        ------
        VolumeError
            If a label is no whole number, or above `largest_number`.
        """
        labels = self.labels.read(planes.start, planes.stop)
        labels = np.where(np.isfinite(labels) & (labels >= 0), labels, -1)
        if (labels != np.floor(labels)).any():
            raise VolumeError(f"{self.labels.name}: labels are whole numbers; run microrun segment on values first")
        if labels.max() > self.largest_number:
            raise VolumeError(
                f"{self.labels.name}: grain {labels.max():.0f} has a number above {self.largest_number:,}; number the "
                f"grains anew with microrun segment --components 6"
            )
        return labels.astype(np.int32)

    def read_values(self, planes: slice) -> NDArray[np.float32]:
        """Values of some planes."""
        assert self.values is not None
        return self.values.read(planes.start, planes.stop).astype(np.float32, copy=False)


def convert_volume(volume: GrainVolume, to: VolumeFormat, out: Path) -> None:
    """Write a volume of grains for another program.

    Parameters
    ----------
    volume
        The grains.
    to
        "dream3d": grain n is feature n + 1, voxels without grain are of feature 0, and the features have their number
        of voxels, volume in µm³, equivalent diameter and centroid. "vti": cell data of an image.
    out
        Written beside and renamed at the end.

    Raises
    ------
    VolumeError
        If the volume cannot be read, or its labels are no labels.
    OutputError
        If the name does not fit the format, or the disk is full.
    """
    if out.suffix.lower() != f".{to}":
        raise OutputError(f"{out}: {to} files end in .{to}")
    with written_beside(out) as beside:
        WRITERS[to](volume, beside)


class Features:
    """Voxels and centroids of grains, slab by slab."""

    def __init__(self) -> None:
        self.voxels: Float64 = np.zeros(0)
        self.sums: Float64 = np.zeros((0, 3))

    def add(self, grains: NDArray[np.int32], first: int) -> None:
        """Count the voxels of planes from the first on."""
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
    """Write a .dream3d file; see the top of this module for its format."""
    check_room(path, 4 * math.prod(volume.labels.shape) * (1 if volume.values is None else 2))
    with h5py.File(path, "w") as file:
        file.attrs["FileVersion"] = np.bytes_("8.0")
        _add_pipeline(file)
        root = file.create_group("DataStructure")
        geometry = _mark(root.create_group(GEOMETRY), "ImageGeom", 1)
        geometry.attrs["_DIMENSIONS"] = np.array(volume.labels.shape[::-1], np.uint64)
        geometry.attrs["_SPACING"] = np.full(3, volume.voxel_um, np.float32)
        geometry.attrs["_ORIGIN"] = np.array(volume.origin_um[::-1], np.float32)
        geometry.attrs["Units"] = np.uint32(MICROMETRE)
        geometry.attrs["Cell Data ID"] = np.uint64(2)
        cells = _add_matrix(geometry, CELLS, volume.labels.shape, 2)
        measured = _fill_cells(volume, cells).measure(volume)
        features = _add_matrix(geometry, FEATURES, (len(measured["NumElements"]),), 5)
        for number, (name, array) in enumerate(measured.items(), 6):
            components = array.shape[1:] or (1,)
            _add_array(features, name, array.dtype, components, number)[:] = array.reshape(-1, *components)
        root.attrs["NextObjectId"] = np.uint64(6 + len(measured))


def _fill_cells(volume: GrainVolume, cells: h5py.Group) -> Features:
    features = Features()
    ids = _add_array(cells, "FeatureIds", np.dtype(np.int32), (1,), 3)
    values = None if volume.values is None else _add_array(cells, "Value", np.dtype(np.float32), (1,), 4)
    for planes in volume.slabs():
        grains = volume.read_grains(planes)
        features.add(grains, planes.start)
        ids[planes] = (grains + 1)[..., None]
        if values is not None:
            values[planes] = volume.read_values(planes)[..., None]
    return features


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


def write_vti(volume: GrainVolume, path: Path) -> None:
    """Write VTK's XML of an image, its arrays appended as they are: GrainId, and Value where there are values."""
    readers: dict[str, Callable[[slice], NDArray[Any]]] = {"Int32 GrainId": volume.read_grains}
    if volume.values is not None:
        readers["Float32 Value"] = volume.read_values
    size = 4 * math.prod(volume.labels.shape)
    with path.open("wb") as file:
        file.write(_vti_head(volume, list(readers), size).encode())
        for read in readers.values():
            file.write(size.to_bytes(8, "little"))
            for planes in volume.slabs():
                array = read(planes)
                file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
        file.write(b"\n</AppendedData>\n</VTKFile>\n")


def _vti_head(volume: GrainVolume, arrays: list[str], size: int) -> str:
    extent = " ".join(f"0 {side}" for side in volume.labels.shape[::-1])
    origin = " ".join(map(repr, map(float, volume.origin_um[::-1])))
    spacing = " ".join([repr(float(volume.voxel_um))] * 3)
    lines = [
        '<?xml version="1.0"?>',
        '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
        f'<ImageData WholeExtent="{extent}" Origin="{origin}" Spacing="{spacing}">',
        f'<Piece Extent="{extent}">',
        '<CellData Scalars="GrainId">',
    ]
    for number, (kind, name) in enumerate(array.split() for array in arrays):
        lines.append(f'<DataArray type="{kind}" Name="{name}" format="appended" offset="{number * (8 + size)}"/>')
    lines += ["</CellData>", "</Piece>", "</ImageData>", '<AppendedData encoding="raw">', "_"]
    return "\n".join(lines)


WRITERS: dict[VolumeFormat, Callable[[GrainVolume, Path], None]] = {"dream3d": write_dream3d, "vti": write_vti}
