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


def mark_writing(folder: Path) -> None:
    """Note that the volume is about to be written from a folder's blocks, all of which are there."""
    write_text(folder / WRITING, "")


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
    written = WRITING in names and (folder / WRITING).stat().st_mtime_ns <= out.stat().st_mtime_ns
    return written or names == {BLUEPRINT}
