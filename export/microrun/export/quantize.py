"""An encoder in int8: calibrated on patterns of the user's, and judged by its maps before it gets its name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.stats import spearmanr

from microrun.export.graph import ParityError, save_model
from microrun.export.quantize_model import Progress, quantise_model
from microrun.runtime.array_types import Float32
from microrun.runtime.engines.cpu import open_reference
from microrun.runtime.engines.engine import Engine
from microrun.runtime.engines.lanes import run_lanes
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import ScanError, SpecError
from microrun.runtime.files.output import written_beside
from microrun.runtime.maps.features import OVERVIEW_FEATURES, measure_structure
from microrun.runtime.patterns.background import static_background
from microrun.runtime.patterns.prepared import prepare_patterns
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.open import ScanFile
from microrun.runtime.scans.scan import Scan
from microrun.runtime.spec import ModelSpec, Preprocessing, Quantisation

CALIBRATION_PATTERNS = 256
HELD_OUT_PATTERNS = 4096  # about: whole rows, for a map is judged
LEAST_ROWS = 3

# Rounding is to latents what noise is. A tenth of their spread is a hundredth of their variance, and less than a camera
# adds: by vae32 and vae64, two exposures of the same points differ by 0.17 at 9,600 electrons a pixel, 0.3 at 2,400.
MOST_LATENT_ERROR = 0.10
# Whoever looks through features from the best downward meets them in the same order, but for neighbours that were
# about equal; and of the five that `microrun maps` shows first, one at most is another.
LEAST_RANK_CORRELATION = 0.90
RANKED_FROM = 9  # among fewer features, one exchange of two that are about equal would decide
MOST_TOP_LOST = 1


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
    """Those patterns of some rows that carry information.

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


def quantise(
    source: Path, out: Path, request: QuantiseRequest, progress: Progress = lambda what, done, total: None
) -> ModelSpec:
    """Write an encoder in int8, if its maps are those of the encoder in float32.

    Parameters
    ----------
    source
        An encoder's .onnx file in f32 or f16; opened in float32, it is what the result is compared with.
    out
        The .onnx file to make or replace.
    request
        Scans to calibrate and to judge on.
    progress
        Called with what is being done, the patterns done and their number.

    Returns
    -------
    ModelSpec
        As written: with `quantisation`, and the relative L2 error of the latents as `parity_error`.

    Raises
    ------
    SpecError
        If the model is no encoder, or is quantised already.
    ScanError
        If a scan cannot be read, is too small, or carries no information.
    ParityError
        If latents or maps differ too much; then nothing is written.
    EngineError
        If the model or what it needs is not there.
    OutputError
        If the file cannot be written.
    """
    with open_reference(source) as reference:
        _check_model(source, reference.spec)
        calibration, held_out = _load(request, reference.spec.preprocessing)
        expected = _encode(reference, held_out, "encoding in f32", progress)
    spec = replace(reference.spec, precision="int8", parity_error=None)
    with written_beside(out) as beside:
        model = quantise_model(onnx.load(source), calibration.prepared, progress)
        for _ in range(2):  # the second time with the numbers inside: what is compared is what ships
            save_model(model, spec, beside)
            with open_engine(beside, "cpu") as engine:
                found = _encode(engine, held_out, "encoding in int8", progress)
            costs = measure(expected, found, calibration, held_out)
            check(spec, costs)
            error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
            spec = replace(spec, parity_error=_rounded(error), quantisation=costs)
    return spec


def measure(expected: Float32, found: Float32, calibration: Patterns, held_out: Patterns) -> Quantisation:
    """Measure what quantisation costs.

    Parameters
    ----------
    expected, found
        (n, D) float32: latents of the held-out patterns, in float32 and in int8.
    calibration, held_out
        The patterns.

    Raises
    ------
    ScanError
        If the held-out patterns are all alike.
    """
    spread = np.linalg.norm(expected - expected.mean(axis=0, dtype=np.float64))
    if spread == 0:
        raise ScanError(f"{held_out.rows}: all patterns are alike, which shows nothing; give another with --held-out")
    structures = [measure_structure(_lay_out(latents, held_out), held_out.rows.scan) for latents in (expected, found)]
    best, kept = (set(np.argsort(structure, kind="stable")[:OVERVIEW_FEATURES]) for structure in structures)
    return Quantisation(
        calibrated_on=str(calibration.rows),
        held_out=str(held_out.rows),
        calibration_patterns=len(calibration.places),
        held_out_patterns=len(held_out.places),
        latent_error=_rounded(np.linalg.norm(found - expected) / spread),
        rank_correlation=_rounded(spearmanr(*structures).statistic) if expected.shape[1] > 1 else 1.0,
        top_kept=len(best & kept),
    )


def check(spec: ModelSpec, costs: Quantisation) -> None:
    """Accept what quantisation costs, or raise ParityError with all that is too much."""
    top = min(OVERVIEW_FEATURES, spec.latent_size)
    wrong = []
    if not costs.latent_error <= MOST_LATENT_ERROR:
        wrong.append(f"latents are off by {costs.latent_error:.2g} of their spread ({MOST_LATENT_ERROR:g} is allowed)")
    if spec.latent_size >= RANKED_FROM and not costs.rank_correlation >= LEAST_RANK_CORRELATION:
        found = f"{costs.rank_correlation:.2g} ({LEAST_RANK_CORRELATION:g} is needed)"
        wrong.append(f"the ranking of features correlates with that in float32 by {found}")
    if costs.top_kept < top - MOST_TOP_LOST:
        wrong.append(f"{costs.top_kept} of the {top} best features are kept ({top - MOST_TOP_LOST} are needed)")
    if wrong:
        raise ParityError(
            f"{spec.name} in int8: {'; '.join(wrong)}. Nothing was written; calibrate on a scan that is more like "
            "those to encode, or stay with f16"
        )


def _check_model(path: Path, spec: ModelSpec) -> None:
    if spec.kind != "encoder":
        raise SpecError(f"{path}: only encoders are quantised; got a {spec.kind}, which stays as it is")
    if spec.precision == "int8":
        raise SpecError(f"{path}: is quantised already; give the f32 or f16 model that it was made from")


def _load(request: QuantiseRequest, preprocessing: Preprocessing) -> tuple[Patterns, Patterns]:
    """Patterns to calibrate and to judge on."""
    calibrate, held_out = _split(request)
    count = calibrate.scan.total
    spread = np.unique(np.linspace(0, count - 1, min(CALIBRATION_PATTERNS, count)).round().astype(np.int64))
    return (
        _prepare(calibrate, spread, request.background, preprocessing),
        _prepare(held_out, np.arange(held_out.scan.total), request.background, preprocessing),
    )


def _split(request: QuantiseRequest) -> tuple[Rows, Rows]:
    calibrate, rows = request.calibrate, _count_rows(request.calibrate)
    if request.held_out is None:
        half = rows // 4 * 2
        if rows < 2 + LEAST_ROWS:
            few = f"{rows} whole rows are too few to calibrate on two and judge by {LEAST_ROWS} others"
            raise ScanError(f"{calibrate.path}: {few}; give another scan to judge by with --held-out")
        return Rows(calibrate, 0, half), _limit(Rows(calibrate, half, rows))
    held_out = Rows(request.held_out, 0, _count_rows(request.held_out))
    if rows < 1:
        raise ScanError(f"{calibrate.path}: holds no whole row of the map to calibrate on")
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
    preprocessor = Preprocessor(preprocessing, rows.source.scan.sig_shape)
    image = static_background(background, rows.source, preprocessor)
    batches = list(prepare_patterns(rows.source, preprocessor, image, rows.start + numbers))
    informative = ~np.concatenate([batch.flags for batch in batches])
    if not informative.any():
        raise ScanError(f"{rows}: all patterns are constant after the mask: nothing to calibrate or judge on")
    prepared = np.concatenate([batch.patterns[~batch.flags] for batch in batches])
    row, col = rows.scan.locate(numbers[informative])
    return Patterns(rows, row * rows.scan.nav_shape[1] + col, prepared[:, None])


def _encode(engine: Engine, patterns: Patterns, what: str, progress: Progress) -> Float32:
    step, total = engine.info.batch, len(patterns.prepared)
    batches = (patterns.prepared[first : first + step] for first in range(0, total, step))
    pieces = []
    for latents in run_lanes(engine, batches, lambda lane, batch: lane.run(batch).copy()):
        pieces.append(latents)
        progress(what, min(step * len(pieces), total), total)
    return np.concatenate(pieces)


def _lay_out(latents: Float32, patterns: Patterns) -> NDArray[np.float64]:
    """Latents on the map of their rows: (rows, cols, D), NaN where there are none."""
    shape = patterns.rows.scan.nav_shape
    features = np.full((shape[0] * shape[1], latents.shape[1]), np.nan)
    features[patterns.places] = latents
    return features.reshape(*shape, -1)


def _rounded(value: float | np.floating) -> float:
    return float(f"{value:.3g}")
