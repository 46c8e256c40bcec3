"""What files state of where patterns come from: tilts, pattern centre, phase, working distance."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microrun.runtime.files.stems import stem_of
from microrun.runtime.scans.ang import AngHeader, StatedPhase, find_companion, read_ang_header
from microrun.runtime.scans.truth import load_truth
from microrun.runtime.scans.up2 import ScanWarning

CUBIC = ("43", "m-3m", "m3m", "432")
STRUCTURES = {225: "fcc", 229: "bcc", 227: "diamond"}  # by space group
NO_CENTRE = (0.5, 0.5, 0.5)  # what kikuchipy's readers fill in where a file states none
USUAL_ANGLES = {"sample_tilt": 70.0, "camera_tilt": 0.0, "camera_azimuth": 0.0, "camera_twist": 0.0}  # likewise


@dataclass(frozen=True)
class StatedGeometry:
    """What one file, or the user, states of the geometry; None where it states nothing.

    Parameters
    ----------
    source
        Who states it, for people.
    pattern_centre
        (x*, y*, z*) in EDAX's convention, of the whole detector.
    sample_tilt, camera_tilt, camera_azimuth, camera_twist
        In degrees; the tilt of the camera is EDAX's camera elevation.
    phase
        "fcc", "bcc", "diamond", or the name of another phase.
    material
        Its name where the structure is not stated.
    working_distance_mm
        In mm; nothing is computed with it.
    """

    source: str
    pattern_centre: tuple[float, float, float] | None = None
    sample_tilt: float | None = None
    camera_tilt: float | None = None
    camera_azimuth: float | None = None
    camera_twist: float | None = None
    phase: str | None = None
    material: str | None = None
    working_distance_mm: float | None = None


def state_beside(scan: Path, nav_shape: tuple[int, int]) -> list[StatedGeometry]:
    """What the files beside a scan state: its truth first, where it was simulated, then its .ang.

    Parameters
    ----------
    scan
        The scan's file; the others have its name.
    nav_shape
        (rows, cols) of the scan.

    Raises
    ------
    ScanError
        If the truth is damaged.

    Warns
    -----
    ScanWarning
        If the .ang is of a map of another size: nothing of it is used.
    """
    stated = []
    if truth := load_truth(scan):
        # The simulator's camera is not tilted.
        stated.append(
            StatedGeometry(
                f"{stem_of(scan)}.truth.npz", truth.pattern_centre, truth.sample_tilt, 0.0, 0.0, 0.0, truth.structure
            )
        )
    with contextlib.suppress(OSError):  # there need be none
        header = read_ang_header(find_companion(scan))
        if _is_of(header, nav_shape):
            stated.append(state_ang(header))
    return stated


def _is_of(header: AngHeader, nav_shape: tuple[int, int]) -> bool:
    """Whether an .ang is of a map of this size, or states none; of rows of two lengths a scan may state either."""
    other = header.nav_shape
    if other is None or (other[0] == nav_shape[0] and abs(other[1] - nav_shape[1]) <= header.hexagonal):
        return True
    if nav_shape[0] == 1 and other[0] * other[1] == nav_shape[1]:  # a file that knows no map
        return True
    there, here = (f"{rows}×{cols}" for rows, cols in (other, nav_shape))
    text = f"{header.path}: is of a map of {there}, the scan has {here}; none of its geometry is used"
    warnings.warn(text, ScanWarning, stacklevel=4)
    return False


def state_ang(header: AngHeader) -> StatedGeometry:
    """What the header of an .ang file states. Programs that know no tilt or distance write zeros.

    Parameters
    ----------
    header
        From `read_ang_header`.
    """
    phase, material = _structure_of(header.phases)
    tilt = header.number("sampletiltangle")
    return StatedGeometry(
        header.path.name,
        header.pattern_centre,
        sample_tilt=tilt if tilt or header.pattern_centre else None,
        camera_tilt=header.number("cameraelevationangle"),
        camera_azimuth=header.number("cameraazimuthalangle"),
        phase=phase,
        material=material,
        working_distance_mm=header.number("workingdistance") or None,
    )


def state_signal(signal: Any, source: str) -> StatedGeometry:
    """What a file states that kikuchipy reads; its readers convert the pattern centre from the file's convention.

    Parameters
    ----------
    signal
        kikuchipy.signals.EBSD, or its lazy twin.
    source
        Name of the file.
    """
    detector = signal.detector
    centres = np.unique(detector.pc_tsl().reshape(-1, 3), axis=0)
    filled = [(there == NO_CENTRE).all() for there in (detector.pc, detector.pc_tsl())]
    phase, material = _phase_of(signal)
    angles = {"sample_tilt": detector.sample_tilt, "camera_tilt": detector.tilt,
              "camera_azimuth": detector.azimuthal, "camera_twist": detector.twist}  # fmt: skip
    if any(filled):  # what is as kikuchipy fills it in need not be in the file
        angles = {name: angle for name, angle in angles.items() if angle != USUAL_ANGLES[name]}
    if len(centres) > 1:
        source += f" (mean of {len(centres)} pattern centres, {np.ptp(centres, axis=0).max():.4f} apart)"
    x, y, z = map(float, centres.mean(axis=0))
    distance = signal.metadata.get_item("Acquisition_instrument.SEM.working_distance")
    return StatedGeometry(
        source,
        None if any(filled) else (x, y, z),
        **angles,
        phase=phase,
        material=material,
        working_distance_mm=float(distance) if distance else None,
    )


def _structure_of(phases: Mapping[int, StatedPhase]) -> tuple[str | None, str | None]:
    """Structure and name of the phase of an .ang file; of several, that with the lowest number."""
    if not phases:
        return None, None
    first = phases[min(phases)]
    name = first.name or "a phase without a name"
    if first.symmetry is not None and first.symmetry not in CUBIC:
        return f"{name}, symmetry {first.symmetry}", name
    others = f", the first of {len(phases)} phases" if len(phases) > 1 else ""
    return _lattice_of(first.families), name + others


def _lattice_of(families: Iterable[tuple[int, int, int]]) -> str | None:
    """Cubic structure by the planes that reflect: the rules of extinction; None where they do not tell."""
    planes = {tuple(sorted(map(abs, family))) for family in families}
    if len(planes) < 2:
        return None
    if all(len({index % 2 for index in plane}) == 1 for plane in planes):  # of one parity: centred faces
        return "fcc" if (0, 0, 2) in planes else "diamond" if (0, 2, 2) in planes else None
    return "bcc" if all(sum(plane) % 2 == 0 for plane in planes) else None


def _phase_of(signal: Any) -> tuple[str | None, str | None]:
    """Structure and name of the first phase of the crystal map beside the patterns."""
    phases = [] if signal.xmap is None else [phase for number, phase in signal.xmap.phases if number >= 0]
    if not phases or phases[0].point_group is None:
        return None, None
    first = phases[0]
    name = str(first.name or "a phase without a name")
    others = f", the first of {len(phases)} phases" if len(phases) > 1 else ""
    if first.space_group is not None and first.space_group.number in STRUCTURES:
        return STRUCTURES[first.space_group.number], name + others
    cubic = first.space_group is None and first.point_group.laue.name == "m-3m"
    return None if cubic else f"{name}, symmetry {first.point_group.name}", name + others
