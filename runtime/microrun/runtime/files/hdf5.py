"""HDF5 files: opened with care, and their errors in words for people."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
from h5py._objects import phil

from microrun.runtime.files.global_heaps import check_heaps
from microrun.runtime.json_text import UNREADABLE

MOST_RATIO = 1100  # deflate makes at most 1032 bytes of one
ATTEMPTS = 28  # to read what a writer may be writing: a quarter of a second; HDF5's 100 outlast any file
BOUNDED = {1, 2, 3, 4, 32000}  # filters of HDF5 that make no more of a byte: deflate, shuffle, Fletcher, szip, LZF
VLEN_KIND = 3  # byte of an encoded type of any length
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


def open_hdf5(path: Path, growing: bool = False, locking: bool | None = None, own: bool = True) -> h5py.File:
    """Open a file to read, if nothing in it leads out of it or claims more than it can hold.

    Parameters
    ----------
    path
        The file.
    growing
        Whether it is marked as being written, in SWMR mode, by a program that may be at it.
    locking
        Of `h5py.File`; never in SWMR mode.
    own
        False for files of other programs, which compress in any way.

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
    check_heaps(path)
    with hdf5_errors():
        file = _open_growing(path) if growing else h5py.File(path, "r", locking=locking)
        try:
            _check_objects(file, own)
            file.visititems(lambda name, item: None)  # as readers will: it meets damage that a walk by name does not
        except UNREADABLE as error:  # of h5py, where a part of the file is damaged
            file.close()
            raise OSError(reason_of(error)) from None
        except BaseException:
            file.close()
            raise
        return file


def _open_growing(path: Path) -> h5py.File:
    """Open in SWMR mode, in which HDF5 waits for a writer that mends what seems damaged: twice as long each time."""
    with phil:  # h5py's lock: HDF5 takes one call at a time
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
        access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
        access.set_file_locking(False, True)
        if _set_attempts is not None:
            _set_attempts(access.id, ATTEMPTS)
        flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
        return h5py.File(h5py.h5f.open(os.fsencode(path), flags, fapl=access))


def _find_attempts() -> Any:
    """HDF5's own function that h5py does not offer; None where its library cannot be asked for it."""
    for library in (h5py.h5p.__file__, "hdf5"):  # Windows gives functions of the library itself alone
        with contextlib.suppress(OSError, AttributeError):
            function = ctypes.CDLL(library).H5Pset_metadata_read_attempts
            function.argtypes = [ctypes.c_int64, ctypes.c_uint]
            return function
    return None


_set_attempts = _find_attempts()


def _check_objects(file: h5py.File, own: bool) -> None:
    groups: list[h5py.Group] = [file]
    _check_attributes(file)
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
            _check_attributes(item)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                _check_data(item, own)


def _check_attributes(item: h5py.HLObject) -> None:
    for name in item.attrs:
        kind = h5py.h5a.open(item.id, name.encode("utf-8", "surrogateescape")).get_type()
        # Neither texts nor sequences, of which alone the format has any length: HDF5 crashes where it reads others.
        if isinstance(kind, h5py.h5t.TypeVlenID) and kind.encode()[VLEN_KIND] & 15 > 1:
            raise OSError(f"the type of {name!r} of {item.name} is damaged")


def _check_data(data: h5py.Dataset, own: bool) -> None:
    if data.is_virtual or data.external:
        raise OSError(f"{data.name} lies in other files, and none is followed")
    made = data.id.get_create_plist()
    filters = {made.get_filter(place)[0] for place in range(made.get_nfilters())}
    stored = data.id.get_storage_size()
    if not own and not filters <= BOUNDED:
        return
    claimed = math.prod(data.shape or ()) * data.id.get_type().get_size()
    if data.shape and claimed > MOST_RATIO * stored + SMALL_BYTES:
        raise OSError(f"{data.name} claims {claimed:,} bytes and has {stored:,} on disk")
