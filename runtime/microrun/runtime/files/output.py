"""Files that are never half written."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from microrun.runtime.errors import OutputError, RefusedOutputError
from microrun.runtime.files.hdf5 import reason_of
from microrun.runtime.files.lock import FileLock

BESIDE = ".part-"  # a name that nobody gives to a file of their own, and that keeps the suffix
CANNOT_WRITE = "cannot be written"
WINDOWS = os.name == "nt"
PAUSES_S = (0.05, 0.2, 0.5, 1.0)  # between tries to replace a file that another program holds


def name_beside(path: Path) -> Path:
    """Where a file is written before it is renamed."""
    return path.with_name(BESIDE + path.name)


@contextlib.contextmanager
def written_beside(path: Path, problem: str = CANNOT_WRITE) -> Iterator[Path]:
    """Give a path beside to write to; it is renamed at the end, and removed if anything goes wrong.

    What a killed run left beside is written over; what a living one writes there, and a file that another has made
    since this began, are left alone.

    A file may be renamed while it is open, by returning it from within; but not on Windows, where neither may the
    file that it replaces be open.

    Parameters
    ----------
    path
        The file to make or replace.
    problem
        What a failure is called.

    Raises
    ------
    RefusedOutputError
        If another run writes it, or has made it meanwhile.
    OutputError
        If the disk is full or refuses; a file that was there before still is.
    """
    beside, publish = name_beside(path), replace_file if os.path.lexists(path) else _name_new
    with _only_writer(path, problem):
        try:
            if beside.exists() and path.exists() and beside.samefile(path):
                beside.unlink()  # a run was killed while its file had both names: what is written would be that file
            yield beside
            publish(beside, path)
        except OSError as error:
            raise cannot_write(path, error, problem) from None
        except OutputError as error:  # of a writer, which knows the name beside only
            raise type(error)(str(error).replace(beside.name, path.name)) from None
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()


def _only_writer(path: Path, problem: str) -> FileLock:
    try:
        return FileLock(name_beside(path))
    except BlockingIOError:
        raise RefusedOutputError(
            f"{path}: is being written by another run; wait for it, or write to another place"
        ) from None
    except OSError as error:
        raise cannot_write(path, error, problem) from None


def _name_new(beside: Path, path: Path) -> None:
    """Give a file a name that was free, and must be free still: a rename would replace what has it now."""
    try:
        os.link(beside, path)
    except OSError:
        if os.path.lexists(path):
            raise RefusedOutputError(
                f"{path}: another run has made it meanwhile, and it is kept; write to another place"
            ) from None
        replace_file(beside, path)  # on a disk that knows no second names


def replace_file(beside: Path, path: Path) -> None:
    """Rename; on Windows a viewer that holds the old file is waited for a little.

    Parameters
    ----------
    beside
        What was written.
    path
        The name that it gets.

    Raises
    ------
    OSError
        If the system refuses.
    """
    for pause_s in PAUSES_S if WINDOWS else ():
        try:
            beside.replace(path)
            return
        except PermissionError:
            time.sleep(pause_s)
    beside.replace(path)


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write beside, wait for the disk, rename: at every moment the name stands for a whole file.

    Parameters
    ----------
    path
        The file to make or replace.
    content
        All of it.

    Raises
    ------
    OutputError
        If the disk is full or refuses; a file that was there before still is.
    """
    with written_beside(path) as beside, beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 as `write_whole` does."""
    write_whole(path, text.encode())


def cannot_write(path: Path, error: OSError, problem: str = CANNOT_WRITE) -> OutputError:
    """Say that a file could not be written, and what to do."""
    if not path.parent.is_dir():
        return OutputError(f"{path}: {problem}: there is no folder {path.parent}; make it first")
    held = WINDOWS and isinstance(error, PermissionError)
    advice = "Close the program that has it open" if held else "Make room"
    return OutputError(
        f"{path}: {problem} ({reason_of(error)}); what it held before is still valid. {advice} and run again"
    )
