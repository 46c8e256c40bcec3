"""One door to all scan files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError
from microrun.runtime.scans.following_source import FollowingSource
from microrun.runtime.scans.kikuchipy_source import KikuchipySource
from microrun.runtime.scans.part import Region, choose_part
from microrun.runtime.scans.part_source import PartSource
from microrun.runtime.scans.pat_source import PAT, PatSource
from microrun.runtime.scans.picture_source import PictureSource
from microrun.runtime.scans.source import IndexedSource
from microrun.runtime.scans.stated import StatedGeometry, state_beside
from microrun.runtime.scans.up2 import PIXEL_TYPES
from microrun.runtime.scans.up_source import FileSource

ScanFile = FileSource | KikuchipySource | PatSource | PictureSource | PartSource


AnySource = TypeVar("AnySource", bound=IndexedSource)


def whole_of(source: AnySource) -> AnySource:
    """The scan that a source is a part of, or the source itself.

    Parameters
    ----------
    source
        A scan, or a part of one.
    """
    return cast(AnySource, source.whole) if isinstance(source, PartSource) else source


def take_part(source: ScanFile, region: Region | None, every: int | None = None) -> ScanFile:
    """The part of a finished scan that is asked for, or the scan itself.

    Parameters
    ----------
    source
        The whole.
    region
        Rows and columns, from `parse_region`; None for all.
    every
        Only each so many of them; None for all.

    Raises
    ------
    ScanError
        If the part lies beside the scan, is no grid, or none of its patterns was recorded.
    """
    try:
        part = choose_part(source.scan.nav_shape, region, every)
    except ScanError as error:
        raise ScanError(f"{source.path}: {error}") from None
    return source if part is None else PartSource(source, part)


def fingerprint(source: ScanFile) -> str:
    """Hash of a scan's first pattern, which tells scans apart; waits for it where the scan is growing."""
    return _hash(_first_pattern(source))


def telling_fingerprint(source: ScanFile) -> str:
    """`fingerprint`; empty for a pattern of one value, which tells nothing, and may be there later."""
    first = _first_pattern(source)
    return "" if first.min() == first.max() else _hash(first)


def _first_pattern(source: ScanFile) -> Raw:
    first: Raw = np.empty((1, *source.scan.sig_shape), source.scan.dtype)
    if isinstance(source, FollowingSource) and source.await_patterns(1) < 1:
        raise ScanError(f"{source.path}: no pattern arrived within {source.idle_timeout_s:g} s")
    source.read_patterns(np.zeros(1, np.int64), first)
    return first


def _hash(pattern: Raw) -> str:
    return hashlib.sha256(pattern.tobytes()).hexdigest()


def state_geometry(source: ScanFile) -> list[StatedGeometry]:
    """What files state of where a scan's patterns come from: its own first, then those beside it.

    Parameters
    ----------
    source
        The scan.

    Raises
    ------
    ScanError
        If a truth beside it is damaged.
    """
    whole = whole_of(source)
    own = [whole.stated] if isinstance(whole, KikuchipySource) else []
    return [*own, *state_beside(whole.path, whole.scan.nav_shape)]


def open_scan(
    path: str | Path,
    grid: tuple[int, int] | None = None,
    step_um: float | None = None,
    scan_name: str | None = None,
) -> ScanFile:
    """Open a finished scan: UP1 and UP2 files, a folder of pictures, a .pat file, or what kikuchipy reads.

    Parameters
    ----------
    path
        The file, or the folder.
    grid
        (rows, cols) of the map, where the file does not tell.
    step_um
        Step in µm, likewise.
    scan_name
        Which scan of an HDF5 file that holds several.

    Returns
    -------
    FileSource, PictureSource, PatSource or KikuchipySource
        Patterns are read by number, or claimed by a stream.

    Raises
    ------
    ScanError
        If the file is no scan, has no grid, or holds several scans of which none is named.

    Examples
    --------
    >>> from microrun.runtime import open_scan
    >>> open_scan("scan.up1").scan.total
    9
    """
    path = Path(path)
    own = _own_reader(path)
    if own is not None:
        if scan_name is not None:
            raise ScanError(f"{path}: holds one scan, without a name; leave out --scan-name")
        return own(path, grid, step_um)
    return KikuchipySource(path, grid, step_um, scan_name=scan_name)


def _own_reader(path: Path) -> type[FileSource | PictureSource | PatSource] | None:
    """The reader of what kikuchipy does not read."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return PictureSource
    if suffix in PIXEL_TYPES:
        return FileSource
    return PatSource if suffix == PAT else None
