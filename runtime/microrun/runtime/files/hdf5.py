"""HDF5 files: opened with care, and their errors in words for people."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

MOST_RATIO = 1100  # deflate makes at most 1032 bytes of one
SMALL_BYTES = 1 << 24  # that need not be there: room that was never written


def reason_of(error: BaseException) -> str:
    """HDF5's message without its stack: the system's reason if there is one."""
    message = getattr(error, "strerror", None) or str(error)
    text = message.splitlines()[0] if message else type(error).__name__
    _, found, reason = text.partition("error message = '")
    return reason.partition("'")[0] if found else text


@contextlib.contextmanager
def hdf5_errors() -> Iterator[None]:
    """Turn RuntimeError into OSError: HDF5 raises either when a disk is full."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(reason_of(error)) from None


def open_hdf5(path: Path, **options: Any) -> h5py.File:
    """Open a file to read, if nothing in it leads out of it or claims more than it can hold.

    Parameters
    ----------
    path
        The file.
    options
        Of `h5py.File`.

    Returns
    -------
    h5py.File

    Raises
    ------
    OSError
        If it cannot be opened, is damaged, has links to other files, or data sets that lie in other files or are
        larger than any compression explains.
    """
    if not path.is_file():  # opening a pipe would wait for its writer
        raise OSError("no such file")
    with hdf5_errors():
        file = h5py.File(path, "r", **options)
        try:
            _check_objects(file)
        except (KeyError, ValueError, TypeError) as error:  # of h5py, where a part of the file is damaged
            file.close()
            raise OSError(reason_of(error)) from None
        except BaseException:
            file.close()
            raise
        return file


def _check_objects(file: h5py.File) -> None:
    groups: list[h5py.Group] = [file]
    seen: set[Any] = set()  # a group may hold itself
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise OSError(f"{group.name.rstrip('/')}/{name} is a link to another file, and none is followed")
            if not isinstance(link, h5py.HardLink):  # its end has a hard one, if it has an end
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                _check_data(item)


def _check_data(data: h5py.Dataset) -> None:
    if data.is_virtual or data.external:
        raise OSError(f"{data.name} lies in other files, and none is followed")
    if data.shape and data.nbytes > MOST_RATIO * data.id.get_storage_size() + SMALL_BYTES:
        raise OSError(f"{data.name} claims {data.nbytes:,} bytes and has {data.id.get_storage_size():,} on disk")
