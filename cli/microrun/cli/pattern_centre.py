"""Where patterns come from, asked for by all commands that index."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from microrun.cli import console
from microrun.runtime.array_types import Float32
from microrun.runtime.errors import ScanError
from microrun.runtime.maps.indexing import FIT_PATTERNS, Geometry, fit_pattern_centre
from microrun.runtime.maps.structures import PHASES, find_structure
from microrun.runtime.patterns.background import static_background
from microrun.runtime.patterns.bad_pixels import preprocessor_for
from microrun.runtime.patterns.informative import sample_informative, say_left_out
from microrun.runtime.patterns.pattern_centre import check_centre
from microrun.runtime.scans.open import ScanFile, state_geometry
from microrun.runtime.scans.stated import StatedGeometry
from microrun.runtime.spec import Preprocessing

STARTING = "PyEBSDIndex starts, for a minute or two"
USUAL_CENTRE = (0.5, 0.7, 0.6)  # of EDAX detectors: where the search starts

ASSUMED = {"sample_tilt": 70.0, "camera_tilt": 0.0, "camera_azimuth": 0.0, "camera_twist": 0.0, "phase": "fcc"}
ALWAYS_SAID = ("phase", "sample_tilt", "camera_tilt")
LINES = {
    "phase": "phase      {} {}",
    "sample_tilt": "tilt       {:g}° {}",
    "camera_tilt": "elevation  {:g}° {}",
    "camera_azimuth": "azimuth    {:g}° {}",
    "camera_twist": "twist      {:g}° {}",
    "working_distance_mm": "distance   {:g} mm {}",
}

CentreOption = Annotated[
    str | None,
    typer.Option(
        "--pc", help="Pattern centre X,Y,Z in EDAX's convention; by default as a file states it, else it is fitted."
    ),
]
PhaseOption = Annotated[
    str | None,
    typer.Option(
        help="Structure: fcc, bcc, diamond, hcp (c/a 1.6) or hcp:C/A; by default as a file states it, else fcc."
    ),
]
BackgroundOption = Annotated[str, typer.Option(help="auto (mean of the scan), none, or a .npy/.up1/.up2 file.")]
TiltOption = Annotated[
    float | None, typer.Option(help="Tilt of the sample, in degrees; by default as a file states it, else 70.")
]
ElevationOption = Annotated[
    float | None, typer.Option(help="Tilt of the camera, in degrees; by default as a file states it, else 0.")
]


class GeometryRequest(NamedTuple):
    """What the user says of the geometry; None for what he does not.

    Parameters
    ----------
    centre
        Pattern centre as text, "X,Y,Z" in EDAX's convention.
    phase
        As `find_structure` takes it.
    tilt, elevation
        Tilts of the sample and of the camera in degrees.
    """

    centre: str | None = None
    phase: str | None = None
    tilt: float | None = None
    elevation: float | None = None

    def state(self) -> StatedGeometry:
        """The same as a statement; ScanError if the centre is no centre."""
        centre = parse_centre(self.centre) if self.centre else None
        return StatedGeometry("as asked", centre, self.tilt, self.elevation, phase=self.phase)


def find_geometry(source: ScanFile, background: str, request: GeometryRequest) -> Geometry:
    """Geometry that was asked for, that the scan or a file beside it states, or that indexes the patterns best.

    Each value is of the first who states it: the user, the scan's own file, the truth of a simulated scan, the .ang
    beside it. All are printed with where they come from.

    Parameters
    ----------
    source
        The scan.
    background
        "auto", "none" or a file, for the fit.
    request
        What the user says.

    Raises
    ------
    ScanError
        If the centre is no centre, the phase cannot be indexed, or there is nothing to fit to.
    """
    values, sources = _settle([request.state(), *state_geometry(source)])
    centre = values.pop("pattern_centre", None)
    if find_structure(values["phase"]) is None and sources["phase"] != "as asked":
        raise ScanError(
            f"{source.path}: its phase is {values['phase']} ({sources['phase']}), which cannot be indexed; if its "
            f"crystals are {', '.join(PHASES)}, give --phase, else --orientations of another program"
        )
    if centre is None:
        usual = Geometry(USUAL_CENTRE, **values)
        with console.step("fitting the pattern centre; this takes a minute or two"):
            centre = fit_pattern_centre(_prepare_some(source, background), usual, source.scan.sig_shape)
        sources["pattern_centre"] = "fitted; give it as --pc next time, or a better one"
    geometry = Geometry(centre, **values, sources=sources)
    _say(geometry)
    return geometry


def _settle(statements: list[StatedGeometry]) -> tuple[dict[str, Any], dict[str, str]]:
    """Values by the first who states each, or what is usual; and where each comes from."""
    values, sources = dict[str, Any](ASSUMED), dict.fromkeys(ASSUMED, "assumed: no file states it")
    material = next((one.material for one in statements if one.material), None)
    if material:
        sources["phase"] = f"assumed for {material}: no file states its structure; give --phase"
    for one in reversed(statements):
        for name in ("pattern_centre", *LINES):
            value = getattr(one, name)
            if value is not None:
                values[name], sources[name] = value, one.source if one.source == "as asked" else f"from {one.source}"
    return values, sources


def _say(geometry: Geometry) -> None:
    x, y, z = geometry.pattern_centre
    console.out.print(f"pc         {x:.4f},{y:.4f},{z:.4f} {geometry.sources['pattern_centre']} (EDAX's convention)")
    for name, line in LINES.items():
        value = getattr(geometry, name)
        if value or name in ALWAYS_SAID:
            console.out.print(line.format(value, geometry.sources[name]))


def _prepare_some(source: ScanFile, choice: str) -> Float32:
    preprocessor = preprocessor_for(source, Preprocessing())
    background = static_background(choice, source, preprocessor)
    batches = list(sample_informative(source, preprocessor, FIT_PATTERNS))
    binned = np.concatenate([batch.binned for batch in batches])
    blank = sum(batch.blank for batch in batches)
    out, ranges, flags = np.empty_like(binned), np.empty((len(binned), 2), np.float32), np.empty(len(binned), bool)
    preprocessor.rescale(binned, background, out, ranges, flags)
    if flags.all():
        raise ScanError(f"{source.path}: no pattern carries information to fit the pattern centre to; give --pc X,Y,Z")
    say_left_out(source, blank, blank + len(binned), "the fit of the pattern centre")
    return out[~flags]


def parse_centre(text: str) -> tuple[float, float, float]:
    """Read "X,Y,Z".

    Raises
    ------
    ScanError
        If it is anything else, or lies far off the detector.
    """
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise ScanError(f"a pattern centre is written X,Y,Z, such as 0.42,0.79,0.50; got {text!r}") from None
    return check_centre((x, y, z))
