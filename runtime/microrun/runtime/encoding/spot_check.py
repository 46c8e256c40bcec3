"""A pattern now and then that is decoded again while a scan is encoded: whether its bands come back."""

from __future__ import annotations

import contextlib
import math

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.encoding.familiarity import CELL_PX, LEAST_RELIABILITY, measure_reliability, open_decoder
from microrun.runtime.engines.engine import Engine, EngineRequest, Lane
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.closing import Closing
from microrun.runtime.latents.batch import EncodedBatch, is_sampled
from microrun.runtime.patterns.bands import band_correlation, smooth
from microrun.runtime.patterns.preprocess import Preprocessor

ONE_BY_ONE = EngineRequest(lanes=1, batch=1)


class SpotCheck(Closing):
    """Decode the patterns of a scan that are sampled; the decoder is opened with the first of them.

    Parameters
    ----------
    engine
        An open encoder. Its decoder lies beside its file.
    preprocessor
        What the scan is encoded with.
    """

    def __init__(self, engine: Engine, preprocessor: Preprocessor) -> None:
        self._encoder, self._keep = engine, preprocessor.pixel_keep
        self._cell_px = max(CELL_PX, math.ceil(preprocessor.input_shape[0] / preprocessor.shown_px))
        self._decoder: Engine | None = None
        self._lane: Lane | None = None
        self._tried = False

    def close(self) -> None:
        """Close the decoder."""
        if self._decoder is not None:
            self._decoder.close()

    def warm(self) -> None:
        """Open the decoder and use it once, which takes a tenth of a second and more."""
        with contextlib.suppress(MicrorunError):  # as in `compare`
            lane = self._open()
            if lane is not None:
                lane.run(np.zeros((1, self._encoder.spec.latent_size), np.float32))

    def compare(self, batch: EncodedBatch) -> Float64:
        """Correlation of the bands of reconstructions and patterns, over the root of their reliability.

        Parameters
        ----------
        batch
            As it left the engine.

        Returns
        -------
        (m,) float64
            Of the patterns that are sampled; NaN where nearly all is noise, or without a decoder.
        """
        patterns = batch.sampled
        if patterns is None or not len(patterns):
            return np.empty(0)
        unknown: Float64 = np.full(len(patterns), np.nan)
        try:
            lane = self._open()
            if lane is None:
                return unknown
            latents = batch.latents[is_sampled(batch.indices)]
            made = np.concatenate([lane.run(latent[None])[:, 0].copy() for latent in latents])
        except MicrorunError:  # the scan goes on: nothing that fails here may spoil that
            return unknown
        bands = band_correlation(made, smooth(patterns, self._keep), self._keep)
        reliability = measure_reliability(patterns, self._keep, self._cell_px)
        return np.where(reliability >= LEAST_RELIABILITY, bands / np.sqrt(np.maximum(reliability, 1e-9)), np.nan)

    def _open(self) -> Lane | None:
        if not self._tried:
            self._tried = True
            self._decoder = open_decoder(self._encoder, ONE_BY_ONE)
            self._lane = None if self._decoder is None else self._decoder.lane()
        return self._lane
