"""An encoder in int8: calibrated on patterns of the user's, and judged by its maps before it gets its name."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.stats import spearmanr

from microrun.export.calibration import Patterns, QuantiseRequest, load_patterns
from microrun.export.graph import ParityError, save_model
from microrun.export.quantize_model import quantise_model
from microrun.runtime.array_types import Float32
from microrun.runtime.engines.cpu import open_reference
from microrun.runtime.engines.engine import Engine
from microrun.runtime.engines.lanes import run_lanes
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import ScanError, SpecError
from microrun.runtime.files.output import written_beside
from microrun.runtime.maps.features import OVERVIEW_FEATURES, measure_structure
from microrun.runtime.progress import Job, Progress
from microrun.runtime.quantisation import Quantisation
from microrun.runtime.spec import ModelSpec

# Rounding is to latents what noise is. A tenth of their spread is a hundredth of their variance, and less than a camera
# adds: by vae32 and vae64, two exposures of the same points differ by 0.17 at 9,600 electrons a pixel, 0.3 at 2,400.
MOST_LATENT_ERROR = 0.10
# Whoever looks through features from the best downward meets them in the same order, but for neighbours that were
# about equal; and of the five that `microrun maps` shows first, one at most is another.
LEAST_RANK_CORRELATION = 0.90
RANKED_FROM = 9  # among fewer features, one exchange of two that are about equal would decide
MOST_TOP_LOST = 1


def quantise(source: Path, out: Path, request: QuantiseRequest) -> Job[ModelSpec]:
    """Write an encoder in int8, if its maps are those of the encoder in float32.

    Parameters
    ----------
    source
        An encoder's .onnx file in f32 or f16; opened in float32, it is what the result is compared with.
    out
        The .onnx file to make or replace.
    request
        Scans to calibrate and to judge on.

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
        calibration, held_out = load_patterns(request, reference.spec.preprocessing)
        expected = yield from _encode(reference, held_out, "encoding in f32")
    spec = replace(reference.spec, precision="int8", parity_error=None)
    with written_beside(out) as beside:
        model = yield from quantise_model(onnx.load(source), calibration.prepared)
        for _ in range(2):  # the second time with the numbers inside: what is compared is what ships
            save_model(model, spec, beside)
            with open_engine(beside, "cpu") as engine:
                found = yield from _encode(engine, held_out, "encoding in int8")
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
    """Accept what quantisation costs, or refuse it.

    Parameters
    ----------
    spec
        Of the encoder.
    costs
        As measured.

    Raises
    ------
    ParityError
        With all that is too much.
    """
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
    spec.require("encoder", source=path, task="quantisation")
    if spec.precision == "int8":
        raise SpecError(f"{path}: is quantised already; give the f32 or f16 model that it was made from")


def _encode(engine: Engine, patterns: Patterns, phase: str) -> Job[Float32]:
    step, total = engine.info.batch, len(patterns.prepared)
    batches = (patterns.prepared[first : first + step] for first in range(0, total, step))
    pieces = []
    with closing(run_lanes(engine, batches, lambda lane, batch: lane.run(batch).copy())) as encoded:
        for latents in encoded:
            pieces.append(latents)
            yield Progress(min(step * len(pieces), total), total, phase)
    return np.concatenate(pieces)


def _lay_out(latents: Float32, patterns: Patterns) -> NDArray[np.float64]:
    """Latents on the map of their rows: (rows, cols, D), NaN where there are none."""
    shape = patterns.rows.scan.nav_shape
    features = np.full((shape[0] * shape[1], latents.shape[1]), np.nan)
    features[patterns.places] = latents
    return features.reshape(*shape, -1)


def _rounded(value: float | np.floating) -> float:
    return float(f"{value:.3g}")
