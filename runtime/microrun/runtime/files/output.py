"""Files that are never half written."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from microrun.runtime.errors import OutputError, RefusedOutputError
from microrun.runtime.files.asked import may_replace, remember
from microrun.runtime.files.hdf5 import reason_of
from microrun.runtime.files.lock import FileLock

BESIDE = ".part-"  # a name that nobody gives to a file of their own, and that keeps the suffix
CANNOT_WRITE = "cannot be written"
WINDOWS = os.name == "nt"
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
PAUSES_S = (0.05, 0.2, 0.5, 1.0)  # between tries to replace a file that another program holds


def name_beside(path: Path) -> Path:
    """Where a file is written before it is renamed."""
    return path.with_name(BESIDE + path.name)


@contextlib.contextmanager
def written_beside(path: Path, problem: str = CANNOT_WRITE, overwrite: bool | None = None) -> Iterator[Path]:
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
    overwrite
        Whether a file that has the name at the end may be replaced; None as the command's check of the name said,
        and without one if, and only if, a file had it when this began.

    Raises
    ------
    RefusedOutputError
        If another run writes it, or has made it meanwhile.
    OutputError
        If the disk is full or refuses; a file that was there before still is.
    OSError
        If it is raised within and names another file, such as one that is read.
    """
    with _published(path, problem, overwrite) as beside:
        try:
            yield beside
        except OSError as error:
            if _names_another(error, beside, path):
                raise
            raise cannot_write(path, error, problem) from None


@contextlib.contextmanager
def _published(path: Path, problem: str = CANNOT_WRITE, overwrite: bool | None = None) -> Iterator[Path]:
    """Do what `written_beside` does; but errors of the system that are raised within are left as they are."""
    replaces = may_replace(path) if overwrite is None else overwrite
    beside, publish = name_beside(path), replace_file if replaces else name_new
    if not replaces:
        refuse_taken(path)
    with _only_writer(path, problem):
        try:
            with contextlib.suppress(FileNotFoundError):
                if beside.samefile(path):  # a run was killed while its file had both names: it would be written over
                    beside.unlink()
            yield beside
            try:
                publish(beside, path)
            except OSError as error:
                raise cannot_write(path, error, problem) from None
            remember(path, replace=True)  # it is the command's own now
        except OutputError as error:  # of a writer, which knows the name beside only
            raise type(error)(str(error).replace(beside.name, path.name)) from None
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()


def _names_another(error: OSError, *own: Path) -> bool:
    named = error.filename  # of a copy that which is copied, though the disk that is full is the other's
    return (
        error.errno not in FULL
        and isinstance(named, str | os.PathLike)
        and not any(Path(named).is_relative_to(path) for path in own)
    )


@contextlib.contextmanager
def written_together(paths: Sequence[Path], overwrite: bool) -> Iterator[list[Path]]:
    """Give paths beside for all that a command makes, before it computes anything: the names are its own until the end.

    Parameters
    ----------
    paths
        The files; each must have been written when this ends.
    overwrite
        Whether files that have the names at the end may be replaced. Without it none gets its name if one is taken.

    Raises
    ------
    RefusedOutputError
        If another run writes one of them, or has made it meanwhile.
    OutputError
        If the disk is full or refuses; files that were there before still are.
    OSError
        If it is raised within: what writes there says so itself, and what else a command does is of other files.
    """
    with contextlib.ExitStack() as files:
        yield [files.enter_context(_published(path, overwrite=overwrite)) for path in paths]
        for path in () if overwrite else paths:
            refuse_taken(path)


def _only_writer(path: Path, problem: str) -> FileLock:
    try:
        return FileLock(name_beside(path))
    except BlockingIOError:
        raise RefusedOutputError(
            f"{path}: is being written by another run; wait for it, or write to another place"
        ) from None
    except OSError as error:
        raise cannot_write(path, error, problem) from None


def name_new(beside: Path, path: Path) -> None:
    """Give a file a name that was free, and must be free still: a rename would replace what has it now.

    Parameters
    ----------
    beside
        What was written: a file, which keeps its name, too, or a folder.
    path
        The name that it gets.

    Raises
    ------
    RefusedOutputError
        If something has it.
    OSError
        If the system refuses.
    """
    try:
        os.link(beside, path)
    except OSError:
        refuse_taken(path)
        replace_file(beside, path)  # a folder, or on a disk that knows no second names


def refuse_taken(path: Path) -> None:
    """Refuse a name that was free when it was asked for, and is no more; RefusedOutputError if so."""
    if os.path.lexists(path):
        raise taken(path)


def taken(path: Path) -> RefusedOutputError:
    """The error of a name that was free when it was asked for, and is no more."""
    return RefusedOutputError(f"{path}: something has been put there meanwhile, and it is kept; write to another place")


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


def write_whole(path: Path, content: bytes | memoryview, overwrite: bool | None = None) -> None:
    """Write beside, wait for the disk, rename: at every moment the name stands for a whole file.

    Parameters
    ----------
    path
        The file to make or replace.
    content
        All of it.
    overwrite
        As `written_beside` takes it.

    Raises
    ------
    OutputError
        If the disk is full or refuses; a file that was there before still is.
    """
    with written_beside(path, overwrite=overwrite) as beside, beside.open("wb") as file:
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
