"""What takes seconds to make is made once per run of the tests, by whichever worker of xdist needs it first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from microrun.runtime.files.lock import FileLock

_folders: list[Path] = []


def keep_in(folder: Path) -> None:
    """Name the folder that all workers share."""
    _folders[:] = [folder]


def made_once(name: str, make: Callable[[], bytes]) -> bytes:
    """Bytes that were made before under this name, or are made now; who comes meanwhile waits."""
    path = _folders[0] / name
    while not path.exists():
        with contextlib.suppress(BlockingIOError), FileLock(path):
            if not path.exists():
                part = path.with_name(f"{name}.part")
                part.write_bytes(make())
                part.replace(path)
        time.sleep(0.05)
    return path.read_bytes()
