"""Writing latents files: in order on the disk, all room taken at the start, valid at every moment."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import LatentsError, OutputError
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.destination import check_file
from microrun.runtime.files.hdf5 import hdf5_errors, reason_of
from microrun.runtime.files.lock import FileLock
from microrun.runtime.files.output import BESIDE, cannot_write, name_beside, replace_file, written_beside
from microrun.runtime.latents.arrays import make_arrays, try_room
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.familiarity import Familiarity
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.watched import STATUS, Alarm, RunStatus, alarm_rows
from microrun.runtime.scans.scan import Scan

Replace = Literal["never", "whole", "now"]
FLUSH_S = 0.25  # results wait at most this long in memory, as long as more arrive


class LatentsWriter(Closing):
    """Write latents as they come.

    Parameters
    ----------
    path
        File to make; `create` refuses or replaces one that exists, `resume` goes on with it.
    grown_at
        Where it grows: ``path``, or beside it until `finish`, so that what it replaces stays until it is complete.

    Raises
    ------
    OutputError
        If it cannot be written, such as on a full disk; what was flushed stays valid.
    """

    def __init__(
        self, path: Path, file: h5py.File, origin: Origin, lock: FileLock, grown_at: Path | None = None
    ) -> None:
        self.path, self._file, self.origin, self._held = path, file, origin, lock
        self._grown_at = grown_at or path
        self._finished = False
        self._waiting: list[EncodedBatch] = []
        self._kept: dict[tuple[str, Any], Any] = {}  # by data set and place, for the next flush
        self._flushed_at = time.monotonic()

    @classmethod
    def create(cls, path: Path, origin: Origin, background: Float32, replace: Replace = "never") -> LatentsWriter:
        """Make a new file.

        Parameters
        ----------
        path
            The file; nothing is left of it if it cannot be made.
        origin
            What the latents are made from and with.
        background
            (H, W) float32, as subtracted.
        replace
            What becomes of a file that is there: it is kept and "never" replaced; it stays until the new one is whole
            and `finish` was called, and for good if it never is ("whole"); or the new one takes its place "now",
            empty, so that it can be read while it grows.

        Raises
        ------
        RefusedOutputError
            If there is one, and it may not be replaced.
        """
        lock = lock_latents(path)
        try:
            if replace == "never":
                check_file(path)
            grown_at = name_beside(path) if replace == "whole" and path.exists() else path
            return cls(path, _start(grown_at, origin, background, None), origin, lock, grown_at)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def resume(cls, path: Path, origin: Origin) -> LatentsWriter:
        """Go on with a file, whether its run ended or was killed.

        Raises
        ------
        LatentsError
            If it is damaged, is being written, or belongs to another scan, engine, precision or background.
        """
        lock = lock_latents(path)
        try:
            with open_latents(path) as old:
                difference = old.origin.difference(origin)
                if difference:
                    raise LatentsError(
                        f"{path}: cannot be resumed, it belongs to another {difference}; replace it with --overwrite"
                    )
                return cls(path, _start(path, origin, old.background, old), origin, lock)
        except BaseException:
            lock.close()
            raise

    @property
    def is_complete(self) -> bool:
        """Whether every pattern that the scan shall have is written."""
        return self.done == self.origin.scan.total > 0

    @property
    def done(self) -> int:
        """Patterns written before the first that is missing."""
        written = self.written
        return int(np.argmin(written)) if not written.all() else written.size

    @property
    def flagged(self) -> NDArray[np.int64]:
        """Numbers of the patterns that were written, but carried no information."""
        return np.flatnonzero(self._file["flags"][()][self.origin.scan.exists()] & self.written)

    @property
    def background(self) -> Float32:
        """(H, W) float32, as stored."""
        return np.asarray(self._file["background"][()], np.float32)

    @property
    def written(self) -> NDArray[np.bool_]:
        """(total,) bool: True for the patterns that are written."""
        return np.asarray(self._file["written"][()][self.origin.scan.exists()], bool)

    @property
    def monitor(self) -> NDArray[Any]:
        """Rows of `MONITOR` of all blocks that are measured and encoded to their end."""
        rows = self._file["monitor"][()]
        ends = np.minimum(rows["first"] + self._file["monitor"].attrs["block"], self.origin.scan.total)
        whole = (rows["count"] > 0) & (ends <= self.done)
        found: NDArray[Any] = rows[whole]
        return found

    def write(self, batch: EncodedBatch) -> None:
        """Add a batch; it reaches the disk within a quarter of a second, as long as more arrive."""
        self._waiting.append(batch)
        if time.monotonic() - self._flushed_at > FLUSH_S:
            self.flush()

    def replace_background(self, background: Float32) -> None:
        """Store another background, such as a running mean's last, with the next flush."""
        self._kept["background", ...] = background

    def keep_probe(self, place: int, probe: NDArray[np.uint8]) -> None:
        """Store the hash of a pattern, by its place in `probe_numbers`, with the next flush."""
        self._kept["probes", place] = probe

    def keep_familiarity(self, familiarity: Familiarity) -> None:
        """Store how well the model knows the patterns, with the next flush."""
        self._kept["familiarity", ...] = familiarity.numbers()

    def keep_block(self, number: int, row: np.void) -> None:
        """Store what was measured of a block of patterns, a row of `MONITOR`, with the next flush."""
        self._kept["monitor", number] = row

    def keep_alarms(self, alarms: Sequence[Alarm]) -> None:
        """Store all alarms, with the next flush; those that find no room are not stored."""
        self._kept["alarms", ...] = alarm_rows(alarms)

    def keep_status(self, status: RunStatus) -> None:
        """Store where the run stands, with the next flush."""
        self._kept["status", 0] = np.array(status.to_row(), STATUS)

    def restart(self, scan: Scan) -> None:
        """Begin again with another geometry of the same scan; what was written is dropped."""
        background = self.background
        self._waiting.clear()
        self._kept.clear()
        self._file.close()
        self.origin = replace(self.origin, scan=scan)
        self._file = _start(self._grown_at, self.origin, background, None)

    def finish(self) -> None:
        """Say that the file is whole: closed, it takes the place of the one that it replaces."""
        self._finished = True

    def flush(self) -> None:
        """Bring to the disk all batches and what is kept beside them."""
        try:
            self._put(lambda name: name != "status")
            if self._waiting:
                self._store()
            self._file.flush()
            self._put(lambda name: name == "status")  # what it counts is there
            self._kept.clear()
            self._file.flush()
        except (OSError, RuntimeError) as error:
            raise self._failed(error) from None
        self._flushed_at = time.monotonic()

    def close(self) -> None:
        """Flush and close."""
        if self._file:
            try:
                self.flush()
            except OutputError:
                self._finished = False
                raise
            finally:
                self._close_file()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OutputError):
            self._close_file()  # a second failure would hide the first
        else:
            self.close()

    def _put(self, chosen: Callable[[str], bool]) -> None:
        for (name, place), value in self._kept.items():
            if chosen(name):
                self._file[name][place] = value

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
        kept = "the file that is there stays as it was" if self._replaces else "what is in it stays valid"
        rerun = "run again" if self._replaces else "go on with --resume"
        return OutputError(f"{self.path}: cannot be written ({reason_of(error)}); {kept}, {rerun}")

    @property
    def discards(self) -> bool:
        """Whether nothing of what was written is kept, if it is closed now: it should replace a file, and is part."""
        return self._replaces and not self._finished

    @property
    def _replaces(self) -> bool:
        return self._grown_at != self.path

    def _close_file(self) -> None:
        try:
            self._file.close()
            if self._replaces and self._finished:
                self._take_the_place()
        except (OSError, RuntimeError) as error:
            raise self._failed(error) from None
        finally:
            if self.discards:
                with contextlib.suppress(OSError):
                    self._grown_at.unlink()
            self._held.close()

    def _take_the_place(self) -> None:
        """Rename the new file to the old one's name; where that cannot be, it is whole all the same, and stays."""
        try:
            replace_file(self._grown_at, self.path)
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be replaced ({reason_of(error)}): close what has it open, and give its name to "
                f"{self._grown_at}, which holds the new latents, whole"
            ) from None


def lock_latents(path: Path) -> FileLock:
    """Take the lock that one writer of a latents file holds; LatentsError if another has it."""
    try:
        return FileLock(path)
    except BlockingIOError:
        raise LatentsError(f"{path}: is being written by another run; wait for it, or choose another --out") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None


def _start(path: Path, origin: Origin, background: Float32, old: Latents | None) -> h5py.File:
    """Make the file, with all that an old one holds, and open it in SWMR mode.

    It is open before it has its name, so that readers never take it for a finished one. A killed run leaves HDF5's
    mark of a file being written in it; copying it is the way around that needs no knowledge of HDF5.
    """
    try:
        with written_beside(path) as beside, hdf5_errors():
            try_room(beside, origin)
            with h5py.File(beside, "w", libver="latest") as file:
                make_arrays(file, origin, background)
                if old is not None:
                    old.copy_to(file)
                    old.close()
            if sys.platform != "win32":  # where an open file cannot be renamed
                return _open_growing(beside)
        return _open_growing(path)
    except OSError as error:
        raise cannot_write(path.with_name(path.name.removeprefix(BESIDE)), error) from None


def _open_growing(path: Path) -> h5py.File:
    with hdf5_errors():
        file = h5py.File(path, "r+", libver="latest")
        file.swmr_mode = True
    return file
