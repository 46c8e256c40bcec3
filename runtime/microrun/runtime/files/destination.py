"""Where files are asked for: refused before anything long begins, by one rule and in the same words for all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from microrun.runtime.errors import RefusedOutputError
from microrun.runtime.files.asked import remember

HDF5_ENDINGS = (".h5", ".hdf5")
PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg")
ELSEWHERE = "or write to another place"


def check_file(
    path: Path,
    overwrite: bool = False,
    *,
    endings: Sequence[str] = (),
    sources: Sequence[Path] = (),
    advice: str = "",
) -> None:
    """Refuse a file that cannot be made, or must not be; what is found holds until a command has written it.

    Parameters
    ----------
    path
        The file to make.
    overwrite
        Whether one that is there may be replaced; never a folder.
    endings
        That its name may have, such as ".h5"; any without them.
    sources
        Files that are read meanwhile: none of them is ever replaced.
    advice
        What else may be done where it is there, such as "go on with --resume, ".

    Raises
    ------
    RefusedOutputError
        If the ending is another, it is there and may not be replaced, it is a source or a folder, or its folder is
        missing or cannot be written to.
    """
    if endings and not path.name.lower().endswith(tuple(endings)):
        raise RefusedOutputError(f"{path}: expected a name that ends in {' or '.join(endings)}")
    if path.is_dir():
        raise RefusedOutputError(f"{path}: is a folder; expected the name of a file")
    if any(_is_same(path, source) for source in sources):
        raise RefusedOutputError(f"{path}: is the file that is read; write to another place")
    if os.path.lexists(path) and not overwrite:
        raise RefusedOutputError(f"{path}: exists; {advice}replace it with --overwrite, {ELSEWHERE}")
    if not path.parent.exists():
        raise RefusedOutputError(f"{path}: there is no folder {path.parent}; make it first")
    _check_writable(path, path.parent)
    remember(path, overwrite)


def check_files(
    paths: Sequence[Path], overwrite: bool = False, *, endings: Sequence[str] = (), sources: Sequence[Path] = ()
) -> None:
    """Refuse as `check_file` does, if any of several files cannot be made or must not be.

    Parameters
    ----------
    paths
        What one command makes; the endings are those of the first.
    overwrite, endings, sources
        As `check_file` takes them.

    Raises
    ------
    RefusedOutputError
        For the first that is refused.
    """
    for number, path in enumerate(paths):
        check_file(path, overwrite, endings=() if number else endings, sources=sources)


def check_folder(folder: Path, names: Sequence[str] = (), overwrite: bool = False) -> None:
    """Refuse a folder that files cannot be put into, or in which they are already; it need not be there.

    Parameters
    ----------
    folder
        Where the files go; `made_folder` makes it.
    names
        Of the files.
    overwrite
        Whether those that are there may be replaced.

    Raises
    ------
    RefusedOutputError
        If it has the name of a picture, a file is in the way, one of the names is there and may not be replaced, or
        nothing can be written there.
    """
    if folder.suffix.lower() in PICTURES and not folder.is_dir():
        raise RefusedOutputError(f"{folder}: is the name of a picture; expected a folder")
    there = next((one for one in (folder, *folder.parents) if os.path.lexists(one)), None)
    if there is None:
        raise RefusedOutputError(f"{folder}: there is no drive or share {folder.anchor}; write to another place")
    if not there.is_dir():
        raise RefusedOutputError(f"{folder}: {there} is a file; expected a folder")
    _check_writable(folder, there)
    for name in names:
        if there == folder:
            check_file(folder / name, overwrite)
        remember(folder / name, overwrite)


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[Path]:
    """Make a folder where there is none; whatever happens, no folder that was made so is left empty.

    Parameters
    ----------
    folder
        Which passed `check_folder`.

    Raises
    ------
    RefusedOutputError
        If it cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        _make(folder)
        yield folder
    finally:
        for one in missing:
            with contextlib.suppress(OSError):  # which is not empty, or was not made
                one.rmdir()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedOutputError(f"{folder}: cannot be made ({error.strerror}); write to another place") from None


def _is_same(path: Path, source: Path) -> bool:
    return path.exists() and source.exists() and path.samefile(source)


def _check_writable(path: Path, folder: Path) -> None:
    """Windows says yes to any folder: there the writing itself fails."""
    if not folder.is_dir():
        raise RefusedOutputError(f"{path}: {folder} is a file; expected a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RefusedOutputError(f"{path}: {folder} cannot be written to (no permission); write to another place")
