"""Whether the built-in models wrongly call real patterns of nickel unknown: the nine of kikuchipy.

    python tests/benchmarks/alarm_on_nickel.py

prints how many of the nine lie below the line of `encode`'s warning, each taken as a scan of its own kind, what is said
of all nine together, and how many have latents beyond those of 99.9 % of the patterns that the model knows.
"""

from __future__ import annotations

import numpy as np

from microrun.export.recorded import recorded_patterns
from microrun.runtime.encoding.familiarity import (
    CELL_PX,
    KNOWN,
    METRIC,
    SHARE,
    measure_familiarity,
    measure_reliability,
)
from microrun.runtime.engines.catalogue import decoder_beside, list_models
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.open import open_engine
from microrun.runtime.patterns.bands import BAND_PX, band_correlation, smooth
from microrun.runtime.patterns.preprocess import Preprocessor

SIG_SHAPE = (60, 60)
FULL = EngineRequest("f32", lanes=1, batch=9)


def main() -> None:
    print("| model | bands | line | below it | all nine together | beyond 99.9 % |\n|---|---|---|---|---|---|")
    for path in list_models():
        with open_engine(path, "cpu", FULL) as encoder, open_engine(decoder_beside(path), "cpu", FULL) as decoder:
            patterns = recorded_patterns("nickel", encoder.spec.preprocessing)
            keep = Preprocessor(encoder.spec.preprocessing, SIG_SHAPE).pixel_keep
            latents = run_all(encoder, patterns[:, None])
            made = run_all(decoder, latents)[:, 0]
            reliability = measure_reliability(patterns, keep, CELL_PX, BAND_PX)
            bands = band_correlation(made, smooth(patterns, keep), keep, BAND_PX) / np.sqrt(reliability)
            line = SHARE * encoder.spec.training.metrics.get(METRIC, KNOWN)
            together = measure_familiarity(patterns, keep, encoder, decoder)
            known = encoder.spec.known
        said = "nothing" if together is None else "known" if together.known else f"unknown ({together})"
        beyond = "not stated" if known is None else f"{(known.distances(latents) > known.quantiles[-1]).sum()} of 9"
        spans = f"{bands.min():.2f} to {bands.max():.2f}"
        print(f"| {path.stem} | {spans} | {line:.2f} | {(bands < line).sum()} of 9 | {said} | {beyond} |", flush=True)


if __name__ == "__main__":
    main()
