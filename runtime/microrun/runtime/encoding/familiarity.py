"""Whether a model knows the patterns of a scan: how much of their bands it gives back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.engines.catalogue import decoder_beside
from microrun.runtime.engines.engine import Device, Engine, EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import MicrorunError
from microrun.runtime.latents.familiarity import Familiarity
from microrun.runtime.patterns.bands import BAND_PX, BRIGHTNESS_PX, SIDE, band_correlation, smooth
from microrun.runtime.patterns.informative import sample_informative
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.source import IndexedSource

PATTERNS, LEAST = 256, 8  # that are looked at; below which nothing is said
METRIC = "known_bands"  # in a model's spec: what `reached_bands` gave of what it learned from
KNOWN = 0.83  # taken for models that do not state it
SHARE = 0.82  # of what a model reaches, above which it knows a scan: see docs/familiar.md
LEAST_RELIABILITY = 0.3  # of smoothed patterns, below which they are noise, and nothing is said
LEAST_REACHED = 0.3  # of a model that gives back less nothing can be told: foreign patterns come up to that
CELL_PX = 2  # of 120; single pixels share their noise where a smaller camera was enlarged


def familiarity_of(
    source: IndexedSource, engine: Engine, preprocessor: Preprocessor, background: Float32
) -> Familiarity | None:
    """Measure how well a model knows a scan, on at most 256 informative patterns spread evenly over it.

    Parameters
    ----------
    source
        The scan; its patterns are read by number.
    engine
        An open encoder. Its decoder lies beside its file.
    preprocessor
        What the scan is encoded with.
    background
        (H, W) float32, binned.

    Returns
    -------
    Familiarity, or None
        None where there is no decoder that opens, or nothing can be told: of fewer than 8 patterns, or of noise.
    """
    try:
        decoder = open_decoder(engine)
        if decoder is None:
            return None
        with decoder:
            patterns = _prepare(source, preprocessor, background)
            cell = max(CELL_PX, math.ceil(preprocessor.input_shape[0] / preprocessor.shown_px))
            return measure_familiarity(patterns, preprocessor.pixel_keep, engine, decoder, cell)
    except MicrorunError:  # the scan is encoded: nothing that fails here may spoil that
        return None


def measure_familiarity(
    patterns: Float32, pixel_keep: NDArray[np.bool_], encoder: Engine, decoder: Engine, cell_px: int = CELL_PX
) -> Familiarity | None:
    """Compare the bands of patterns with those of their reconstructions.

    Parameters
    ----------
    patterns
        (n, H, W) float32, prepared, all informative.
    pixel_keep
        (H, W) bool, True inside the mask.
    encoder, decoder
        Exported together.
    cell_px
        How far pixels share their noise, in pixels of 120.

    Returns
    -------
    Familiarity, or None
        None for fewer than 8 patterns, where nearly all that smoothing leaves is noise, and of a model that gives back
        too little of what it learned from.

    Notes
    -----
    A perfect reconstruction of the bands correlates with the smoothed input as the square root of that one's
    reliability, the share of its variance that is not noise. So much is expected of what the model reaches on
    patterns that it knows: the metric "known_bands" of its spec, as `reached_bands` measures it, or else what the first
    built-in models reach. That metric is taken after the high-pass of 12 pixels; here it is as narrow as bands, for
    residues of backgrounds and cameras that lie between are no noise by the chessboard, and no model gives them back.
    """
    if len(patterns) < LEAST:
        return None
    reliability = float(np.median(measure_reliability(patterns, pixel_keep, cell_px, BAND_PX)))
    if reliability < LEAST_RELIABILITY:
        return None
    reached = float(encoder.spec.training.metrics.get(METRIC, KNOWN))
    if reached < LEAST_REACHED:
        return None
    found = Familiarity(_median_bands(patterns, pixel_keep, encoder, decoder), SHARE * reached * reliability**0.5)
    if found.known:
        return found
    return replace(found, turned=_median_bands(-patterns, pixel_keep, encoder, decoder))


def _median_bands(patterns: Float32, pixel_keep: NDArray[np.bool_], encoder: Engine, decoder: Engine) -> float:
    reconstructed = run_all(decoder, run_all(encoder, patterns[:, None]))[:, 0]
    return float(np.median(band_correlation(reconstructed, smooth(patterns, pixel_keep), pixel_keep, BAND_PX)))


def reached_bands(patterns: Float32, reconstructed: Float32, pixel_keep: NDArray[np.bool_]) -> dict[str, float]:
    """How much of the bands a model gives back of patterns that it knows, with allowance for their noise.

    Parameters
    ----------
    patterns, reconstructed
        (n, H, W) float32, prepared; those that tell nothing but noise do not count.
    pixel_keep
        (H, W) bool, True inside the mask.

    Returns
    -------
    dict of str to float
        The metric for a spec: median of the correlation with the smoothed patterns over the root of their reliability.
        Empty where no pattern counts.
    """
    reliability = measure_reliability(patterns, pixel_keep)
    usable = reliability >= LEAST_RELIABILITY
    if not usable.any():
        return {}
    bands = band_correlation(reconstructed[usable], smooth(patterns[usable], pixel_keep), pixel_keep)
    return {METRIC: round(float(np.median(bands / np.sqrt(reliability[usable]))), 4)}


def measure_reliability(
    patterns: Float32, pixel_keep: NDArray[np.bool_], cell_px: int = CELL_PX, width_px: float = BRIGHTNESS_PX
) -> Float64:
    """Share of the variance of smoothed bands that is not white noise, pattern by pattern.

    Parameters
    ----------
    patterns
        (n, H, W) float32, prepared.
    pixel_keep
        (H, W) bool, True inside the mask.
    cell_px
        How far pixels share their noise, in pixels of 120.
    width_px
        Of the high-pass, in pixels of 120.

    Returns
    -------
    (n,) float64 in [0, 1]

    Notes
    -----
    The two colours of a chessboard show the same bands with independent noise, each of twice the variance that all
    pixels have together: the formula of Spearman and Brown takes their correlation to that of the whole. Fields of
    2×2 pixels hold noise that neighbours share, as those of an enlarged pattern of 60×60 do.
    """
    cell = max(1, cell_px * patterns.shape[-1] // SIDE)
    field = np.arange(max(patterns.shape[1:])) // cell
    white = ((field[:, None] + field) % 2 == 0)[: patterns.shape[1], : patterns.shape[2]]
    one, other = (smooth(patterns, pixel_keep & colour) for colour in (white, ~white))
    correlation = np.clip(band_correlation(one, other, pixel_keep, width_px), 0, 1)
    reliability: Float64 = 2 * correlation / (1 + correlation)
    return reliability


def open_decoder(engine: Engine, request: EngineRequest = EngineRequest()) -> Engine | None:
    """The decoder that lies beside the encoder, where the encoder runs; None if there is none, or another's."""
    path = decoder_beside(engine.info.path)
    if not path.is_file():
        return None
    decoder = open_engine(path, cast(Device, engine.info.device), request)
    if decoder.spec.belongs_to(engine.spec):
        return decoder
    decoder.close()
    return None


def _prepare(source: IndexedSource, preprocessor: Preprocessor, background: Float32) -> Float32:
    """(n, H, W) float32: informative patterns from all over the scan."""
    none = np.empty((0, *preprocessor.input_shape), np.float32)
    binned = np.concatenate([none, *(batch.binned for batch in sample_informative(source, preprocessor, PATTERNS))])
    out, ranges = np.empty_like(binned), np.empty((len(binned), 2), np.float32)
    flags = np.empty(len(binned), bool)
    preprocessor.rescale(binned, background, out, ranges, flags)
    return out[~flags][:PATTERNS]
