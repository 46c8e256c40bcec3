"""Where patterns come from, asked for by all commands that index."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import typer

from microrun.cli import console
from microrun.runtime.array_types import Float32
from microrun.runtime.errors import ScanError
from microrun.runtime.maps.indexing import FIT_PATTERNS, Geometry, fit_pattern_centre, stated_centre
from microrun.runtime.patterns.background import static_background
from microrun.runtime.patterns.bad_pixels import preprocessor_for
from microrun.runtime.patterns.informative import sample_informative, say_left_out
from microrun.runtime.scans.open import ScanFile
from microrun.runtime.scans.truth import load_truth
from microrun.runtime.spec import Preprocessing

USUAL_CENTRE = (0.5, 0.7, 0.6)  # of EDAX detectors: where the search starts

CentreOption = Annotated[
    str | None,
    typer.Option(
        "--pc", help="Pattern centre X,Y,Z in EDAX's convention; by default from the truth or .ang beside, else fitted."
    ),
]
PhaseOption = Annotated[str, typer.Option(help="Crystal structure to index: fcc, bcc or diamond.")]
BackgroundOption = Annotated[str, typer.Option(help="auto (mean of the scan), none, or a .npy/.up1/.up2 file.")]
TiltOption = Annotated[float, typer.Option(help="Of the sample, in degrees, where no truth beside the scan tells.")]


class GeometryRequest(NamedTuple):
    """What the user says of the geometry.

    Parameters
    ----------
    centre
        Pattern centre as text, "X,Y,Z" in EDAX's convention, or None.
    phase
        One of `PHASES`.
    tilt
        Tilt of the sample in degrees, where no truth beside the scan tells.
    """

    centre: str | None
    phase: str
    tilt: float


def find_geometry(source: ScanFile, background: str, request: GeometryRequest) -> Geometry:
    """Geometry that was asked for, that a file beside the scan states, or that indexes the patterns best.

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
    centre, phase, tilt = request
    truth = load_truth(source.path)
    if centre:
        return Geometry(parse_centre(centre), phase, tilt)
    if truth:
        return Geometry(truth.pattern_centre, phase, truth.sample_tilt)
    stated = stated_centre(source.path)
    if stated:
        return Geometry(stated, phase, tilt)
    usual = Geometry(USUAL_CENTRE, phase, tilt)
    with console.err.status("fitting the pattern centre; this takes a minute or two"):
        x, y, z = fit_pattern_centre(_prepare_some(source, background), usual, source.scan.sig_shape)
    console.out.print(f"pc         {x:.4f},{y:.4f},{z:.4f} fitted; give it as --pc next time, or a better one")
    return Geometry((x, y, z), phase, tilt)


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
    if not (-1 < x < 2 and -1 < y < 2 and 0 < z < 5):
        raise ScanError(f"a pattern centre is stated in shares of the detector's side; got {text}")
    return x, y, z
