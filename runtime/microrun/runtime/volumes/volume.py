"""Volumes of voxels in memory and in files, of any size: read whole, plane by plane, or by slabs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from microrun.runtime.errors import VolumeError
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.hdf5 import open_hdf5, reason_of
from microrun.runtime.files.kinds import check_kind
from microrun.runtime.files.npy import map_array
from microrun.runtime.json_text import UNREADABLE
from microrun.runtime.volumes.axes import stated_axes

Shape = tuple[int, int, int]
LABELS = "grain_id"
SUFFIXES = (".npy", ".h5", ".hdf5")
SLAB_BYTES = 1 << 26
LARGEST = 1 << 33  # voxels: 2048³, whose tiling takes seconds and a gigabyte


class Volume(Closing):
    """Numbers on a lattice (z, y, x), in memory or in a file that `open_volume` opened.

    ``np.asarray(volume)`` is all of them and ``volume[z]`` a plane, as they are stored; `read` gives planes as
    floats, NaN where there is no value.

    Parameters
    ----------
    data
        (z, y, x) integers or floats of at most 64 bits, an array or HDF5 data set.
    name
        The file, and the data set in it; errors begin with it.
    inside
        (z, y, x) bool, True for the voxels of a part; all of them without it.
    positive
        Whether values below 0 are none, as in labels of grains.

    Attributes
    ----------
    name : str
        As given.
    shape : tuple of int
        Voxels along z, y and x.
    periodic : str
        Axes along which it goes on at its opposite face, as an HDF5 file states them: "zyx", "yx", …, "" for none.
    voxel_um : float or None
        Edge of a voxel in µm as an HDF5 file states it.
    dtype : numpy.dtype
        Type of the numbers as stored.
    read_dtype : numpy.dtype
        float32 if it holds them exactly, else float64: what `read` gives.

    Raises
    ------
    VolumeError
        If it is not three-dimensional, empty, or not of numbers, or the part is no mask of its shape.
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
        self.name, self.dtype = name, data.dtype
        self.shape: Shape = (int(data.shape[0]), int(data.shape[1]), int(data.shape[2]))
        self.read_dtype = np.dtype(np.float32 if np.can_cast(data.dtype, np.float32) else np.float64)
        self._data, self._inside, self._positive = data, inside, positive
        stated = data.attrs if isinstance(data, h5py.Dataset) else {}
        self.periodic = stated_axes(stated.get("periodic"))
        self.voxel_um = _as_length(stated.get("voxel_um"))

    def __repr__(self) -> str:
        return f"Volume({self.name}: {' × '.join(map(str, self.shape))} {self.dtype})"

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[()], dtype, copy=copy)

    def close(self) -> None:
        """Close the HDF5 file, if there is one; the volume can then be read no more."""
        if isinstance(self._data, h5py.Dataset):
            self._data.file.close()

    def __getitem__(self, index: Any) -> Any:
        """Numbers as they are stored, indexed as in NumPy; VolumeError if the file is damaged."""
        try:
            return self._data[index]
        except (OSError, RuntimeError) as error:
            raise VolumeError(f"{self.name}: cannot be read ({error}); it is damaged, or its disk is") from None

    def read(self, first: int, stop: int) -> NDArray[Any]:
        """Values of planes, NaN for those that are outside.

        Parameters
        ----------
        first, stop
            First plane, and the one after the last.

        Returns
        -------
        (stop − first, y, x) float32 or float64
            In C order, of `read_dtype`.

        Raises
        ------
        VolumeError
            If the file is damaged.
        """
        return self._read(slice(first, stop))

    def read_face(self, axis: int, place: int) -> NDArray[Any]:
        """Values of a plane across any axis, as `read` gives them.

        Parameters
        ----------
        axis
            0, 1 or 2 for z, y or x.
        place
            Of the plane along it; −1 is the last.

        Returns
        -------
        (rows, columns) float32 or float64
            In the order of the two other axes.

        Raises
        ------
        VolumeError
            If the file is damaged.
        """
        place %= self.shape[axis]
        return self._read((*[slice(None)] * axis, slice(place, place + 1))).squeeze(axis)

    def _read(self, index: Any) -> NDArray[Any]:
        values = np.ascontiguousarray(self[index], self.read_dtype)
        if self._inside is not None:
            values = np.where(self._inside[index], values, self.read_dtype.type(np.nan))
        if self._positive:
            values = np.where(values >= 0, values, self.read_dtype.type(np.nan))
        return values


def open_volume(
    path: str | Path, dataset: str | None = None, part: str | Path | None = None, positive: bool = False
) -> Volume:
    """Open a volume of grains or of values; nothing of it is read before it is asked for.

    Parameters
    ----------
    path
        The file: .npy, or HDF5 (.h5, .hdf5). Its axes are z, y, x.
    dataset
        Name of the data set within HDF5; by default the only one with three dimensions.
    part
        A .npy mask of the same shape, True for the voxels of the part; `Volume.read` gives NaN for others.
    positive
        Whether values below 0 are none, as in labels of grains; `Volume.read` gives NaN for them.

    Returns
    -------
    Volume
        Closed by its ``close``, or at the end of a ``with`` statement.

    Raises
    ------
    VolumeError
        If a file is missing, damaged or of another kind, holds no volume, or several and none is named.

    Examples
    --------
    >>> volume = open_volume("grains.npy")
    >>> volume
    Volume(grains.npy: 32 × 32 × 32 int32)
    >>> np.asarray(volume).shape
    (32, 32, 32)
    """
    path = Path(path)
    check_kind(path, "volume", VolumeError)
    inside = None if part is None else map_array(Path(part))
    if path.suffix.lower() not in SUFFIXES:
        raise VolumeError(f"{path}: a volume is a .npy or .h5 file")
    if path.suffix.lower() == ".npy":
        return Volume(map_array(path), str(path), inside, positive)
    if not path.exists():
        raise VolumeError(f"{path}: no such file")
    try:
        file = open_hdf5(path)
    except OSError as error:
        raise VolumeError(f"{path}: is not an HDF5 file, or it is damaged ({error})") from None
    try:
        name = _choose_dataset(path, file, dataset)
        return Volume(file[name], f"{path}:{name}", inside, positive)
    except (OSError, *UNREADABLE, RuntimeError) as error:  # of h5py, where a part of the file is damaged
        file.close()
        raise VolumeError(f"{path}: is damaged ({reason_of(error)})") from None
    except BaseException:
        file.close()
        raise


def _as_length(attribute: Any) -> float | None:
    """A length that a file states; None if it is none, or another program's."""
    is_number = isinstance(attribute, (int, float, np.number)) and not isinstance(attribute, bool)
    return float(attribute) if is_number and 0 < attribute < np.inf else None


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
