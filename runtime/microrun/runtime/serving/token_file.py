"""The file that tells clients where the service is and lets them in: only its user can read it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from pathlib import Path
from typing import NamedTuple

from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.files.output import cannot_write, name_beside, replace_file

LOOPBACK = "127.0.0.1"
FORM = re.compile(r"microrun 1 (\d{1,5}) ([0-9a-f]{64})\s*")
MOST_BYTES = 256
PRIVATE = 0o600


class Address(NamedTuple):
    """Where the service is.

    Parameters
    ----------
    port
        On loopback.
    token
        64 hexadecimal digits.
    """

    port: int
    token: str


def default_token_file() -> Path:
    """Where it lies unless another place is asked for; the C client looks there, too."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "microrun" / "serve.token"
    return Path.home() / ".microrun" / "serve.token"


def write_token_file(path: Path, address: Address) -> None:
    """Write it.

    Parameters
    ----------
    path
        The file; one that is there is replaced.
    address
        What it says.

    Raises
    ------
    OutputError
        If it cannot be written, or lies where others can read it.
    """
    beside = name_beside(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"microrun 1 {address.port} {address.token}\n")
        if sys.platform != "win32" and beside.stat().st_mode & 0o077:  # as on disks that know no users
            raise OutputError(f"{path}: others can read it there; give a --token-file on a disk that knows users")
        replace_file(beside, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def read_token_file(path: Path) -> Address:
    """Read it.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MicrorunError
        If there is none, or it is another file.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise MicrorunError(f"{path}: cannot be read ({error.strerror}); start microrun serve first") from None
    found = FORM.fullmatch(text)
    if not found:
        raise MicrorunError(f"{path}: is no token file of microrun serve")
    return Address(int(found[1]), found[2])


def check_unused(path: Path) -> None:
    """Refuse a token file of a service that runs.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MicrorunError
        If something answers where the file points to.
    """
    try:
        port = read_token_file(path).port
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except (MicrorunError, OSError, OverflowError):
        return
    raise MicrorunError(
        f"{path}: another service has this token file (port {port} answers); end it, give another --token-file, or "
        "remove the file if that is no service"
    )


def forget_token_file(path: Path, address: Address) -> None:
    """Remove it, unless another service has written it since."""
    with contextlib.suppress(MicrorunError, OSError):
        if read_token_file(path) == address:
            path.unlink()
