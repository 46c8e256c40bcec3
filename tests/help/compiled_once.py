"""What one worker of xdist has compiled the others need not compile.

Each keeps a cache of its own, as processes that compile orix's gufuncs into one at once leave it broken (numba#10128).
Between two files of tests, when nothing is being compiled, a worker gives what it has made and takes what others gave.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from microrun.runtime.files.lock import FileLock


def exchange(own: Path, shared: Path) -> None:
    """Copy what either cache of numba lacks of the other; not now, where another worker is at it."""
    for folder in (own, shared):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(BlockingIOError), FileLock(shared):
        _copy_missing(own, shared)
        _copy_missing(shared, own)


def _copy_missing(source: Path, target: Path) -> None:
    # Code (.nbc) before the index (.nbi) that names it: a process that the worker has started may be looking.
    for name in sorted(_names(source) - _names(target), key=lambda name: name.endswith(".nbi")):
        copy = target / name
        copy.parent.mkdir(exist_ok=True)
        part = copy.with_name(f"{copy.name}.tmp")
        shutil.copyfile(source / name, part)
        part.replace(copy)


def _names(cache: Path) -> set[str]:
    """Folder and name of all that is whole."""
    folders = [entry for entry in os.scandir(cache) if entry.is_dir()]
    names = {f"{folder.name}/{entry.name}" for folder in folders for entry in os.scandir(folder.path)}
    return {name for name in names if name.endswith((".nbc", ".nbi"))}
