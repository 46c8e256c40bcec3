"""EDAX's .up1 and .up2: patterns of any scan, or of a part of one."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from microrun.runtime.errors import ScanError
from microrun.runtime.files.output import written_beside
from microrun.runtime.progress import Job, Progress
from microrun.runtime.scans.open import ScanFile
from microrun.runtime.scans.part_source import PartSource
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import UpWriter, pixel_type

PIECE_BYTES = 1 << 24  # of patterns that are in memory at a time, unless a single one has more


def write_up(source: ScanFile, out: Path) -> Job[int]:
    """Write the patterns that a scan has, unchanged.

    Parameters
    ----------
    source
        The scan, or the part of it.
    out
        The file to make; .up2 holds 16 bits a pixel, and so patterns of 8 bits, too.

    Yields
    ------
    Progress
        Patterns that are written.

    Returns
    -------
    int
        How many.

    Raises
    ------
    ScanError
        If the scan has 16 bits a pixel and the file 8, the part begins with a shifted row, or it cannot be read.
    OutputError
        If the disk has no room for all of it, or the file cannot be written.
    """
    scan = replace(source.scan, dtype=pixel_type(out))
    if (source.scan.dtype, scan.dtype) == ("uint16", "uint8"):
        raise ScanError(f"{source.path}: has 16 bits a pixel, a .up1 file 8; write a .up2 file")
    if isinstance(source, PartSource) and scan.first_shifted:  # and the .ang beside it is that of the whole
        cure = "no pattern file can say that: begin the region a row earlier or later"
        raise ScanError(f"{source.path}: row {source.part.rows[0]} of its hexagonal grid is shifted; {cure}")
    piece = max(1, PIECE_BYTES // scan.pattern_bytes)
    raw = np.empty((piece, *scan.sig_shape), source.scan.dtype)
    with written_beside(out) as beside, _open_writer(beside, scan, source.available) as writer:
        for first in range(0, source.available, piece):
            numbers = np.arange(first, min(first + piece, source.available))
            source.read_patterns(numbers, raw[: len(numbers)])
            writer.write(raw[: len(numbers)].astype(scan.dtype, copy=False))
            yield Progress(writer.written, source.available)
        return writer.written


def _open_writer(path: Path, scan: Scan, count: int) -> UpWriter:
    if shutil.disk_usage(path.parent).free < count * scan.pattern_bytes:  # said at once, not after an hour
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return UpWriter(path, scan)
