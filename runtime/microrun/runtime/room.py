"""Room on the disk, asked for before HDF5 writes: it does not survive a disk that is full."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

OVERHEAD_BYTES = 1 << 20  # HDF5's own


def check_room(path: Path, data_bytes: int) -> None:
    """Leave an empty file, or one whose room is taken; HDF5 then replaces it.

    Raises
    ------
    OSError
        If the disk has no room for HDF5 with so much data.
    """
    needed = data_bytes + OVERHEAD_BYTES
    with path.open("wb") as file:
        if shutil.disk_usage(path.parent).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, needed)
