"""One writer per file: a lock that the operating system frees when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

from microrun.runtime.files.closing import Closing

QUIET_S = 30.0  # without a change after which a writer counts as gone, where the system does not tell
LOCKS = Path("/proc/locks")
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)  # such as Lustre, NFS without its lockd


class FileLock(Closing):
    """Hold an exclusive lock on a file beside the one that is written.

    HDF5's own lock is given up in SWMR mode, and would keep readers out. On a disk that knows no locks two writers are
    not told apart.

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
        self._handle = self._take()
        while not self._is_there():  # who held it before has removed the file in the meantime
            os.close(self._handle)
            self._handle = self._take()

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

    def _take(self) -> int:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT)
        try:
            _lock(handle)
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                return handle
            os.close(handle)
            raise BlockingIOError(f"{self._path} is held") from None
        return handle

    def _is_there(self) -> bool:
        """Whether the locked file is the one that others find."""
        try:
            return os.path.samestat(os.fstat(self._handle), self._path.stat())
        except FileNotFoundError:
            return False


def has_writer(path: Path, quiet_s: float) -> bool:
    """Whether a process holds the lock of a file. Taking it to find out could turn that process away.

    Parameters
    ----------
    path
        The file that is written.
    quiet_s
        For how long it has not changed, which tells where the system does not say who holds which locks.
    """
    try:
        lock = path.with_name(path.name + ".lock").stat()
    except OSError:
        return False
    if sys.platform == "linux" and LOCKS.is_file():
        held = [line.split() for line in LOCKS.read_text(encoding="ascii").splitlines() if "FLOCK" in line]
        return any(part.endswith(f":{lock.st_ino}") for words in held for part in words)
    return quiet_s < QUIET_S


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
