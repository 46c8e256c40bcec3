"""One writer per file: a lock that the operating system frees when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from microrun.runtime.closing import Closing


class FileLock(Closing):
    """Hold an exclusive lock on a file beside the one that is written.

    HDF5's own lock is given up in SWMR mode, and would keep readers out.

    Parameters
    ----------
    path
        The file that is written; the lock is ``NAME.lock`` beside it, and goes with `close`.

    Raises
    ------
    BlockingIOError
        If another process or writer holds it.
    OSError
        If the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT)
        try:
            self._lock()
        except OSError:
            os.close(self._handle)
            raise BlockingIOError(f"{self._path} is held") from None

    def close(self) -> None:
        """Give the lock up."""
        if self._handle < 0:
            return
        if sys.platform != "win32":
            self._path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = -1
        if sys.platform == "win32":  # where an open file cannot be removed, and another may have it by now
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _lock(self) -> None:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(self._handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
