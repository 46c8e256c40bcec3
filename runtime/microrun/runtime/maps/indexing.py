"""Orientations by Hough indexing with PyEBSDIndex, through kikuchipy, on prepared patterns."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import kept_cache
from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.errors import ScanError
from microrun.runtime.maps.structures import PHASES, check_phase, find_structure
from microrun.runtime.patterns.pattern_centre import crop_centre, uncrop_centre
from microrun.runtime.progress import Job, Progress

MIN_BANDS, MAX_FIT_DEG = 4, 3.0  # a pattern counts as indexed with so many bands and so good a fit
FIT_PATTERNS = 24
AT_ONCE = 264  # patterns that PyEBSDIndex is handed together


@dataclass(frozen=True)
class Geometry:
    """Where the patterns come from.

    Parameters
    ----------
    pattern_centre
        (x*, y*, z*) in EDAX's convention, of the whole detector.
    phase
        As `find_structure` takes it.
    sample_tilt, camera_tilt
        In degrees; that of the camera is EDAX's camera elevation.
    camera_azimuth, camera_twist
        In degrees, about the detector's vertical and its normal, as kikuchipy's EBSDDetector counts them.
    working_distance_mm
        In mm, None where it is not known; nothing is computed with it.
    sources
        Where the others come from, by their names, for people; geometries that differ in these only are equal.

    Raises
    ------
    ScanError
        If the phase is another, or an angle is not between −90° and 90°.

    Examples
    --------
    >>> from microrun.runtime import Geometry
    >>> Geometry(pattern_centre=(0.42, 0.79, 0.50)).sample_tilt
    70.0
    """

    pattern_centre: tuple[float, float, float]
    phase: str = "fcc"
    sample_tilt: float = 70.0
    camera_tilt: float = 0.0
    camera_azimuth: float = 0.0
    camera_twist: float = 0.0
    working_distance_mm: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        check_phase(self.phase)
        for name in ("sample_tilt", "camera_tilt", "camera_azimuth", "camera_twist"):
            if not abs(getattr(self, name)) <= 90:
                raise ScanError(f"{name.replace('_', ' ')} must be between −90° and 90°; got {getattr(self, name):g}°")

    def to_dict(self) -> dict[str, object]:
        """All of it as JSON can hold it, with the convention of the pattern centre."""
        return {**dataclasses.asdict(self), "convention": "edax", "sources": dict(self.sources)}


@dataclass(frozen=True)
class Orientations:
    """What indexing found, pattern by pattern.

    Parameters
    ----------
    rotations
        (n, 4) float64 unit quaternions, scalar first, in kikuchipy's convention; identity where not indexed.
    fit_deg
        (n,) float64, mean angle between bands and solution in degrees.
    confidence, quality
        (n,) float64, PyEBSDIndex's confidence metric (not EDAX's index) and quality of the pattern.
    bands
        (n,) int64, bands that the solution explains.
    phase
        As `find_structure` takes it.
    """

    rotations: Float64
    fit_deg: Float64
    confidence: Float64
    quality: Float64
    bands: NDArray[np.int64]
    phase: str

    @property
    def indexed(self) -> NDArray[np.bool_]:
        """(n,) bool, True for at least 4 bands and a fit below 3°."""
        return (self.bands >= MIN_BANDS) & (self.fit_deg < MAX_FIT_DEG)


class Indexer:
    """What indexes the patterns of one detector.

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

    Examples
    --------
    >>> from microrun.runtime import Geometry, Indexer
    >>> indexer = Indexer(Geometry((0.4215, 0.7850, 0.5020)), sig_shape=(60, 60), input_shape=(120, 120))
    >>> indexer.geometry.phase
    'fcc'
    """

    def __init__(self, geometry: Geometry, sig_shape: tuple[int, int], input_shape: tuple[int, int]) -> None:
        _import_pyebsdindex()
        from kikuchipy.detectors import EBSDDetector

        self.geometry, self.input_shape = geometry, input_shape
        self._phases, planes = _describe(geometry.phase)
        centre = crop_centre(geometry.pattern_centre, sig_shape)
        angles = {"sample_tilt": geometry.sample_tilt, "tilt": geometry.camera_tilt}
        detector = EBSDDetector(input_shape, pc=centre, **angles)
        turned = EBSDDetector(azimuthal=geometry.camera_azimuth, twist=geometry.camera_twist, **angles)
        # PyEBSDIndex knows tilts only. What it finds in the detector's frame stays true, however that is turned.
        self._turn = ~detector.sample_to_detector * turned.sample_to_detector
        with _silence():
            self._indexer: Any = detector.get_indexer(self._phases, [planes])

    def index(self, patterns: Float32) -> Orientations:
        """Index some prepared patterns.

        Parameters
        ----------
        patterns
            (n, H, W) float32; those of a whole scan are rather given to `index_all`.

        Returns
        -------
        Orientations
        """
        from kikuchipy.signals import EBSD

        with _silence():
            found = EBSD(patterns.copy()).hough_indexing(self._phases, self._indexer, verbose=0)
        there = found.phase_id >= 0
        values = (np.where(there, found.prop["fit"], 180.0), found.prop["cm"], found.prop["pq"])
        fit, confidence, quality = (np.asarray(value, np.float64) for value in values)
        bands = np.where(there, found.prop["nmatch"], 0).astype(np.int64)
        rotations = (found.rotations * self._turn).data.reshape(-1, 4)
        rotations[~there.reshape(-1)] = (1, 0, 0, 0)
        return Orientations(rotations, fit, confidence, quality, bands, self.geometry.phase)


def index_all(indexer: Indexer, patterns: Float32, task: str = "indexing") -> Job[Orientations]:
    """Index many prepared patterns.

    Parameters
    ----------
    indexer
        That of their detector.
    patterns
        (n, H, W) float32, one at least.
    task
        Name of it in the records of progress.

    Yields
    ------
    Progress
        Patterns that are indexed.

    Returns
    -------
    Orientations
    """
    parts = []
    for first in range(0, len(patterns), AT_ONCE):
        chunk = patterns[first : first + AT_ONCE]
        parts.append(indexer.index(chunk))
        yield Progress(first + len(chunk), len(patterns), task)
    names = ("rotations", "fit_deg", "confidence", "quality", "bands")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Orientations(**joined, phase=parts[0].phase)


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

    Notes
    -----
    The search takes a minute or two.
    """
    _import_pyebsdindex()
    from kikuchipy.signals import EBSD

    indexer = Indexer(geometry, sig_shape, (patterns.shape[1], patterns.shape[2]))
    start = crop_centre(geometry.pattern_centre, sig_shape)
    with _silence():
        signal = EBSD(patterns.copy())
        for _ in range(2):  # the simplex starts again at its end, for it may shrink too early
            detector = signal.hough_indexing_optimize_pc(start, indexer._indexer, batch=False)
            x, y, z = map(float, detector.pc_flattened.reshape(-1, 3)[0])
            start = (x, y, z)
    return uncrop_centre(start, sig_shape)


def _describe(phase: str) -> tuple[Any, list[list[int]]]:
    """List of the one phase as orix has it, and its planes."""
    from diffpy.structure import Lattice
    from diffpy.structure import Structure as Cell
    from orix.crystal_map import Phase, PhaseList

    found = find_structure(phase)
    assert found is not None  # a geometry has checked it
    group, planes, ratio = found
    hexagonal = Cell(lattice=Lattice(1, 1, ratio, 90, 90, 120)) if group == PHASES["hcp"].space_group else None
    return PhaseList(Phase(phase, space_group=group, structure=hexagonal)), planes


def _import_pyebsdindex() -> None:
    """Import PyEBSDIndex before kikuchipy does, which would say in its own way that it is missing.

    It points numba's cache at a folder that all its installations share. What orix compiles after that would be loaded
    from there, made for another installation, and die when it is called: so the cache is pointed back.
    """
    import orix.quaternion  # noqa: F401 (decorated while the cache is where it was)

    with kept_cache():
        from pyebsdindex import ebsd_index, pcopt  # noqa: F401


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the libraries from printing."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
