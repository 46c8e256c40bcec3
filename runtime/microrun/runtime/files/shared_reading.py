"""Files that are read while another program owns them: it may rename or delete them meanwhile."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import BinaryIO

GENERIC_READ = 0x80000000
SHARE_ALL = 0x1 | 0x2 | 0x4  # to read, to write, and to delete or rename, which Python's own `open` does not
OPEN_EXISTING = 3
NORMAL = 0x80  # no attributes
REMOTE = 4  # a drive of another machine


def open_shared(path: Path) -> BinaryIO:
    """Open a file to read without a buffer, in no one's way.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    if sys.platform != "win32":
        return path.open("rb", buffering=0)
    import ctypes
    import msvcrt

    create = ctypes.WinDLL("kernel32", use_last_error=True).CreateFileW
    number, pointer = ctypes.c_uint32, ctypes.c_void_p
    create.argtypes = [ctypes.c_wchar_p, number, number, pointer, number, number, pointer]
    create.restype = pointer
    handle = create(str(path), GENERIC_READ, SHARE_ALL, None, OPEN_EXISTING, NORMAL, None)
    if handle in (None, ctypes.c_void_p(-1).value):
        error = ctypes.WinError(ctypes.get_last_error())
        error.filename = str(path)
        raise error
    return open(msvcrt.open_osfhandle(handle, os.O_RDONLY), "rb", buffering=0)  # noqa: PTH123


def is_remote(path: Path) -> bool:
    r"""Whether a file is on another machine, as Windows tells: in \\server\share, or on a drive mapped to it."""
    if sys.platform != "win32":
        return False
    import ctypes

    drive = os.path.splitdrive(path.absolute())[0]
    if drive.startswith("\\\\"):
        return not drive.startswith(("\\\\?\\", "\\\\.\\")) or drive[4:].upper().startswith("UNC\\")
    return bool(ctypes.WinDLL("kernel32").GetDriveTypeW(drive + "\\") == REMOTE)


def warn_if_remote(path: Path) -> None:
    """Warn, on Windows, of a file that is on another machine and read while it is written.

    Warns
    -----
    UserWarning
        That HDF5 does not support it.
    """
    if is_remote(path):
        text = "HDF5 does not support that it is read while it is written there (SWMR over SMB)"
        advice = "write it to a disk of this machine, or read it when it is finished"
        warnings.warn(f"{path}: is on another machine; {text}: {advice}", stacklevel=3)
