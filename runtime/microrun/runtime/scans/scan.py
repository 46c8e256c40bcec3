"""The geometry of a scan: which pattern lies where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import ScanError

MAX_SIDE = 1 << 14  # pixels; no detector is larger, a header that says so is damaged
MAX_PATTERNS = 1 << 33
HEXAGONAL_ROW = 3**0.5 / 2  # distance of the rows of a hexagonal grid, in steps along a row

Grid = Literal["square", "hexagonal"]
PixelType = Literal["uint8", "uint16"]


@dataclass(frozen=True)
class Scan:
    """What is acquired where.

    Parameters
    ----------
    nav_shape
        (rows, cols) of the map.
    sig_shape
        (rows, cols) of the detector in pixels.
    dtype
        Pixel type, "uint8" or "uint16".
    grid
        "square", or "hexagonal": odd rows are shifted by half a step to the right.
    step_um
        (x, y) step in µm, along a row and from row to row; 0 where it is not known.
    alternating
        True for a hexagonal grid whose shifted rows are one pattern shorter.
    first_shifted
        True for a hexagonal grid whose even rows, the first among them, are the shifted ones.

    Raises
    ------
    ScanError
        If a shape or a step makes no sense.

    Examples
    --------
    >>> from microrun.runtime import Scan
    >>> scan = Scan(nav_shape=(200, 300), sig_shape=(480, 480), dtype="uint16", step_um=(0.5, 0.5))
    >>> scan.total, scan.pattern_bytes
    (60000, 460800)
    """

    nav_shape: tuple[int, int]
    sig_shape: tuple[int, int]
    dtype: PixelType = "uint16"
    grid: Grid = "square"
    step_um: tuple[float, float] = (0.0, 0.0)
    alternating: bool = False
    first_shifted: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in ("uint8", "uint16"):
            raise ScanError(f"pixel type must be uint8 or uint16; got {self.dtype}")
        if self.grid not in ("square", "hexagonal"):
            raise ScanError(f"grid must be square or hexagonal; got {self.grid}")
        if self.grid == "square" and (self.alternating or self.first_shifted):
            raise ScanError("rows of a square grid are equally long, and none is shifted")
        if not all(1 <= side <= MAX_SIDE for side in self.sig_shape):
            raise ScanError(f"a pattern must have 1 to {MAX_SIDE} rows and columns; got {self.sig_shape}")
        rows, cols = self.nav_shape
        if rows < 1 or cols < 1 or rows * cols > MAX_PATTERNS:
            raise ScanError(f"a map must have at least 1×1 and at most {MAX_PATTERNS} points; got {rows}×{cols}")
        if not all(np.isfinite(step) and step >= 0 for step in self.step_um):
            raise ScanError(f"steps must be finite and not negative; got {self.step_um} µm")

    @property
    def total(self) -> int:
        """Number of patterns of the finished scan."""
        rows, cols = self.nav_shape
        return rows * cols - ((rows + self.first_shifted) // 2 if self.alternating else 0)

    @property
    def pattern_bytes(self) -> int:
        """Bytes of one pattern."""
        return self.sig_shape[0] * self.sig_shape[1] * np.dtype(self.dtype).itemsize

    @property
    def spacing(self) -> tuple[float, float]:
        """Distances (x, y) along a row and from row to row: in µm, or in steps where the step is not known."""
        step_x, step_y = self.step_um
        unknown_x, unknown_y = steps_of(1.0, self.grid)
        return step_x or unknown_x, step_y or unknown_y

    def locate(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Place patterns, counted in order of acquisition, on the map.

        Parameters
        ----------
        indices
            (n,) numbers from 0 to total − 1.

        Returns
        -------
        rows, cols : (n,) int64
        """
        cols = self.nav_shape[1]
        if not self.alternating:
            return indices // cols, indices % cols
        pair, rest = np.divmod(indices, 2 * cols - 1)  # a long and a short row, or a short and a long one
        first = cols - self.first_shifted
        odd = rest >= first
        return 2 * pair + odd, rest - odd * first

    def number(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count points of the map in order of acquisition, as `locate` does the other way round.

        Parameters
        ----------
        rows, cols
            (n,) int64, of points that have a pattern.

        Returns
        -------
        (n,) int64
        """
        shorter = (rows + self.first_shifted) // 2 if self.alternating else 0  # rows before this one
        return rows * self.nav_shape[1] - shorter + cols

    def exists(self) -> NDArray[np.bool_]:
        """Map points that have a pattern, (rows, cols) bool."""
        points = np.ones(self.nav_shape, bool)
        if self.alternating:
            points[1 - self.first_shifted :: 2, -1] = False
        return points

    def is_shifted(self, row: int) -> bool:
        """Whether a row of the map lies half a step to the right."""
        return self.grid == "hexagonal" and row % 2 != self.first_shifted

    def positions_um(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions on the sample.

        Returns
        -------
        x, y : (rows, cols) float64
            In µm, or in steps where the step is not known.
        """
        x, y = zip(*(self.row_positions_um(row) for row in range(self.nav_shape[0])), strict=True)
        return np.stack(x), np.stack(y)

    def row_positions_um(self, row: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions of one row of the map; x and y, (cols,) float64, as in `positions_um`."""
        step_x, step_y = self.spacing
        cols = self.nav_shape[1]
        shift = 0.5 if self.is_shifted(row) else 0.0
        return (np.arange(cols, dtype=np.float64) + shift) * step_x, np.full(cols, row * step_y, np.float64)


def steps_of(step: float, grid: Grid) -> tuple[float, float]:
    """Distances along a row and from row to row where one step is stated, to nearest neighbours.

    Parameters
    ----------
    step
        In any unit.
    grid
        "square" or "hexagonal", whose rows lie closer than points in them.

    Returns
    -------
    (x, y)
    """
    return step, step * (HEXAGONAL_ROW if grid == "hexagonal" else 1.0)


def parse_grid(text: str) -> tuple[int, int]:
    """Read "ROWSxCOLS".

    Raises
    ------
    ScanError
        If the text is anything else.
    """
    parts = text.lower().replace("×", "x").split("x")
    numbers = [int(part) for part in parts if part.strip().isdecimal()]
    if len(parts) != 2 or len(numbers) != 2 or 0 in numbers:
        raise ScanError(f"a grid is written ROWSxCOLS, such as 55x75; got {text!r}")
    return numbers[0], numbers[1]
