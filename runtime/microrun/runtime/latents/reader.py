"""Latents of a scan in one HDF5 file, readable while it is written and valid after a kill.

Data sets, with (rows, cols) the map: ``latents`` (rows, cols, D) float32 or float16, NaN where not written ·
``ranges`` (rows, cols, 2) float32 · ``flags`` and ``written`` (rows, cols) uint8 · ``x_um``, ``y_um``
(rows, cols) float64 · ``background`` (H, W) float32 · ``probes`` (n, 32) uint8, hashes of some patterns ·
``familiarity`` (3,) float64, the numbers of `Familiarity`, NaN where they were not measured · ``monitor``, ``alarms``
and ``status`` (`watched`). The attributes of the file hold spec, scan and engine. What was computed from the latents
later is in groups of its own, such as ``analysis`` (`store_maps`).

While it is written the file is in HDF5's SWMR mode: readers open it with ``swmr=True``, as `open_latents` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import LatentsError
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.hdf5 import open_hdf5, reason_of
from microrun.runtime.files.kinds import check_kind
from microrun.runtime.files.shared_reading import warn_if_remote
from microrun.runtime.latents.damage import check_superblock, read_origin
from microrun.runtime.latents.dataset import DIMENSIONS, make_dataset
from microrun.runtime.latents.familiarity import Familiarity
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.page import Viewed
from microrun.runtime.latents.probes import HASH_BYTES, probe_numbers
from microrun.runtime.latents.selection import select
from microrun.runtime.latents.summary import summary_html, summary_line
from microrun.runtime.latents.watched import TYPES, Watched

if TYPE_CHECKING:
    from xarray import Dataset


class Latents(Viewed, Watched, Closing):
    """Latents of a scan, as an array of shape (rows, cols, D) that stays on disk; made by `open_latents`.

    ``latents[rows, cols]`` reads what NumPy's index asks for and no more rows than that, ``np.asarray(latents)`` all.
    While a run still writes the file, each access shows what the run has flushed.

    Parameters
    ----------
    path, file
        The file, and where it is.
    origin
        What the latents were made from.
    growing
        True while a run writes the file, and for one that a killed run left behind.

    Attributes
    ----------
    origin : Origin
        Scan, model, engine, precision and background that the latents were made from and with.
    growing : bool
        True while a run writes the file, and for one that a killed run left behind.
    shape : tuple of int
        (rows, cols, D): the map, and the features of each of its points.
    dtype : numpy.dtype
        float32 or float16.
    latents : (rows, cols, D) array of `dtype`
        All of them, without a unit; NaN where not written.
    written : (rows, cols) bool array
        True where there are latents.
    flags : (rows, cols) bool array
        True for patterns without information, whose latents say nothing.
    ranges : (rows, cols, 2) float32 array
        Intensities, in grey levels above the background, that −1 and 1 of each prepared pattern stand for.
    positions_um : two (rows, cols) float64 arrays
        x and y in µm; in steps where the scan does not state its step.
    background : (H, W) float32 array
        Grey levels, as subtracted; of a running mean, the last.
    familiarity : Familiarity or None
        How well the model knows the patterns; None where that was not measured.
    monitor, alarms, status
        How the run went that wrote the file: see `Watched`.
    """

    ndim = 3

    def __init__(self, path: Path, file: h5py.File, origin: Origin, growing: bool) -> None:
        self.path, self._file, self.origin, self.growing = path, file, origin, growing

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, cols, D)."""
        return (*self.origin.scan.nav_shape, self.origin.spec.latent_size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the latents: float32 or float16."""
        return np.dtype(self.origin.dtype)

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
    def bad_pixels(self) -> NDArray[np.bool_]:
        """(detector rows, detector cols) bool: True for pixels that were filled, as dead, hot or stuck."""
        bad = np.zeros(self.origin.scan.sig_shape, bool)
        bad.flat[list(self.origin.bad_pixels)] = True
        return bad

    @property
    def positions_um(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x and y, (rows, cols) float64 in µm, or in steps where the step is not known."""
        return self.read("x_um"), self.read("y_um")

    @property
    def background(self) -> Float32:
        """(H, W) float32, as subtracted; of a running mean, the last."""
        return self.read("background")

    @property
    def probes(self) -> NDArray[np.uint8]:
        """(n, 32) uint8: hashes of patterns all over the scan (`probe_numbers`), zeros where not known."""
        if "probes" in self._file:
            return self.read("probes")
        return np.zeros((len(probe_numbers(self.origin.scan.total)), HASH_BYTES), np.uint8)  # of an older version

    @property
    def familiarity(self) -> Familiarity | None:
        """How well the model knows the patterns; None where that was not measured, as in files of older versions."""
        if "familiarity" not in self._file:
            return None
        median, expected, turned = map(float, self.read("familiarity"))
        return None if np.isnan(median) else Familiarity(median, expected, None if np.isnan(turned) else turned)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """Latents as NumPy would give them for this index, (D,) for ``[row, col]``.

        Raises
        ------
        IndexError
            If there is no such row, column or feature, or a mask is not of the map's shape.
        LatentsError
            If the file is closed or damaged.
        """
        try:
            selection = select(index, self.shape)
        except IndexError as error:
            raise IndexError(f"{self.path}: {error}") from None
        return selection.take(lambda piece: self.read("latents", piece))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.path}: is on disk, of which an array is always a copy; leave copy=False out")
        return np.asarray(self.latents, dtype)

    def __repr__(self) -> str:
        return f"<Latents {self.path.name}: {summary_line(self.origin, self._state())}>"

    def _repr_html_(self) -> str:
        return summary_html(self.path, self.origin, self._state())

    def feature(self, number: int) -> NDArray[np.floating[Any]]:
        """Map of one feature.

        Parameters
        ----------
        number
            0 to D − 1.

        Returns
        -------
        (rows, cols) array of `dtype`, NaN where not written

        Raises
        ------
        LatentsError
            If there is no such feature, or the file is closed or damaged.
        """
        if not 0 <= number < self.shape[2]:
            raise LatentsError(f"{self.path}: features are 0 to {self.shape[2] - 1}; got {number}")
        image: NDArray[np.floating[Any]] = self[..., number]
        return image

    def to_xarray(self) -> Dataset:
        """All arrays by name, with positions as coordinates, in memory.

        Returns
        -------
        xarray.Dataset
            ``latents`` (row, col, feature), ``ranges`` (row, col, bound), ``written`` and ``flags`` (row, col) and
            ``background`` (detector_row, detector_col), with the coordinates ``x_um`` and ``y_um`` (row, col) and
            ``feature``. The units of positions are in their attributes: "µm", or "steps" where the step is not known.
            The attributes of the whole are text or numbers, so that any format can hold them.

        Raises
        ------
        LatentsError
            If xarray is not installed, or the file is closed or damaged.
        """
        stored = {name: self.read(name) for name in DIMENSIONS}
        return make_dataset({**stored, "written": self.written, "flags": self.flags}, self.origin)

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
        file["probes"][...] = self.probes
        if self.familiarity:
            file["familiarity"][...] = self.familiarity.numbers()
        for name in TYPES.keys() & self._file.keys():
            file[name][...] = self.read(name)

    def read(self, name: str, piece: Any = ()) -> NDArray[Any]:
        """One of the data sets, or a piece of it, as stored.

        Parameters
        ----------
        name
            "latents", "ranges", "flags", "written", "x_um", "y_um" or "background".
        piece
            What h5py takes as an index.

        Raises
        ------
        LatentsError
            If the file is closed or damaged.
        """
        if not self._file:
            raise LatentsError(f"{self.path}: is closed; open it again")
        try:
            data = self._file[name]
            data.refresh()
            array: NDArray[Any] = data[piece]
        except (OSError, RuntimeError, KeyError) as error:
            raise LatentsError(f"{self.path}: is damaged, {name} cannot be read ({error})") from None
        return array

    def _state(self) -> str:
        """How much is written, or why that cannot be told; nothing that is shown may fail."""
        if not self._file:
            return "closed"
        try:
            return f"{int(self.written.sum()):,} of {self.origin.scan.total:,} patterns written"
        except LatentsError:
            return "damaged"


def open_latents(path: str | Path) -> Latents:
    """Open a latents file, finished, growing, or left behind by a killed run.

    Parameters
    ----------
    path
        What `microrun encode` made, such as ``scan.latents.h5``.

    Returns
    -------
    Latents
        Open until its `close`, or the end of a ``with`` statement.

    Raises
    ------
    LatentsError
        If it is no latents file, or damaged.

    Warns
    -----
    UserWarning
        If it grows on another machine, on Windows.

    Examples
    --------
    >>> from microrun.runtime import open_latents
    >>> open_latents("scan.latents.h5")
    <Latents scan.latents.h5: 3×3 map × 32 features, float32, vae32, 9 of 9 patterns written>
    >>> open_latents("scan.latents.h5")[0, :, 17].shape  # first row of the map, feature 17
    (3,)
    """
    path = Path(path)
    if not path.is_file():
        check_kind(path, "latents", LatentsError)
        raise LatentsError(f"{path}: no such file")
    file, growing = _open_file(path)
    try:
        return Latents(path, file, read_origin(path, file), growing)
    except BaseException:
        file.close()
        raise


def _open_file(path: Path) -> tuple[h5py.File, bool]:
    """Open the file; tell whether it grows."""
    growing = check_superblock(path)
    if growing:
        warn_if_remote(path)
    try:
        return open_hdf5(path, growing, locking=False), growing
    except OSError as error:
        raise LatentsError(f"{path}: is not a latents file, or damaged ({reason_of(error)})") from None
