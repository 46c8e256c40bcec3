"""Patterns that an encoder in int8 is calibrated and judged on: whole rows of scans, for a map is judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import ScanError
from microrun.runtime.patterns.background import static_background
from microrun.runtime.patterns.bad_pixels import preprocessor_for
from microrun.runtime.patterns.informative import say_left_out
from microrun.runtime.patterns.prepared import prepare_patterns
from microrun.runtime.scans.open import ScanFile
from microrun.runtime.scans.scan import Scan
from microrun.runtime.spec import Preprocessing

CALIBRATION_PATTERNS = 256
HELD_OUT_PATTERNS = 4096  # about
LEAST_ROWS = 3


@dataclass(frozen=True)
class QuantiseRequest:
    """What an encoder is calibrated and judged on.

    Parameters
    ----------
    calibrate
        A scan such as will be encoded. At most 256 of its patterns are used, evenly spread.
    held_out
        Another scan to judge by; without one, the first half of the rows of `calibrate` is calibrated on, and the
        other half is judged by.
    background
        "auto", "none" or a file, as `static_background` takes it; for both scans.
    """

    calibrate: ScanFile
    held_out: ScanFile | None = None
    background: str = "auto"


class Rows(NamedTuple):
    """Whole rows of a scan.

    Parameters
    ----------
    source
        The scan.
    first, last
        The first row, an even number, and the one after the last.
    """

    source: ScanFile
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.source.path.name}, rows {self.first + 1} to {self.last}"

    @property
    def scan(self) -> Scan:
        """Geometry of these rows; as the first is even, a hexagonal grid keeps its shifted ones."""
        whole = self.source.scan
        return replace(whole, nav_shape=(self.last - self.first, whole.nav_shape[1]))

    @property
    def start(self) -> int:
        """Number of their first pattern in the whole scan."""
        whole = self.source.scan
        return self.first * whole.nav_shape[1] - (self.first // 2 if whole.alternating else 0)


class Patterns(NamedTuple):
    """Patterns of some rows, those that carry information.

    Parameters
    ----------
    rows
        Where they come from.
    places
        (n,) int64: where they lie on the map of the rows, row · cols + col.
    prepared
        (n, 1, H, W) float32.
    """

    rows: Rows
    places: NDArray[np.int64]
    prepared: Float32


def load_patterns(request: QuantiseRequest, preprocessing: Preprocessing) -> tuple[Patterns, Patterns]:
    """Load patterns to calibrate and to judge on.

    Parameters
    ----------
    request
        Their scans.
    preprocessing
        From the model's spec.

    Raises
    ------
    ScanError
        If a scan cannot be read, is too small, or carries no information.
    """
    calibrate, held_out = choose_rows(request)
    count = calibrate.scan.total
    spread = np.unique(np.linspace(0, count - 1, min(CALIBRATION_PATTERNS, count)).round().astype(np.int64))
    return (
        _prepare(calibrate, spread, request.background, preprocessing),
        _prepare(held_out, np.arange(held_out.scan.total), request.background, preprocessing),
    )


def choose_rows(request: QuantiseRequest) -> tuple[Rows, Rows]:
    """Choose the rows to calibrate and to judge on.

    Parameters
    ----------
    request
        Their scans; of an unfinished one, rows whose patterns are all there count.

    Raises
    ------
    ScanError
        If a scan has too few, or both are the same.
    """
    calibrate, rows = request.calibrate, _count_rows(request.calibrate)
    if request.held_out is None:
        half = rows // 4 * 2
        if rows < 2 + LEAST_ROWS:
            few = f"{rows} whole rows are too few to calibrate on two and judge by {LEAST_ROWS} others"
            raise ScanError(f"{calibrate.path}: {few}; give another scan to judge by with --held-out")
        return Rows(calibrate, 0, half), _limit(Rows(calibrate, half, rows))
    held_out = Rows(request.held_out, 0, _count_rows(request.held_out))
    if rows < 1:
        raise ScanError(f"{calibrate.path}: contains no whole row of the map to calibrate on")
    if held_out.last < LEAST_ROWS:
        raise ScanError(f"{held_out.source.path}: a map to judge by has {LEAST_ROWS} whole rows; got {held_out.last}")
    if held_out.source.path.samefile(calibrate.path):
        raise ScanError(f"{held_out.source.path}: is the scan that is calibrated on; give another with --held-out")
    return Rows(calibrate, 0, rows), _limit(held_out)


def _count_rows(source: ScanFile) -> int:
    """Rows of which all patterns are there: the number of the row that the next pattern would be in."""
    return int(source.scan.locate(np.array([source.available]))[0][0])


def _limit(rows: Rows) -> Rows:
    most = max(LEAST_ROWS, HELD_OUT_PATTERNS // rows.source.scan.nav_shape[1])
    return rows._replace(last=min(rows.last, rows.first + most))


def _prepare(rows: Rows, numbers: NDArray[np.int64], background: str, preprocessing: Preprocessing) -> Patterns:
    """Prepare patterns of some rows, counted from their first."""
    preprocessor = preprocessor_for(rows.source, preprocessing)
    image = static_background(background, rows.source, preprocessor)
    batches = list(prepare_patterns(rows.source, preprocessor, image, rows.start + numbers))
    informative = ~np.concatenate([batch.flags for batch in batches])
    if not informative.any():
        raise ScanError(f"{rows}: all patterns are constant after the mask: nothing to calibrate or judge on")
    say_left_out(rows.source, int((~informative).sum()), len(informative), f"rows {rows.first + 1} to {rows.last}")
    prepared = np.concatenate([batch.patterns[~batch.flags] for batch in batches])
    row, col = rows.scan.locate(numbers[informative])
    return Patterns(rows, row * rows.scan.nav_shape[1] + col, prepared[:, None])
