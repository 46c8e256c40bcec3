"""A latents file by its name: it grows, is finished, loses its writer, is replaced, or is gone for a while."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

from microrun.runtime.encoding.meter import Meter
from microrun.runtime.errors import LatentsError, MicrorunError
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.lock import has_writer
from microrun.runtime.latents.damage import check_superblock
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.view.growing_map import GrowingMap

State = Literal["live", "finished", "interrupted", "gone"]
SWEEP_S = 5.0  # after which all of a file that changed is looked at, not only where it grows
RACY_NS = 20_000_000
AGAIN_S = 0.5  # after which a file that could not be read is tried again


class Follower(Closing):
    """Follow a latents file.

    Parameters
    ----------
    path
        The file, which is there.

    Attributes
    ----------
    map : GrowingMap
        What the file holds; another object once another file has its name.
    epoch : int
        Counts these objects.
    seen_writer : bool
        Whether a process of this machine was seen to write it.
    trouble : str
        Why the file cannot be read now; empty if it can.

    Raises
    ------
    LatentsError
        If it is no latents file, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epoch, self.trouble, self._again_at = 0, "", 0.0
        self.map = self._open(path.stat() if path.exists() else None)

    @property
    def state(self) -> State:
        """Whether more is to be expected."""
        if self.trouble:
            return "gone"
        if self.map.latents.growing and self._has_writer():
            return "live"
        return "finished" if self.map.done >= self.map.scan.total else "interrupted"

    @property
    def rate(self) -> float:
        """Points per second over the last five seconds."""
        return self._meter.read(0).rate

    def close(self) -> None:
        """Close the file."""
        self.map.close()

    def is_due(self) -> bool:
        """Whether `poll` may find anything: next to no work, as long as the file does not change."""
        if self.trouble:
            return time.monotonic() >= self._again_at
        try:
            found = self.path.stat()
        except OSError:
            return True
        changed = (found.st_ino, found.st_dev) != self._identity or found.st_mtime_ns != self._changed_ns
        return changed or self._racy or self._sweep_due()

    def poll(self) -> bool:
        """Look what is new in the file; True if anything is."""
        try:
            found = self.path.stat()
            if self.trouble or (found.st_ino, found.st_dev) != self._identity:
                old = self.map
                self.map = self._open(found)
                old.close()
            else:
                self._read(found.st_mtime_ns)
            self.trouble = ""
        except (OSError, LatentsError) as error:
            return self.fail(error)
        return True

    def fail(self, error: OSError | MicrorunError) -> bool:
        """Note why the file cannot be read now, which is tried again in a while; True if that is news."""
        trouble = f"{self.path}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        changed, self.trouble = trouble != self.trouble, trouble
        self._again_at = time.monotonic() + AGAIN_S
        return changed

    def _open(self, found: os.stat_result | None) -> GrowingMap:
        opened = GrowingMap(open_latents(self.path))
        assert found is not None  # else it could not be opened
        self._identity = found.st_ino, found.st_dev
        self._changed_ns, self._changed_at = found.st_mtime_ns, time.monotonic()
        self._swept_at, self._swept_ns, self._racy = time.monotonic(), 0, False
        self._meter = Meter(opened.scan.total)
        self._asked_at, self._answer, self.seen_writer = -SWEEP_S, True, False
        self.epoch += 1
        return opened

    def _sweep_due(self) -> bool:
        return self._changed_ns != self._swept_ns and time.monotonic() - self._swept_at > SWEEP_S

    def _read(self, changed_ns: int) -> None:
        before = self.map.done
        # Clocks of files tick slowly: what is written after this look may bear the same time.
        self._racy = abs(time.time_ns() - changed_ns) < RACY_NS
        if self.map.latents.growing and not check_superblock(self.path):  # its writer closed it
            self.map.reopen()
            self._swept_ns = changed_ns
        elif self._sweep_due():
            self.map.look(everywhere=True)
            self._swept_at, self._swept_ns = time.monotonic(), changed_ns
        else:
            self.map.look()
        if changed_ns != self._changed_ns:
            self._changed_ns, self._changed_at = changed_ns, time.monotonic()
        if self.map.done > before:
            self._meter.count(self.map.done - before, 0, time.perf_counter(), 0)

    def _has_writer(self) -> bool:
        """Whether a process writes the file, asked once a second."""
        if time.monotonic() - self._asked_at > 1.0:
            self._asked_at = time.monotonic()
            self._answer = has_writer(self.path, self._asked_at - self._changed_at)
            self.seen_writer |= self._answer
        return self._answer
