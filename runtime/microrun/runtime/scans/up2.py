"""The UP1/UP2 container of EDAX: header, pattern count, writer.

Little-endian, without magic number or checksum. The extension gives the pixel type: ``.up1`` uint8,
``.up2`` uint16. Version 1 has 16 bytes of header and no scan grid; version 3 has 42.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import OutputError, ScanError
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.shared_reading import open_shared
from microrun.runtime.scans.scan import MAX_PATTERNS, MAX_SIDE, Grid, PixelType, Scan

_V1 = struct.Struct("<IIII")
_V3 = struct.Struct("<IIIIBIIBdd")
PIXEL_TYPES: dict[str, PixelType] = {".up1": "uint8", ".up2": "uint16"}


class ScanWarning(UserWarning):
    """Something about a pattern file that the user should know."""


@dataclass(frozen=True)
class UpHeader:
    """Header of a UP file.

    Parameters
    ----------
    version
        1, 2 or 3; 4 is read as 3.
    sig_shape
        (rows, cols) of the detector.
    offset
        Byte where the first pattern starts.
    nav_shape
        (rows, cols) of the map, or None (version 1). Zeros where the acquisition has not filled them in.
    grid
        "square" or "hexagonal".
    step_um
        (x, y) step in µm.
    full_rows
        The "extra patterns" flag: rows of a hexagonal grid are all equally long.
    """

    version: int
    sig_shape: tuple[int, int]
    offset: int
    nav_shape: tuple[int, int] | None = None
    grid: Grid = "square"
    step_um: tuple[float, float] = (0.0, 0.0)
    full_rows: bool = False

    def to_bytes(self) -> bytes:
        """Encode as version 1 or 3, by ``version``."""
        height, width = self.sig_shape
        if self.version == 1:
            return _V1.pack(1, width, height, self.offset)
        rows, cols = self.nav_shape or (0, 0)
        hexagonal = self.grid == "hexagonal"
        flags = (int(self.full_rows), cols, rows, int(hexagonal))
        return _V3.pack(self.version, width, height, self.offset, *flags, *self.step_um)


def pixel_type(path: Path) -> PixelType:
    """Pixel type by the file's extension.

    Raises
    ------
    ScanError
        If the extension is neither .up1 nor .up2.
    """
    try:
        return PIXEL_TYPES[path.suffix.lower()]
    except KeyError:
        raise ScanError(f"{path}: a pattern file ends in .up1 or .up2; got {path.suffix or 'no ending'!r}") from None


def read_header(path: Path) -> UpHeader:
    """Read and check the header of a UP1 or UP2 file.

    Parameters
    ----------
    path
        A .up1 or .up2 file; upper case is fine.

    Returns
    -------
    UpHeader

    Raises
    ------
    ScanError
        If the file cannot be opened, is too short, or states sizes that no scan has.

    Warns
    -----
    ScanWarning
        For version 4, which is read as version 3.
    """
    if path.is_dir():
        raise ScanError(f"{path}: expected a .up1 or .up2 file, got a directory")
    if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
        raise ScanError(f"{path}: expected a .up1 or .up2 file, got a pipe or a device")
    pixel_type(path)
    try:
        with open_shared(path) as file:
            raw = file.read(_V3.size)
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not raw:
        raise ScanError(f"{path}: the file is empty; expected a header of 16 or 42 bytes")
    version = int.from_bytes(raw[:4], "little")
    needed = _V1.size if version == 1 else _V3.size
    if version not in (1, 2, 3, 4):
        raise ScanError(f"{path}: version must be 1, 2, 3 or 4; got {version} (is this a UP1/UP2 file?)")
    if len(raw) < needed:
        raise ScanError(f"{path}: a version {version} header has {needed} bytes; the file ends after {len(raw)}")
    if version == 4:
        warnings.warn(f"{path}: header version 4 (APEX) is read as version 3", ScanWarning, stacklevel=2)
    header = _parse(raw, version)
    _check(path, header, needed)
    return header


def _parse(raw: bytes, version: int) -> UpHeader:
    if version == 1:
        _, width, height, offset = _V1.unpack(raw[: _V1.size])
        return UpHeader(1, (height, width), offset)
    _, width, height, offset, extra, cols, rows, hexagonal, step_x, step_y = _V3.unpack(raw)
    grid: Grid = "hexagonal" if hexagonal else "square"
    return UpHeader(version, (height, width), offset, (rows, cols), grid, (step_x, step_y), bool(extra))


def _check(path: Path, header: UpHeader, header_bytes: int) -> None:
    if not all(1 <= side <= MAX_SIDE for side in header.sig_shape):
        height, width = header.sig_shape
        raise ScanError(
            f"{path}: the header states patterns of {height}×{width}; expected 1 to {MAX_SIDE} pixels a side"
        )
    if header.offset < header_bytes:
        raise ScanError(
            f"{path}: the header says that patterns start at byte {header.offset}, "
            f"inside the header of {header_bytes} bytes"
        )
    if header.nav_shape is not None:
        rows, cols = header.nav_shape
        if rows * cols > MAX_PATTERNS:
            raise ScanError(f"{path}: the header states a map of {rows}×{cols} points, more than any scan has")
        if header.grid == "hexagonal" and cols == 1 and not header.full_rows and rows > 1:
            raise ScanError(f"{path}: a hexagonal grid of one column cannot have shorter rows")
    if not all(np.isfinite(step) and step >= 0 for step in header.step_um):
        raise ScanError(f"{path}: the header states steps of {header.step_um} µm; expected finite, not negative")


def count_patterns(path: Path, header: UpHeader) -> int:
    """Whole patterns that the file holds now.

    Raises
    ------
    ScanError
        If the file is gone, or its patterns would start beyond its end.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror or error})") from None
    if header.offset > size:
        raise ScanError(f"{path}: the header says that patterns start at byte {header.offset}; the file has {size}")
    height, width = header.sig_shape
    return (size - header.offset) // (height * width * np.dtype(pixel_type(path)).itemsize)


class UpWriter(Closing):
    """Write a scan as a UP1 or UP2 file, pattern by pattern.

    Parameters
    ----------
    path
        File to make; its ending must fit the scan's pixel type.
    scan
        Geometry; version 1 does not keep its grid and steps.
    version
        1 or 3.

    Raises
    ------
    ScanError
        If the ending does not fit.
    OutputError
        If the file cannot be written.
    """

    def __init__(self, path: str | Path, scan: Scan, version: int = 3) -> None:
        self.path = Path(path)
        self.scan = scan
        if version not in (1, 3):
            raise ScanError(f"UP files are written as version 1 or 3; got {version}")
        if pixel_type(self.path) != scan.dtype:
            raise ScanError(f"{self.path}: {scan.dtype} patterns go into .up1 (uint8) or .up2 (uint16)")
        self.written = 0
        if scan.first_shifted and version != 1:
            version = 1
            text = "no UP header can say that the first row is the shifted one: the file states no grid"
            warnings.warn(f"{text}; put the .ang of the scan beside it, under its name", ScanWarning, stacklevel=2)
        full_rows = scan.grid == "hexagonal" and not scan.alternating
        offset = _V1.size if version == 1 else _V3.size
        header = UpHeader(version, scan.sig_shape, offset, scan.nav_shape, scan.grid, scan.step_um, full_rows)
        try:
            self._file: BinaryIO = self.path.open("wb")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from None
        self._put(header.to_bytes())

    def write(self, patterns: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Append patterns.

        Parameters
        ----------
        patterns
            (n, rows, cols) of the scan's pixel type.

        Raises
        ------
        ScanError
            If shape or pixel type differ, or the scan would get too many patterns.
        OutputError
            If the disk is full or the file went away.
        """
        if patterns.shape[1:] != self.scan.sig_shape or patterns.dtype != self.scan.dtype:
            expected = f"(n, {self.scan.sig_shape[0]}, {self.scan.sig_shape[1]}) {self.scan.dtype}"
            raise ScanError(f"{self.path}: patterns must be {expected}; got {patterns.shape} {patterns.dtype}")
        if self.written + len(patterns) > self.scan.total:
            raise ScanError(f"{self.path}: the scan has {self.scan.total} patterns; more were written")
        # Little-endian on disk; a copy only on machines that are not.
        self._put(np.ascontiguousarray(patterns, patterns.dtype.newbyteorder("<")).data)
        self.written += len(patterns)

    def flush(self) -> None:
        """Hand all that was written to the operating system."""
        self._try(self._file.flush)

    def close(self) -> None:
        """Close the file."""
        self._try(self._file.close)

    def _put(self, data: bytes | memoryview) -> None:
        self._try(lambda: self._file.write(data))

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written after {self.written} patterns ({error.strerror or error})"
            ) from None
