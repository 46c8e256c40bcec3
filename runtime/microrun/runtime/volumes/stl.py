"""STL files: binary and text, as programs really write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import VolumeError

HEADER = 84  # bytes before the first triangle, the last four its count
UNKNOWN = (0, 2**32 - 1)  # counts of writers that did not know it when they began
RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
VERTEX = rb"\s+vertex\s+(\S+)\s+(\S+)\s+(\S+)"
LOOP = re.compile(rb"\bouter\s+loop\b", re.IGNORECASE)
FACET = re.compile(rb"\bfacet\s+normal\s+[-+.\d]", re.IGNORECASE)
TRIANGLE = re.compile(rb"\bouter\s+loop" + 3 * VERTEX + rb"\s+end\s*loop\b", re.IGNORECASE)
END = re.compile(rb"\bend\s*solid\b", re.IGNORECASE)


class StlFile(NamedTuple):
    """What an STL file holds: (n, 3, 3) float64, corners as z, y, x; and what was guessed, a sentence each."""

    triangles: Float64
    remarks: tuple[str, ...]


def read_stl(path: Path) -> StlFile:
    """Read an STL file.

    Parameters
    ----------
    path
        Binary or text, whatever its header, names or first word say. All bodies of a file are read.

    Returns
    -------
    StlFile
        At least one triangle, all of finite numbers.

    Raises
    ------
    VolumeError
        If it is no STL file, cut short, or holds no triangles; or if its count of triangles does not fit its length.
    OSError
        If the file is missing or cannot be read.
    """
    content = path.read_bytes()
    known = int.from_bytes(content[HEADER - 4 : HEADER], "little")
    fits = len(content) == HEADER + known * RECORD.itemsize
    file = _read_text(path, content) if not fits and LOOP.search(content) else _read_binary(path, content, known)
    if not len(file.triangles):
        raise _refuse(path, "found no triangles in it: empty, cut short or another format")
    broken = np.count_nonzero(~np.isfinite(file.triangles).all(axis=(1, 2)))
    if broken:
        raise _refuse(path, f"but {broken:,} of {len(file.triangles):,} triangles have corners that are not numbers")
    return file


def _read_text(path: Path, content: bytes) -> StlFile:
    written = max(sum(1 for _ in begun.finditer(content)) for begun in (FACET, LOOP))
    try:
        numbers = np.array([found.groups() for found in TRIANGLE.finditer(content)]).astype(np.float64)
    except ValueError as error:
        raise _refuse(path, f"but a corner is not a number ({error})") from None
    triangles = numbers.reshape(-1, 3, 3)[..., ::-1]
    if len(triangles) != written:
        raise _refuse(path, f"but only {len(triangles):,} of {written:,} faces are triangles: damaged or cut short")
    ended = END.search(content) is not None
    return StlFile(triangles, () if ended else ("the text has no 'endsolid'; it may be cut short",))


def _read_binary(path: Path, content: bytes, known: int) -> StlFile:
    room, rest = divmod(max(len(content) - HEADER, 0), RECORD.itemsize)
    count = room if known in UNKNOWN else known
    if count > room:
        raise _refuse(
            path, f"but its count says {count:,} triangles and {room:,} are there: cut short or another format"
        )
    left = content[HEADER + count * RECORD.itemsize :]
    if count < room and rest == 0 and any(left):
        raise _refuse(path, f"but its count says {count:,} triangles and {room:,} are there: which is right?")
    remarks = []
    if count != known:
        remarks.append(f"the file does not know its count of triangles ({known:,}); all {count:,} are taken")
    if left:
        remarks.append(f"{len(left):,} bytes behind the last triangle are left out")
    records = np.frombuffer(content, RECORD, count, HEADER) if count else np.empty(0, RECORD)
    return StlFile(records["corners"].astype(np.float64)[..., ::-1], tuple(remarks))


def _refuse(path: Path, why: str) -> VolumeError:
    return VolumeError(f"{path}: expected an STL file, {why}")
