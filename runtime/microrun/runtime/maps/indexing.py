"""Orientations by Hough indexing with PyEBSDIndex, through kikuchipy, on prepared patterns."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.errors import ScanError
from microrun.runtime.scans.ang import read_ang_pattern_centre

# Space group, and families of planes with strong bands. Hough indexing uses angles only, so that in cubic
# crystals the lattice parameter is of no matter.
PHASES: dict[str, tuple[int, list[list[int]]]] = {
    "fcc": (225, [[1, 1, 1], [0, 0, 2], [0, 2, 2], [1, 1, 3]]),
    "bcc": (229, [[0, 1, 1], [0, 0, 2], [1, 1, 2], [0, 1, 3]]),
    "diamond": (227, [[1, 1, 1], [0, 2, 2], [0, 0, 4], [1, 1, 3]]),
}
MIN_BANDS, MAX_FIT_DEG = 4, 3.0  # a pattern counts as indexed with so many bands and so good a fit
FIT_PATTERNS = 24
_CHUNK = 264


def check_phase(phase: str) -> None:
    """Raise ScanError unless a phase is one of `PHASES`."""
    if phase not in PHASES:
        raise ScanError(f"phase {phase!r} cannot be indexed; it must be one of {', '.join(PHASES)}")


@dataclass(frozen=True)
class Geometry:
    """Where the patterns come from.

    Parameters
    ----------
    pattern_centre
        (x*, y*, z*) in EDAX's convention, of the whole detector.
    phase
        One of `PHASES`.
    sample_tilt, camera_tilt
        In degrees.
    """

    pattern_centre: tuple[float, float, float]
    phase: str = "fcc"
    sample_tilt: float = 70.0
    camera_tilt: float = 0.0

    def __post_init__(self) -> None:
        check_phase(self.phase)


@dataclass(frozen=True)
class Orientations:
    """What indexing found, pattern by pattern.

    Parameters
    ----------
    rotations
        (n, 4) unit quaternions, scalar first, in kikuchipy's convention; identity where not indexed.
    fit_deg
        (n,) mean angle between bands and solution.
    confidence, quality
        (n,) PyEBSDIndex's confidence metric (not EDAX's index) and quality of the pattern.
    bands
        (n,) bands that the solution explains.
    phase
        One of `PHASES`.
    """

    rotations: Float64
    fit_deg: Float64
    confidence: Float64
    quality: Float64
    bands: NDArray[np.int64]
    phase: str

    @property
    def indexed(self) -> NDArray[np.bool_]:
        """(n,) True for at least 4 bands and a fit below 3°."""
        return (self.bands >= MIN_BANDS) & (self.fit_deg < MAX_FIT_DEG)


class Indexer:
    """Index patterns of one detector.

    Parameters
    ----------
    geometry
        Pattern centre, phase, tilts.
    sig_shape
        (rows, cols) of the detector as it was read out.
    input_shape
        (H, W) of prepared patterns, square: the detector is cropped about its centre, as preprocessing does.

    Notes
    -----
    PyEBSDIndex compiles itself when it indexes the first pattern of a process, for a minute or two.
    """

    def __init__(self, geometry: Geometry, sig_shape: tuple[int, int], input_shape: tuple[int, int]) -> None:
        import pyebsdindex  # noqa: F401 (kikuchipy would say in its own way that it is missing)
        from kikuchipy.detectors import EBSDDetector
        from orix.crystal_map import Phase, PhaseList

        self.geometry, self.input_shape = geometry, input_shape
        group, planes = PHASES[geometry.phase]
        self._phases = PhaseList(Phase(geometry.phase, space_group=group))
        detector = EBSDDetector(
            input_shape,
            pc=crop_centre(geometry.pattern_centre, sig_shape),
            sample_tilt=geometry.sample_tilt,
            tilt=geometry.camera_tilt,
        )
        with _quiet():
            self._indexer: Any = detector.get_indexer(self._phases, [planes])

    def index(self, patterns: Float32, progress: Callable[[int, int], None] = lambda done, total: None) -> Orientations:
        """Index prepared patterns.

        Parameters
        ----------
        patterns
            (n, H, W) float32.
        progress
            Called with (patterns done, total).

        Returns
        -------
        Orientations
        """
        from kikuchipy.signals import EBSD

        rotations, columns = [], []
        for first in range(0, len(patterns), _CHUNK):
            chunk = patterns[first : first + _CHUNK]
            with _quiet():
                found = EBSD(chunk.copy()).hough_indexing(self._phases, self._indexer, verbose=0)
            there = found.phase_id >= 0
            fit = np.where(there, found.prop["fit"], 180.0)
            bands = np.where(there, found.prop["nmatch"], 0)
            rotations.append(found.rotations.data.reshape(-1, 4))
            columns.append(np.stack([fit, found.prop["cm"], found.prop["pq"], bands]))
            progress(first + len(chunk), len(patterns))
        fit, confidence, quality, bands = np.concatenate(columns, axis=1).astype(np.float64)
        found_bands = bands.astype(np.int64)
        return Orientations(np.concatenate(rotations), fit, confidence, quality, found_bands, self.geometry.phase)


def fit_pattern_centre(patterns: Float32, geometry: Geometry, sig_shape: tuple[int, int]) -> tuple[float, float, float]:
    """Find the pattern centre that indexes patterns best.

    Parameters
    ----------
    patterns
        (n, H, W) float32, prepared; two dozen from all over the map do.
    geometry
        Its pattern centre is where the search starts.
    sig_shape
        (rows, cols) of the detector as it was read out.

    Returns
    -------
    x*, y*, z*
        In EDAX's convention, of the whole detector.
    """
    from kikuchipy.signals import EBSD

    indexer = Indexer(geometry, sig_shape, (patterns.shape[1], patterns.shape[2]))
    start = crop_centre(geometry.pattern_centre, sig_shape)
    with _quiet():
        signal = EBSD(patterns.copy())
        for _ in range(2):  # the simplex starts again at its end, for it may shrink too early
            detector = signal.hough_indexing_optimize_pc(start, indexer._indexer, batch=False)
            x, y, z = map(float, detector.pc_flattened.reshape(-1, 3)[0])
            start = (x, y, z)
    return uncrop_centre(start, sig_shape)


def stated_centre(scan: Path) -> tuple[float, float, float] | None:
    """Pattern centre that the scan's companion .ang file states, or None."""
    return read_ang_pattern_centre(scan.with_suffix(".ang"))


def crop_centre(centre: tuple[float, float, float], sig_shape: tuple[int, int]) -> tuple[float, float, float]:
    """EDAX's pattern centre of a detector to Bruker's of the square in its middle.

    EDAX counts x* in widths, y* in heights from the lower edge, z* in shares of the shorter side; Bruker counts y
    from the upper edge. Where the sides differ by an odd number, the crop lies half a pixel off the middle.
    """
    rows, cols = sig_shape
    side = min(rows, cols)
    x, y, z = centre
    return (x * cols - (cols - side) // 2) / side, ((1 - y) * rows - (rows - side) // 2) / side, z


def uncrop_centre(centre: tuple[float, float, float], sig_shape: tuple[int, int]) -> tuple[float, float, float]:
    """Invert `crop_centre`."""
    rows, cols = sig_shape
    side = min(rows, cols)
    x, y, z = centre
    return (x * side + (cols - side) // 2) / cols, 1 - (y * side + (rows - side) // 2) / rows, z


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep the libraries from printing."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
