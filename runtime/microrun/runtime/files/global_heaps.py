"""Global heaps of HDF5 files, where texts of any length lie: HDF5 runs in a circle for ever in a damaged one.

A heap is a collection of objects, one behind the other, each with its size before it. The library goes from one to
the next without asking whether that leads on, so the sizes are looked at here before it does (HDF5 File Format
Specification 3.0, III.E).
"""

from __future__ import annotations

import mmap
from pathlib import Path

SIGNATURE = b"GCOL\x01\x00\x00\x00"
HEADER = 16  # bytes, of a collection and of an object in it
ENDS = 1 << 24  # bytes of the file's head and tail that are searched: texts are written first or last
WRAP = (1 << 64) - 1  # the library's sizes are of 64 bits


def check_heaps(path: Path) -> None:
    """Refuse a file with a heap in which no object follows another.

    Parameters
    ----------
    path
        A file that is there.

    Raises
    ------
    OSError
        If it cannot be read, or has such a heap.
    """
    with path.open("rb") as file:
        if not file.read(1):  # an empty file cannot be mapped; HDF5 says what it is
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            size = len(content)
            for first, stop in ((0, min(ENDS, size)), (max(ENDS, size - ENDS), size)):
                _check_heaps_within(content, first, stop)


def _check_heaps_within(content: mmap.mmap, first: int, stop: int) -> None:
    place = content.find(SIGNATURE, first, stop)
    while place >= 0:
        if not _leads_on(content, place):
            raise OSError("its texts are damaged")
        place = content.find(SIGNATURE, place + 1, stop)


def _leads_on(content: mmap.mmap, place: int) -> bool:
    """Whether each object of a collection is followed by the next, up to the end."""
    end = min(place + int.from_bytes(content[place + 8 : place + HEADER], "little"), len(content))
    place += HEADER
    while place + HEADER <= end:
        number = int.from_bytes(content[place : place + 2], "little")
        size = int.from_bytes(content[place + 8 : place + HEADER], "little")
        step = (HEADER + (size + 7 & ~7)) & WRAP if number else size  # what is free counts its own header
        if step < HEADER:
            return False
        place += step
    return True
