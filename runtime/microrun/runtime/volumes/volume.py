"""Volumes of voxels in memory and in files, read slab by slab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.kernels.segmentation import Slab
from microrun.runtime.errors import VolumeError
from microrun.runtime.files.npy import map_array

LABELS = "grain_id"
SLAB_BYTES = 1 << 26
SUFFIXES = (".npy", ".h5", ".hdf5")


class Volume:
    """Values on a lattice (z, y, x), read by slabs.

    Parameters
    ----------
    data
        An array or HDF5 data set of numbers; NaN and infinite values are outside.
    name
        Of its file, for errors.
    inside
        Of the same shape, True for the voxels of a part.
    positive
        Values below 0 are outside, as in labels.

    Raises
    ------
    VolumeError
        If it is not three-dimensional, empty, or not of numbers.
    """

    def __init__(
        self, data: NDArray[Any] | h5py.Dataset, name: str, inside: NDArray[np.bool_] | None = None,
        positive: bool = False,
    ) -> None:  # fmt: skip
        if len(data.shape or ()) != 3 or 0 in data.shape:
            raise VolumeError(f"{name}: a volume has three dimensions (z, y, x), none of them 0; got {data.shape}")
        if not np.can_cast(data.dtype, np.float64) or data.dtype.kind == "b":
            raise VolumeError(f"{name}: a volume must hold integers or floats of at most 64 bits; got {data.dtype}")
        if inside is not None and (inside.dtype.kind != "b" or inside.shape != data.shape):
            raise VolumeError(
                f"{name}: its part must be a mask of bool and shape {data.shape}; got {inside.dtype} {inside.shape}"
            )
        self.name, self.shape = name, (int(data.shape[0]), int(data.shape[1]), int(data.shape[2]))
        self.dtype = np.dtype(np.float32 if np.can_cast(data.dtype, np.float32) else np.float64)
        self._data, self._inside, self._positive = data, inside, positive

    def read(self, first: int, stop: int) -> NDArray[Any]:
        """Values of planes as float32 or float64, C order, NaN outside the part; VolumeError if they are damaged."""
        try:
            values = np.ascontiguousarray(self._data[first:stop], self.dtype)
        except OSError as error:
            raise VolumeError(f"{self.name}: cannot be read ({error}); it is damaged, or its disk is") from None
        if self._inside is not None:
            values = np.where(self._inside[first:stop], values, self.dtype.type(np.nan))
        if self._positive:
            values = np.where(values >= 0, values, self.dtype.type(np.nan))
        return values

    def read_slab(self, first: int, stop: int) -> Slab:
        """Values of planes and of those below and above."""
        beyond = np.full(self.shape[1:], np.nan, self.dtype)
        values = self.read(max(first - 1, 0), min(stop + 1, self.shape[0]))
        below, values = (values[0], values[1:]) if first > 0 else (beyond, values)
        above, values = (values[-1], values[:-1]) if stop < self.shape[0] else (beyond, values)
        return Slab(values, below, above)


@contextmanager
def open_volume(
    path: Path, dataset: str | None = None, part: Path | None = None, positive: bool = False
) -> Iterator[Volume]:
    """Open a .npy or HDF5 file.

    Parameters
    ----------
    path
        Of the file.
    dataset
        Name within HDF5; by default the only one with three dimensions.
    part
        A .npy mask, True for the voxels of the part.
    positive
        Values below 0 are outside.

    Raises
    ------
    VolumeError
        If it is missing, damaged, or no volume.
    """
    inside = None if part is None else map_array(part)
    if path.suffix.lower() == ".npy":
        yield Volume(map_array(path), str(path), inside, positive)
        return
    if path.suffix.lower() not in SUFFIXES:
        raise VolumeError(f"{path}: a volume is a .npy or .h5 file")
    if not path.exists():
        raise VolumeError(f"{path}: no such file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise VolumeError(f"{path}: is no HDF5 file, or a damaged one ({error})") from None
    with file:
        name = _choose_dataset(path, file, dataset)
        yield Volume(file[name], f"{path}:{name}", inside, positive)


def _choose_dataset(path: Path, file: h5py.File, name: str | None) -> str:
    found: list[str] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) == 3:
            found.append(name)

    file.visititems(note)
    listed = ", ".join(found) or "none"
    if name is not None:
        if not isinstance(file.get(name), h5py.Dataset):
            raise VolumeError(f"{path}: has no data set {name}; those with three dimensions: {listed}")
        return name
    if len(found) != 1:
        raise VolumeError(f"{path}: name one data set with --dataset; those with three dimensions: {listed}")
    return found[0]


Shape = tuple[int, int, int]
LARGEST = 1 << 33  # voxels: 2048³, whose tiling takes seconds and a gigabyte
