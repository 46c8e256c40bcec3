"""The geometry of a UP file: its header, a companion .ang, and the user's word."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.ang import AngGrid, find_companion, read_ang_grid
from microrun.runtime.scans.pixel_bytes import looks_eight_bit
from microrun.runtime.scans.scan import PixelType, Scan, steps_of
from microrun.runtime.scans.up2 import ScanWarning, UpHeader, pixel_type


def scan_of_file(path: Path, header: UpHeader, count: int, grid: tuple[int, int] | None, step_um: float | None) -> Scan:
    """Combine what is known of a scan's geometry; the user's word wins, then the header's.

    Parameters
    ----------
    path
        The scan; NAME.ang beside it is read where the header states no grid, or a hexagonal one, of which it cannot
        say which rows are shifted.
    header
        From `read_header`.
    count
        Whole patterns in the file.
    grid, step_um
        What the user says, or None.

    Raises
    ------
    ScanError
        If nothing states the grid.
    """
    own = AngGrid(header.nav_shape or (0, 0), header.step_um, header.grid, header.full_rows)
    nav_shape, steps, kind, full_rows, first_shifted = own if grid else _ask_companion(path, own)
    if grid and 0 not in own.nav_shape and grid != own.nav_shape:
        asked, there = (f"{rows}×{cols}" for rows, cols in (grid, own.nav_shape))
        text = f"{path}: the header states a grid of {there}; {asked} is used as asked"
        warnings.warn(text, ScanWarning, stacklevel=3)
    if grid:
        nav_shape = grid
    if step_um is not None:
        steps = steps_of(step_um, kind)
    if 0 in nav_shape:
        raise ScanError(
            f"{path}: the header (version {header.version}) states no grid for its {count} patterns; "
            f"give --grid ROWSxCOLS, or put {path.stem}.ang beside it"
        )
    dtype = pixel_type(path)
    try:
        alternating = kind == "hexagonal" and not full_rows
        scan = Scan(nav_shape, header.sig_shape, dtype, kind, steps, alternating, first_shifted)
    except ScanError as error:
        raise ScanError(f"{path}: {error}") from None
    if header.version != 1 and scan.alternating and count == nav_shape[0] * nav_shape[1]:
        scan = replace(scan, alternating=False)  # the flag is not always set; the file's size decides
    return scan


def _ask_companion(path: Path, own: AngGrid) -> AngGrid:
    """The header's own grid, or that of the .ang file beside the scan."""
    if 0 in own.nav_shape:
        return read_ang_grid(find_companion(path)) or own
    if own.grid == "square":
        return own
    try:
        other = read_ang_grid(find_companion(path))
    except ScanError:  # it states less than the header, which is enough
        return own
    rows, cols = own.nav_shape
    # Of rows of two lengths, the header states one.
    alike = other and other.grid == own.grid and other.nav_shape[0] == rows and abs(other.nav_shape[1] - cols) <= 1
    return other._replace(step_um=own.step_um) if other and alike and other.first_shifted else own


def check_finished(path: Path, header: UpHeader, scan: Scan, count: int, asked: bool) -> None:
    """Check that a finished file holds what its geometry says.

    Parameters
    ----------
    path, header, scan
        The file, and what `scan_of_file` made of it.
    count
        Whole patterns in the file.
    asked
        The grid is the user's.

    Raises
    ------
    ScanError
        If the grid does not multiply to the count of a version 1 file, which states no grid itself; if the
        user's has fewer points than the file patterns; or the file holds the bytes of the other pixel type, and
        does not look like half of a scan.
    """
    if (header.version == 1 and count != scan.total) or (asked and count > scan.total):
        rows, cols = scan.nav_shape
        raise ScanError(f"{path}: a grid of {rows}×{cols} has {scan.total} patterns; the file holds {count}")
    # A renamed file holds exactly the bytes of the whole scan in the other pixel type.
    other: PixelType = "uint8" if scan.dtype == "uint16" else "uint16"
    stored = path.stat().st_size - header.offset
    if stored == replace(scan, dtype=other).pattern_bytes * scan.total and stored != scan.pattern_bytes * scan.total:
        if other == "uint8" and not looks_eight_bit(path, header.offset):
            return  # a scan that stopped at half
        right = ".up1" if other == "uint8" else ".up2"
        raise ScanError(f"{path}: holds exactly {scan.total} patterns of {other}; was a {right} file renamed?")
