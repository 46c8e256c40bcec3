"""Blocks that are left over: their run wrote the volume, and was killed before it could clear them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from microrun.runtime.errors import VolumeError
from microrun.runtime.files.lock import FileLock
from microrun.runtime.files.output import BESIDE, cannot_write, write_text
from microrun.runtime.generation.block_folder import BLUEPRINT, WRITING, remove_folder
from microrun.runtime.generation.request import name_folder


@contextlib.contextmanager
def only_run(out: Path) -> Iterator[None]:
    """Lock the folder of a volume's blocks; VolumeError if another run grows the same volume."""
    try:
        lock = FileLock(name_folder(out))
    except BlockingIOError:
        raise VolumeError(f"{out}: another run is growing it; wait, or choose another --out") from None
    except OSError as error:
        raise cannot_write(out, error) from None
    with lock:
        yield


def mark_writing(folder: Path, out: Path) -> None:
    """Note that a volume is about to be written from a folder's blocks, and which it replaces, if any."""
    write_text(folder / WRITING, _identity(out))


def clear_left_over(out: Path) -> Path | None:
    """Clear the blocks that are left of a volume that is there; those that it is not made of stay.

    Parameters
    ----------
    out
        The volume.

    Returns
    -------
    pathlib.Path or None
        The folder that was cleared.

    Raises
    ------
    VolumeError
        If a run still grows the volume.
    OutputError
        If the folder cannot be removed.
    """
    folder = name_folder(out)
    if not folder.is_dir():
        return None
    with only_run(out):
        if not _is_left_over(folder, out):
            return None
        try:
            remove_folder(folder)
        except OSError as error:
            raise cannot_write(folder, error, "cannot be removed") from None
    return folder


def _is_left_over(folder: Path, out: Path) -> bool:
    names = {path.name for path in folder.iterdir() if not path.name.startswith(BESIDE)}
    mark = folder / WRITING
    written = WRITING in names and mark.stat().st_mtime_ns <= out.stat().st_mtime_ns
    replaced = written and mark.read_text(encoding="utf-8") != _identity(out)
    return replaced or names == {BLUEPRINT}


def _identity(out: Path) -> str:
    """What tells a file from the one that replaces it, whoever touches it; empty where there is none."""
    return f"{out.stat().st_dev} {out.stat().st_ino}" if out.exists() else ""
