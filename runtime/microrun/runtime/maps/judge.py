"""How good a model is: what is left of indexing when patterns go through it (Table 1 of Calvat et al.)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.engines.engine import Engine
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.errors import ScanError
from microrun.runtime.maps.compared_models import check_pair
from microrun.runtime.maps.indexing import Indexer, Orientations, index_all
from microrun.runtime.maps.orientations import misorientation_angles
from microrun.runtime.maps.pattern_quality import measure_sharpness
from microrun.runtime.maps.right import Right, judge_right
from microrun.runtime.patterns.background import static_background
from microrun.runtime.patterns.bad_pixels import preprocessor_for
from microrun.runtime.patterns.bands import band_correlation, correlate, smooth
from microrun.runtime.patterns.informative import say_left_out
from microrun.runtime.patterns.prepared import prepare_patterns
from microrun.runtime.patterns.warp import Warp
from microrun.runtime.progress import Job
from microrun.runtime.scans.source import IndexedSource
from microrun.runtime.spec import ModelSpec

QUANTILES = (0.1, 0.5, 0.9)
BANDS_AGAINST = "the smoothed input"  # what `Row.bands` compares with; a pattern without noise is not at hand


@dataclass(frozen=True)
class Judged:
    """Patterns that models are judged on, and what indexing says of them.

    Parameters
    ----------
    patterns
        (n, H, W) float32, prepared.
    pixel_keep
        (H, W) bool, True inside the mask.
    orientations
        What indexing finds in the patterns as they are.
    sharpness
        (n,) float64 in [0, 1].
    truth
        (n, 4) float64 true rotations, unit quaternions, where the scan is simulated, or None.
    """

    patterns: Float32
    pixel_keep: NDArray[np.bool_]
    orientations: Orientations
    sharpness: Float64
    truth: Float64 | None


@dataclass(frozen=True)
class Row:
    """One line of the table; quantiles are (10 %, 50 %, 90 %) over patterns.

    Parameters
    ----------
    name
        That of the model; "original" for the patterns themselves.
    latent_size
        D; 0 for the patterns themselves.
    patterns
        How many were judged.
    bands
        Band correlation of reconstruction and smoothed input: `band_correlation`.
    right
        Share that is indexed, and within 5° of the truth or of the original.
    indexed
        Share that is indexed, rightly or not.
    confidence, quality, sharpness
        Ratios reconstructed over original, of patterns that are indexed in both.
    misorientation_deg
        Angles in degrees between the orientations of both, likewise.
    truth_deg
        Misorientation of indexed patterns with the truth in degrees, or None.
    correlation
        Pearson's, of reconstruction and original inside the mask; it flatters a blur.
    """

    name: str
    latent_size: int
    patterns: int
    bands: tuple[float, ...]
    right: Right
    indexed: float
    confidence: tuple[float, ...]
    quality: tuple[float, ...]
    sharpness: tuple[float, ...]
    misorientation_deg: tuple[float, ...]
    truth_deg: tuple[float, ...] | None
    correlation: tuple[float, ...]


@dataclass(frozen=True)
class JudgeRequest:
    """Which patterns models are judged on.

    Parameters
    ----------
    source
        The scan.
    background
        "auto", "none" or a file, as `static_background` takes it.
    count
        Patterns at most, evenly spaced over the scan.
    truth
        (total, 4) float64 true rotations of all patterns, unit quaternions, or None.
    warp
        From the scan's pattern centre to that which the models know; None where patterns are taken as they are.
    """

    source: IndexedSource
    background: str = "auto"
    count: int = 2000
    truth: Float64 | None = None
    warp: Warp | None = None


def load_judged(request: JudgeRequest, spec: ModelSpec, indexer: Indexer) -> Job[Judged]:
    """Prepare patterns, evenly spaced over the scan, and index them.

    Parameters
    ----------
    request
        Which patterns.
    spec
        That of the models, for its preprocessing.
    indexer
        What indexes prepared patterns of the scan's detector; where these are warped, of that which the models know.

    Yields
    ------
    Progress
        Patterns that are indexed.

    Returns
    -------
    Judged

    Raises
    ------
    ScanError
        If no pattern carries information, or none can be indexed.
    """
    source = request.source
    preprocessor = preprocessor_for(source, spec.preprocessing, warp=request.warp)
    count = min(request.count, source.available)
    indices = np.unique(np.linspace(0, source.available - 1, count).round().astype(np.int64))
    background = static_background(request.background, source, preprocessor)
    batches = list(prepare_patterns(source, preprocessor, background, indices))
    informative = ~np.concatenate([batch.flags for batch in batches])
    if not informative.any():
        raise ScanError("all patterns are constant after the mask: there is nothing to judge")
    say_left_out(source, int((~informative).sum()), len(informative), "what is judged")
    patterns = np.concatenate([batch.patterns for batch in batches])[informative]
    keep = preprocessor.pixel_keep
    orientations = yield from index_all(indexer, patterns, "indexing originals")
    if not orientations.indexed.any():
        raise ScanError(
            f"none of {len(patterns)} patterns can be indexed as {orientations.phase}; check --phase, --pc and --tilt"
        )
    known = None if request.truth is None else request.truth[indices[informative]]
    return Judged(patterns, keep, orientations, measure_sharpness(patterns, keep), known)


def judge_original(judged: Judged) -> Row:
    """Line of the patterns themselves.

    Parameters
    ----------
    judged
        From `load_judged`.

    Returns
    -------
    Row
    """
    ones = (1.0,) * len(QUANTILES)
    return Row(
        name="original",
        latent_size=0,
        patterns=len(judged.patterns),
        bands=_measure_bands(judged.patterns, judged),
        right=judge_right(judged.orientations, judged.orientations, judged.truth),
        indexed=float(judged.orientations.indexed.mean()),
        confidence=ones,
        quality=ones,
        sharpness=ones,
        misorientation_deg=(0.0,) * len(QUANTILES),
        truth_deg=_truth_error(judged.orientations, judged),
        correlation=ones,
    )


def judge_model(judged: Judged, encoder: Engine, decoder: Engine, indexer: Indexer) -> Job[tuple[Row, Float32]]:
    """Line of a model, and what it reconstructs.

    Parameters
    ----------
    judged
        From `load_judged`, with the encoder's preprocessing.
    encoder, decoder
        Exported together.
    indexer
        That of the originals.

    Yields
    ------
    Progress
        Reconstructions that are indexed.

    Returns
    -------
    row : Row
    reconstructed : (n, H, W) float32
        As indexed: 0 outside the mask.

    Raises
    ------
    SpecError
        At once, if the two are no pair.
    """
    check_pair(encoder, decoder)
    return _judge_pair(judged, encoder, decoder, indexer)


def _judge_pair(judged: Judged, encoder: Engine, decoder: Engine, indexer: Indexer) -> Job[tuple[Row, Float32]]:
    latents = run_all(encoder, judged.patterns[:, None])
    reconstructed = run_all(decoder, latents)[:, 0] * judged.pixel_keep
    name = encoder.info.path.stem
    found = yield from index_all(indexer, reconstructed, f"indexing {name}")
    original = judged.orientations
    both = found.indexed & original.indexed
    sharpness = measure_sharpness(reconstructed, judged.pixel_keep)
    angles = misorientation_angles(found.rotations[both], original.rotations[both], original.phase)
    row = Row(
        name=name,
        latent_size=encoder.spec.latent_size,
        patterns=len(latents),
        bands=_measure_bands(reconstructed, judged),
        right=judge_right(found, original, judged.truth),
        indexed=float(found.indexed.mean()),
        confidence=_ratio(found.confidence, original.confidence, both),
        quality=_ratio(found.quality, original.quality, both),
        sharpness=_ratio(sharpness, judged.sharpness, both),
        misorientation_deg=quantiles(angles),
        truth_deg=_truth_error(found, judged),
        correlation=quantiles(correlate(judged.patterns, reconstructed, judged.pixel_keep)),
    )
    return row, reconstructed


def quantiles(values: Float64) -> tuple[float, ...]:
    """Quantiles of 10, 50 and 90 %.

    Parameters
    ----------
    values
        (n,); where there are none, the quantiles are NaN.
    """
    if not len(values):
        return (float("nan"),) * len(QUANTILES)
    return tuple(map(float, np.quantile(values, QUANTILES)))


def _measure_bands(reconstructed: Float32, judged: Judged) -> tuple[float, ...]:
    reference = smooth(judged.patterns, judged.pixel_keep)
    return quantiles(band_correlation(reconstructed, reference, judged.pixel_keep))


def _ratio(found: Float64, original: Float64, both: NDArray[np.bool_]) -> tuple[float, ...]:
    usable = both & (original > 0)
    return quantiles(found[usable] / original[usable])


def _truth_error(found: Orientations, judged: Judged) -> tuple[float, ...] | None:
    if judged.truth is None:
        return None
    there = found.indexed
    return quantiles(misorientation_angles(found.rotations[there], judged.truth[there], found.phase))
