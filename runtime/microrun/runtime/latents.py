"""Latents of a scan in one HDF5 file, readable while it is written and valid after a kill.

Data sets, with (rows, cols) the map: ``latents`` (rows, cols, D) float32 or float16, NaN where not written ·
``ranges`` (rows, cols, 2) float32 · ``flags`` and ``written`` (rows, cols) uint8 · ``x_um``, ``y_um``
(rows, cols) float64 · ``background`` (H, W) float32. The attributes of the file hold spec, scan and engine.

While it is written the file is in HDF5's SWMR mode: readers open it with ``swmr=True``, as `open_latents` does.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.closing import Closing
from microrun.runtime.engine import EngineInfo
from microrun.runtime.errors import LatentsError, OutputError
from microrun.runtime.preprocess import Float32
from microrun.runtime.scan import Scan
from microrun.runtime.spec import ModelSpec
from microrun.runtime.stream import EncodedBatch

FORMAT = "microrun latents 1"
FLUSH_S = 0.25  # results wait at most this long in memory, as long as more arrive
CHUNK_BYTES = 1 << 18
LatentType = Literal["float32", "float16"]


@dataclass(frozen=True)
class Origin:
    """What latents were made from and with; a resumed run must have the same.

    Parameters
    ----------
    scan
        Geometry.
    fingerprint
        Hash of the scan's first pattern; empty for a scan in memory.
    spec
        Of the encoder.
    engine_sha256, engine, precision
        Hash of the model file, what ran it, and in which precision.
    background
        "mean", "running", "none" or "file".
    dtype
        Of the stored latents.
    """

    scan: Scan
    fingerprint: str
    spec: ModelSpec
    engine_sha256: str
    engine: str
    precision: str
    background: str
    dtype: LatentType = "float32"

    @classmethod
    def of(
        cls,
        scan: Scan,
        fingerprint: str,
        spec: ModelSpec,
        info: EngineInfo,
        background: str,
        dtype: LatentType,
    ) -> Origin:
        """Collect from what a run uses."""
        engine = f"{info.library} on {info.device}"
        return cls(scan, fingerprint, spec, info.sha256, engine, info.precision, background, dtype)

    def to_json(self) -> str:
        """Encode all but the spec, which has an attribute of its own."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["scan"] = dataclasses.asdict(self.scan)
        del values["spec"]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, spec: ModelSpec) -> Origin:
        """Decode what `to_json` made; raises ValueError, TypeError or KeyError for anything else."""
        values: dict[str, Any] = json.loads(text)
        scan = values.pop("scan")
        for name in ("nav_shape", "sig_shape", "step_um"):
            scan[name] = tuple(scan[name])
        return cls(scan=Scan(**scan), spec=spec, **values)

    def difference(self, other: Origin) -> str | None:
        """Say in words in what another origin differs, or None."""
        for name, what in (
            ("fingerprint", "scan (its first pattern differs)"),
            ("scan", "scan geometry"),
            ("engine_sha256", "engine"),
            ("precision", "precision"),
            ("engine", "engine library or device"),
            ("background", "background"),
            ("dtype", "latents type"),
        ):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return what if name in ("fingerprint", "engine_sha256") else f"{what}: {mine} there, {theirs} here"
        return None


class Latents(Closing):
    """A latents file, open for reading; made by `open_latents`.

    The arrays are read from disk at each access; while a run still writes, they show what it has flushed.
    """

    def __init__(self, path: Path, file: h5py.File, origin: Origin) -> None:
        self.path, self._file, self.origin = path, file, origin

    @property
    def latents(self) -> NDArray[np.floating[Any]]:
        """(rows, cols, D) float32 or float16, NaN where not written."""
        return self._read("latents")

    @property
    def written(self) -> NDArray[np.bool_]:
        """(rows, cols) bool."""
        return self._read("written").astype(bool)

    @property
    def ranges(self) -> Float32:
        """(rows, cols, 2) float32: intensities that −1 and 1 of each prepared pattern stand for."""
        return self._read("ranges")

    @property
    def flags(self) -> NDArray[np.bool_]:
        """(rows, cols) bool: True for patterns without information."""
        return self._read("flags").astype(bool)

    @property
    def positions_um(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x and y, (rows, cols) float64."""
        return self._read("x_um"), self._read("y_um")

    @property
    def background(self) -> Float32:
        """(H, W) float32, as subtracted."""
        return self._read("background")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, name: str) -> NDArray[Any]:
        try:
            data = self._file[name]
            data.refresh()
            array: NDArray[Any] = data[()]
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
    try:
        file = h5py.File(path, "r", libver="latest", swmr=True)
    except OSError as error:
        raise LatentsError(f"{path}: is no latents file, or damaged ({_reason(error)})") from None
    try:
        if file.attrs.get("format") != FORMAT:
            raise LatentsError(f"{path}: is an HDF5 file, but not of the format {FORMAT!r}")
        spec = ModelSpec.from_json(file.attrs["spec"], str(path))
        origin = Origin.from_json(file.attrs["origin"], spec)
        _check_arrays(path, file, origin)
    except (KeyError, ValueError, TypeError, OSError) as error:
        file.close()
        raise LatentsError(f"{path}: is damaged ({_reason(error)}); encode the scan again") from None
    except BaseException:
        file.close()
        raise
    return Latents(path, file, origin)


class LatentsWriter(Closing):
    """Write latents as they come.

    Parameters
    ----------
    path
        File to make; `create` refuses one that exists, `resume` goes on with it.

    Raises
    ------
    OutputError
        If it cannot be written, such as on a full disk; what was flushed stays valid.
    """

    def __init__(self, path: Path, file: h5py.File, origin: Origin) -> None:
        self.path, self._file, self.origin = path, file, origin
        self._waiting: list[EncodedBatch] = []
        self._flushed_at = time.monotonic()

    @classmethod
    def create(cls, path: Path, origin: Origin, background: Float32) -> LatentsWriter:
        """Make a new file; LatentsError if there is one."""
        if path.exists():
            raise LatentsError(f"{path}: exists; go on with --resume, or choose another --out")
        return cls._start(path, origin, background, None)

    @classmethod
    def resume(cls, path: Path, origin: Origin) -> LatentsWriter:
        """Go on with a file, whether its run ended or was killed.

        Raises
        ------
        LatentsError
            If it is damaged, or belongs to another scan, engine, precision or background.
        """
        with open_latents(path) as old:
            difference = old.origin.difference(origin)
            if difference:
                raise LatentsError(f"{path}: cannot be resumed, it belongs to another {difference}")
            return cls._start(path, origin, old.background, old)

    @property
    def done(self) -> int:
        """Patterns written before the first that is missing."""
        written = self._file["written"][()][self.origin.scan.exists()]
        return int(np.argmin(written)) if not written.all() else written.size

    @property
    def background(self) -> Float32:
        """(H, W) float32, as stored."""
        stored: Float32 = self._file["background"][()]
        return stored

    def write(self, batch: EncodedBatch) -> None:
        """Add a batch; it reaches the disk within a quarter of a second, as long as more arrive."""
        self._waiting.append(batch)
        if time.monotonic() - self._flushed_at > FLUSH_S:
            self.flush()

    def flush(self, background: Float32 | None = None) -> None:
        """Bring all batches to the disk; and, for a running mean, the background now in use."""
        try:
            if background is not None:
                self._file["background"][...] = background
            if self._waiting:
                self._store()
            self._file.flush()
        except (OSError, RuntimeError) as error:
            raise self._failed(error) from None
        self._flushed_at = time.monotonic()

    def close(self) -> None:
        """Flush and close."""
        if self._file:
            try:
                self.flush()
            finally:
                self._close_file()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OutputError):
            self._close_file()  # a second failure would hide the first
        else:
            self.close()

    @classmethod
    def _start(cls, path: Path, origin: Origin, background: Float32, old: Latents | None) -> LatentsWriter:
        # Made beside and renamed, so that the name never stands for half a file. A killed run leaves HDF5's
        # "open for writing" mark in the file; copying it is the way around that needs no knowledge of HDF5.
        beside = path.with_name(path.name + ".part")
        try:
            with h5py.File(beside, "w", libver="latest") as file:
                _make_arrays(file, origin, background)
                if old:
                    for name in ("latents", "ranges", "flags", "written"):
                        file[name][...] = old._read(name)
                    old.close()
            beside.replace(path)
            file = h5py.File(path, "r+", libver="latest")
            file.swmr_mode = True
        except (OSError, RuntimeError) as error:
            beside.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written ({_reason(error)})") from None
        return cls(path, file, origin)

    def _store(self) -> None:
        batches, self._waiting = self._waiting, []
        indices = np.concatenate([batch.indices for batch in batches])
        rows, cols = self.origin.scan.locate(indices)
        columns = {
            "latents": np.concatenate([batch.latents for batch in batches]),
            "ranges": np.concatenate([batch.ranges for batch in batches]),
            "flags": np.concatenate([batch.flags for batch in batches]),
        }
        edges = np.flatnonzero((np.diff(rows) != 0) | (np.diff(cols) != 1)) + 1
        runs = [slice(a, b) for a, b in zip([0, *edges], [*edges, len(rows)], strict=True)]
        for name, values in columns.items():
            data = self._file[name]
            for run in runs:
                data[rows[run.start], cols[run.start] : cols[run.stop - 1] + 1] = values[run]
        self._file.flush()  # the mark "written" must not reach the disk before what it speaks of
        for run in runs:
            self._file["written"][rows[run.start], cols[run.start] : cols[run.stop - 1] + 1] = 1

    def _failed(self, error: Exception) -> OutputError:
        return OutputError(
            f"{self.path}: cannot be written ({_reason(error)}); what is in it stays valid: make room and use --resume"
        )

    def _close_file(self) -> None:
        try:
            self._file.close()
        except (OSError, RuntimeError) as error:
            raise self._failed(error) from None


def _make_arrays(file: h5py.File, origin: Origin, background: Float32) -> None:
    rows, cols = origin.scan.nav_shape
    arrays: dict[str, tuple[tuple[int, ...], str, float]] = {
        "latents": ((rows, cols, origin.spec.latent_size), origin.dtype, np.nan),
        "ranges": ((rows, cols, 2), "float32", np.nan),
        "flags": ((rows, cols), "uint8", 0),
        "written": ((rows, cols), "uint8", 0),
    }
    file.attrs.update(format=FORMAT, spec=origin.spec.to_json(), origin=origin.to_json())
    for name, (shape, dtype, fill) in arrays.items():
        row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape[1:]))
        chunks = (max(1, min(rows, CHUNK_BYTES // row_bytes)), *shape[1:])
        file.create_dataset(name, shape, dtype, chunks=chunks, fillvalue=fill)
    for name, position in zip(("x_um", "y_um"), origin.scan.positions_um(), strict=True):
        file.create_dataset(name, data=position)
    file.create_dataset("background", data=background)


def _check_arrays(path: Path, file: h5py.File, origin: Origin) -> None:
    shape = origin.scan.nav_shape
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


def _reason(error: BaseException) -> str:
    """HDF5's message without its stack: the system's reason if there is one."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    _, found, reason = text.partition("error message = '")
    return reason.partition("'")[0] if found else text
