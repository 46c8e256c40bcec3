"""Which points of a map a quick look takes: rows and columns of a region, and every so many of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.scan import Scan

Span = tuple[int, int | None]  # first, and the one after the last; None for the end of the map
Region = tuple[Span, Span]
WHOLE: Region = ((0, None), (0, None))
_SPAN = re.compile(r"\s*([0-9]{0,9})\s*:\s*([0-9]{0,9})\s*", re.ASCII)


def parse_region(text: str) -> Region:
    """Read "ROW0:ROW1,COL0:COL1": from the first to before the last, counted from 0; what is left out is the edge.

    Parameters
    ----------
    text
        What the user wrote, such as "0:50,100:160" or ":,100:".

    Raises
    ------
    ScanError
        If the text is anything else.
    """
    found = [_SPAN.fullmatch(part) for part in text.split(",")]
    if len(found) != 2 or None in found:
        raise ScanError(f"a region is written ROW0:ROW1,COL0:COL1, such as 0:50,100:160; got {text!r}")
    rows, cols = ((int(one[1] or 0), int(one[2]) if one[2] else None) for one in found if one)
    return rows, cols


@dataclass(frozen=True)
class Part:
    """Points of a map, on a grid of their own.

    Parameters
    ----------
    whole
        (rows, cols) of the map that they are of.
    rows, cols
        First row and column, counted from 0, and the ones after the last.
    every
        Only each so many of both, from the first on.

    Raises
    ------
    ScanError
        If there is nothing between first and last, they reach beyond the map, or a step is less than 1.
    """

    whole: tuple[int, int]
    rows: tuple[int, int]
    cols: tuple[int, int]
    every: int = 1

    def __post_init__(self) -> None:
        for (first, stop), count, name in ((self.rows, self.whole[0], "rows"), (self.cols, self.whole[1], "columns")):
            if not 0 <= first < stop <= count:
                raise ScanError(f"a region of a map with {count} {name} lies within 0:{count}; got {first}:{stop}")
        if self.every < 1:
            raise ScanError(f"every 1st point or fewer are taken; got every {self.every}")

    def __str__(self) -> str:
        rows, cols = (f"{first}:{stop}" for first, stop in (self.rows, self.cols))
        step = f", one of {self.every} along each" if self.every > 1 else ""
        return f"rows {rows} and columns {cols} of {self.whole[0]}×{self.whole[1]}{step}"

    @property
    def nav_shape(self) -> tuple[int, int]:
        """(rows, cols) of the part."""
        rows, cols = (len(range(*span, self.every)) for span in (self.rows, self.cols))
        return rows, cols

    def cut(self, scan: Scan) -> Scan:
        """Geometry of the part of a scan.

        Parameters
        ----------
        scan
            The whole.

        Raises
        ------
        ScanError
            If points are left out of a hexagonal grid, which leaves none; or shorter rows would be empty.
        """
        if self.every > 1 and scan.grid == "hexagonal":
            raise ScanError("of a hexagonal grid every point is taken: leave out --every; --region takes part of it")
        alternating = scan.alternating and self.cols[1] == scan.nav_shape[1]
        if alternating and self.nav_shape[1] < 2:
            raise ScanError("the last column of a hexagonal grid is not a grid of its own; take two columns or more")
        x, y = (step * self.every for step in scan.step_um)
        return replace(
            scan, nav_shape=self.nav_shape, step_um=(x, y), alternating=alternating,
            first_shifted=scan.is_shifted(self.rows[0]),
        )  # fmt: skip

    def take(self, image: NDArray[Any]) -> NDArray[Any]:
        """What a map of the whole, (rows, cols, …), holds of the part."""
        return image[self.rows[0] : self.rows[1] : self.every, self.cols[0] : self.cols[1] : self.every]

    def number(self, scan: Scan, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of patterns in the whole scan, which ascend as those in the part do.

        Parameters
        ----------
        scan
            The whole.
        indices
            (n,) numbers in the part.

        Returns
        -------
        (n,) int64
        """
        rows, cols = self.cut(scan).locate(indices)
        return scan.number(self.rows[0] + rows * self.every, self.cols[0] + cols * self.every)

    def place(
        self, x: NDArray[np.float64], y: NDArray[np.float64], scan: Scan
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Move positions in the part to where they are on the sample, counted from the first point of the whole.

        Parameters
        ----------
        x, y
            In µm; in the part's steps where the step is not known, which become those of the whole.
        scan
            Geometry of the part.
        """
        (unit_x, scale_x), (unit_y, scale_y) = (
            (step / self.every, 1) if step else (unit, self.every)
            for step, unit in zip(scan.step_um, scan.spacing, strict=True)
        )
        return x * scale_x + self.cols[0] * unit_x, y * scale_y + self.rows[0] * unit_y


def all_of(nav_shape: tuple[int, int]) -> Part:
    """All points of a map with so many rows and columns."""
    rows, cols = nav_shape
    return Part(nav_shape, (0, rows), (0, cols))


def choose_part(nav_shape: tuple[int, int], region: Region | None, every: int | None) -> Part | None:
    """What is asked for of a scan; None for all of it.

    Parameters
    ----------
    nav_shape
        (rows, cols) of the whole.
    region
        From `parse_region`; None for all rows and columns.
    every
        Only each so many; None for all.

    Raises
    ------
    ScanError
        As `Part` does.
    """
    rows, cols = (
        (first, count if stop is None else stop)
        for (first, stop), count in zip(region or WHOLE, nav_shape, strict=True)
    )
    part = Part(nav_shape, rows, cols, 1 if every is None else every)
    return None if part.every == 1 and part.nav_shape == nav_shape else part
