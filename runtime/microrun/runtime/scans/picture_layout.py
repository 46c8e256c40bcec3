"""Where numbered pictures lie on a map: told by their names, the user, or an .ang file beside the folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.ang import AngGrid, find_companion, read_ang_grid
from microrun.runtime.scans.picture_names import NamedPictures, Numbers
from microrun.runtime.scans.scan import Scan, steps_of

SHOWN = 4  # grids that are proposed


class Layout(NamedTuple):
    """A scan, without what its pictures tell, and which of its patterns there are.

    Parameters
    ----------
    scan
        Geometry; the detector's shape is not known yet.
    places
        (n,) int64, ascending numbers of the patterns that have a picture.
    first
        Number in the names that is the first pattern's; None where they tell row and column.
    """

    scan: Scan
    places: Numbers
    first: int | None = None


def lay_out(folder: Path, pictures: NamedPictures, grid: tuple[int, int] | None, step_um: float | None) -> Layout:
    """Lay pictures out on a map; the user's word wins, then the names', then that of FOLDER.ang beside it.

    Parameters
    ----------
    folder
        Where the pictures are.
    pictures
        From `name_pictures`.
    grid, step_um
        What the user says, or None.

    Raises
    ------
    ScanError
        If nothing states the grid, or it does not fit the places or numbers of the pictures.
    """
    companion = _ask_companion(folder, grid)
    told = pictures.nav_shape
    if len(pictures.names) == 1 and companion is None:
        told = (1, 1)
    nav_shape = grid or told or (companion and companion.nav_shape)
    if nav_shape is None:
        span = _span(pictures.numbers)
        raise ScanError(
            f"{folder}: its pictures are {pictures.understood}, which tells no rows: give --grid ROWSxCOLS, such as "
            f"{_list_grids(span, None)}, or put {find_companion(folder).name} beside the folder"
        )
    alike = companion if companion and companion.nav_shape == nav_shape else None
    known = alike or AngGrid(nav_shape, companion.step_um if companion else (0.0, 0.0), "square", True)
    steps = known.step_um if step_um is None else steps_of(step_um, known.grid)
    alternating = known.grid == "hexagonal" and not known.full_rows
    try:
        scan = Scan(nav_shape, (1, 1), "uint8", known.grid, steps, alternating, known.first_shifted)
    except ScanError as error:
        raise ScanError(f"{folder}: {error}") from None
    return _place(folder, pictures, scan)


def _ask_companion(folder: Path, grid: tuple[int, int] | None) -> AngGrid | None:
    """What the .ang file beside the folder states; where the user states the grid, it tells how its rows lie."""
    try:
        found = read_ang_grid(find_companion(folder))
    except ScanError:
        if grid is None:
            raise
        return None
    return found if grid is None or (found and found.nav_shape == grid) else None


def _place(folder: Path, pictures: NamedPictures, scan: Scan) -> Layout:
    """Number the patterns; of a scan that broke off, the end of the last row may be missing."""
    rows, cols = scan.nav_shape
    numbers, told = pictures.numbers, pictures.nav_shape
    if told is not None:
        if told != scan.nav_shape:
            raise ScanError(
                f"{folder}: a grid of {rows}×{cols} was asked for; its pictures are {pictures.understood}, which is "
                f"{told[0]}×{told[1]}: leave out --grid"
            )
        return Layout(scan, _count_in_order(folder, pictures, scan))
    span, low, high = _span(numbers), int(numbers[0]), int(numbers[-1])
    if not scan.total - cols < span <= scan.total:
        shorter, advice = "", f"{_list_grids(span, cols)} would fit"
        if scan.alternating:
            ang = find_companion(folder).name
            shorter, advice = f", every other row one shorter as {ang} states,", f"if {ang} is of another scan, move it"
        raise ScanError(
            f"{folder}: a grid of {rows}×{cols}{shorter} has {scan.total:,} patterns; its pictures are "
            f"{pictures.understood}, which makes {span:,}: {advice}"
        )
    start = min(low, 1)  # cameras count from 1 or from 0, also where the first pictures are missing
    first = start if span < scan.total and high - start < scan.total else low
    return Layout(scan, numbers - first, first)


def _count_in_order(folder: Path, pictures: NamedPictures, scan: Scan) -> Numbers:
    """Numbers of the patterns whose row and column the names tell; shorter rows of a hexagonal grid shift the later."""
    rows, cols = np.divmod(pictures.numbers, scan.nav_shape[1])
    beside = np.flatnonzero(~scan.exists()[rows, cols])
    if len(beside):
        first, ang = beside[0], find_companion(folder).name
        raise ScanError(
            f"{folder}: {pictures.names[first]} is the last of {cols[first] + 1} columns, in a row that has "
            f"{cols[first]} as {ang} states: rename the pictures, or if {ang} is of another scan, move it"
        )
    return scan.number(rows, cols)


def _span(numbers: Numbers) -> int:
    return int(numbers[-1] - numbers[0]) + 1


def _list_grids(total: int, cols: int | None) -> str:
    """Grids of so many points, those that are nearest to a square first; or that with these columns."""
    sides = [rows for rows in range(2, int(np.sqrt(total)) + 1) if total % rows == 0][::-1]
    grids = dict.fromkeys(grid for rows in sides for grid in ((rows, total // rows), (total // rows, rows)))
    if cols and total % cols == 0:
        grids = {(total // cols, cols): None, **grids}
    shown = [f"{rows}x{columns}" for rows, columns in list(grids)[:SHOWN]]
    return " or ".join(shown) if shown else f"no grid but 1x{total}"
