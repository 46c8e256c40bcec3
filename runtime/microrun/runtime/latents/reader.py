"""Latents of a scan in one HDF5 file, readable while it is written and valid after a kill.

Data sets, with (rows, cols) the map: ``latents`` (rows, cols, D) float32 or float16, NaN where not written ·
``ranges`` (rows, cols, 2) float32 · ``flags`` and ``written`` (rows, cols) uint8 · ``x_um``, ``y_um``
(rows, cols) float64 · ``background`` (H, W) float32. The attributes of the file hold spec, scan and engine. What
was computed from the latents later is in groups of its own, such as ``analysis`` (`latents_maps`).

While it is written the file is in HDF5's SWMR mode: readers open it with ``swmr=True``, as `open_latents` does.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import LatentsError, MicrorunError
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.hdf5 import reason_of
from microrun.runtime.latents.origin import FORMAT, Origin
from microrun.runtime.spec import ModelSpec

SUPERBLOCK = struct.Struct("<8sB2xB16xQ")  # signature, version, marks, end of the file
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Latents(Closing):
    """A latents file, open for reading; made by `open_latents`.

    The arrays are read from disk at each access; while a run still writes, they show what it has flushed.

    Parameters
    ----------
    path, file
        The file, and where it is.
    origin
        What the latents were made from.
    growing
        True while a run writes the file, and for one that a killed run left behind.
    """

    def __init__(self, path: Path, file: h5py.File, origin: Origin, growing: bool) -> None:
        self.path, self._file, self.origin, self.growing = path, file, origin, growing

    @property
    def latents(self) -> NDArray[np.floating[Any]]:
        """(rows, cols, D) float32 or float16, NaN where not written."""
        return self.read("latents")

    @property
    def written(self) -> NDArray[np.bool_]:
        """(rows, cols) bool."""
        return self.read("written").astype(bool)

    @property
    def ranges(self) -> Float32:
        """(rows, cols, 2) float32: intensities that −1 and 1 of each prepared pattern stand for."""
        return self.read("ranges")

    @property
    def flags(self) -> NDArray[np.bool_]:
        """(rows, cols) bool: True for patterns without information."""
        return self.read("flags").astype(bool)

    @property
    def positions_um(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x and y, (rows, cols) float64."""
        return self.read("x_um"), self.read("y_um")

    @property
    def background(self) -> Float32:
        """(H, W) float32, as subtracted; of a running mean, the last."""
        return self.read("background")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def copy_to(self, file: h5py.File) -> None:
        """Copy what was written pattern by pattern into another latents file, piece by piece.

        Raises
        ------
        LatentsError
            If it cannot be read.
        """
        for name in ("latents", "ranges", "flags", "written"):
            for piece in file[name].iter_chunks():
                file[name][piece] = self.read(name, piece)

    def read(self, name: str, piece: Any = ()) -> NDArray[Any]:
        """One of the data sets, or a piece of it, as stored."""
        try:
            data = self._file[name]
            data.refresh()
            array: NDArray[Any] = data[piece]
        except (OSError, RuntimeError, KeyError) as error:
            raise LatentsError(f"{self.path}: is damaged, {name} cannot be read ({error})") from None
        return array


def open_latents(path: str | Path) -> Latents:
    """Open a latents file, finished, growing, or left behind by a killed run.

    Raises
    ------
    LatentsError
        If it is no latents file, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise LatentsError(f"{path}: no such latents file")
    growing = _check_superblock(path)
    try:
        file = h5py.File(path, "r", libver="latest", swmr=growing, locking=False)
    except OSError as error:
        raise LatentsError(f"{path}: is no latents file, or damaged ({reason_of(error)})") from None
    try:
        return Latents(path, file, _read_origin(path, file), growing)
    except BaseException:
        file.close()
        raise


def _read_origin(path: Path, file: h5py.File) -> Origin:
    try:
        if file.attrs.get("format") == FORMAT:
            origin = Origin.from_json(file.attrs["origin"], ModelSpec.from_json(file.attrs["spec"], str(path)))
            _check_arrays(path, file, origin)
            return origin
    except (KeyError, ValueError, TypeError, AttributeError, OSError, RuntimeError, MicrorunError) as error:
        raise LatentsError(f"{path}: is damaged ({reason_of(error)}); encode the scan again") from None
    raise LatentsError(f"{path}: is an HDF5 file, but not of the format {FORMAT!r}")


def _check_superblock(path: Path) -> bool:
    """Refuse a file shorter than its superblock says; tell whether it is marked as being written.

    Only such a file is opened in SWMR mode: in it, HDF5 waits for bytes that are missing or damaged, for
    hours, or reads them as zeros.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        superblock = file.read(SUPERBLOCK.size)
    if len(superblock) < SUPERBLOCK.size or not superblock.startswith(HDF5_SIGNATURE):
        raise LatentsError(f"{path}: is no latents file: it is not HDF5")
    _, version, marks, end = SUPERBLOCK.unpack(superblock)
    if version != 3:
        raise LatentsError(f"{path}: is no latents file: HDF5's superblock has version {version}, expected 3")
    if size < end:
        raise LatentsError(f"{path}: is damaged: {end} bytes were written, {size} are left; encode the scan again")
    return bool(marks)


def _check_arrays(path: Path, file: h5py.File, origin: Origin) -> None:
    shape = origin.scan.nav_shape
    size = path.stat().st_size
    expected = {
        "latents": (*shape, origin.spec.latent_size),
        "ranges": (*shape, 2),
        "flags": shape,
        "written": shape,
        "x_um": shape,
        "y_um": shape,
        "background": origin.spec.preprocessing.input_shape,
    }
    for name, wanted in expected.items():
        if file[name].shape != wanted:
            raise ValueError(f"{name} is {file[name].shape}, expected {wanted}")
        if _end_of(file[name]) > size:
            raise ValueError(f"{name} reaches beyond the end of the file")


def _end_of(data: h5py.Dataset) -> int:
    """First byte after what a data set has on disk."""
    if data.chunks is None:
        return int(data.id.get_offset() or 0) + int(data.nbytes)
    chunks = map(data.id.get_chunk_info, range(data.id.get_num_chunks()))
    return max((int(chunk.byte_offset) + int(chunk.size) for chunk in chunks), default=0)
