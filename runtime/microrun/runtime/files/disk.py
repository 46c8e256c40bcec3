"""Room on the disk, asked for before HDF5 or a mapped file is written: neither survives a disk that is full."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

OVERHEAD_BYTES = 1 << 20  # HDF5's own


def check_room(path: Path, data_bytes: int) -> None:
    """Leave a file whose room is taken; HDF5 then replaces it.

    Raises
    ------
    OSError
        If the disk has no room for HDF5 with so much data.
    """
    with path.open("wb") as file:
        file.truncate(data_bytes + OVERHEAD_BYTES)
    take_room(path)


def take_room(path: Path) -> None:
    """Give a file that is about to be mapped all the room that its size asks for.

    Raises
    ------
    OSError
        If the disk has not so much.
    """
    needed = path.stat().st_size
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, needed)
