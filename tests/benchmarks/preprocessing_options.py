"""What else could be done to patterns before they are encoded: each option's bands and right orientations.

    python tests/benchmarks/preprocessing_options.py MODEL... [--more NAME,STRUCTURE,X,Y,Z,FILE...]

on the nine real patterns of nickel, on others as `real_patterns.py` takes them, and on 80 simulated patterns of nickel
as cameras show them, noise as strong as the bands, whose truth is known. The models were not trained with the options:
a loss says what they do to these models, and only a gain that they are worth training with.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from real_patterns import NICKEL, RIGHT_DEG, SIDE, Recorded, parse, read

from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.open import find_decoder_of, open_engine
from microrun.runtime.maps.indexing import Geometry, Indexer, fit_pattern_centre
from microrun.runtime.maps.orientations import misorientation_angles
from microrun.runtime.patterns.bands import band_correlation, high_pass, low_pass, smooth
from microrun.runtime.spec import ModelSpec
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.matched import Matched
from microrun.training.simulate.camera.patterns import KEEP, CameraSimulator

CENTRE = (0.42, 0.79, 0.50)
Keep = NDArray[np.bool_]
Option = Callable[[Float32, Keep], Float32]


def stretch(patterns: Float32, keep: Keep, clipped_percent: float = 0.0) -> Float32:
    inside = patterns[:, keep]
    low, high = (np.percentile(inside, at, axis=1)[:, None, None] for at in (clipped_percent, 100 - clipped_percent))
    return np.clip(2 * (patterns - low) / (high - low) - 1, -1, 1).astype(np.float32) * keep


def even_contrast(patterns: Float32, keep: Keep) -> Float32:
    passed = high_pass(patterns, keep)
    spread = np.sqrt(low_pass(passed * passed, keep, 12.0)) + 0.2 * passed[:, keep].std()
    return stretch(passed / spread, keep)


OPTIONS: dict[str, Option] = {
    "as in the spec": lambda patterns, keep: patterns,
    "robust range, 0.25 % clipped": lambda patterns, keep: stretch(patterns, keep, 0.25),
    "robust range, 2 % clipped": lambda patterns, keep: stretch(patterns, keep, 2.0),
    "high-pass": lambda patterns, keep: stretch(high_pass(patterns, keep), keep),
    "high-pass, even contrast": even_contrast,
    "smoothed by 1 px": lambda patterns, keep: stretch(low_pass(patterns, keep, 1.0), keep),
    "smoothed by 1.5 px": lambda patterns, keep: stretch(smooth(patterns, keep), keep),
    "inverted": lambda patterns, keep: -patterns,
}


class Judged(NamedTuple):
    """Patterns as each way of taking the background away prepares them, and what their orientations are."""

    name: str
    structure: str
    prepared: dict[str, Float32]
    keep: Keep
    truth: Float64 | None
    indexer: Indexer

    def judge(self, given: Float32, patterns: Float32) -> str:
        reference = smooth(patterns, self.keep)
        found = self.indexer.index(given)
        wanted = self.truth if self.truth is not None else self.indexer.index(patterns).rotations
        angles = misorientation_angles(found.rotations, wanted, self.structure)
        right = found.indexed & (angles < RIGHT_DEG)
        median = f", {np.median(angles[right]):.2f}°" if right.any() else ""
        bands = np.median(band_correlation(given, reference, self.keep))
        return f"{right.sum()} of {len(right)}{median}; {bands:.2f}"


def from_file(recorded: Recorded, spec: ModelSpec) -> Judged:
    scaled = recorded.background is not None
    ways = {"as in the spec": spec.preprocessing}
    if scaled:
        ways["background not scaled"] = replace(spec.preprocessing, scale_background=False)
    prepared = {name: recorded.prepare(way) for name, way in ways.items()}
    patterns, keep = prepared["as in the spec"]
    centre = recorded.centre or fit_pattern_centre(patterns, Geometry((0.5, 0.75, 0.55)), SIDE)
    indexer = Indexer(Geometry(centre, recorded.structure), SIDE, SIDE)
    images = {name: made for name, (made, _) in prepared.items()}
    return Judged(recorded.name, recorded.structure, images, keep, None, indexer)


def simulated() -> Judged:
    conditions = replace(Conditions(), pattern_centre=tuple((v, v) for v in CENTRE), noise=(1.0, 1.0), mixed=0.0)
    made = CameraSimulator(Matched().simulator(0).materials, [1.0], conditions, 987).make(0, 80)
    indexer = Indexer(Geometry(CENTRE), SIDE, SIDE)
    return Judged("simulated nickel", "fcc", {"as in the spec": made.patterns}, KEEP, made.rotations, indexer)


def variants(judged: Judged) -> Iterator[tuple[str, Float32]]:
    for name, patterns in judged.prepared.items():
        if name != "as in the spec":
            yield name, patterns
    for name, option in OPTIONS.items():
        yield name, option(judged.prepared["as in the spec"], judged.keep)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--more", action="append", default=[])
    given = parser.parse_args()
    recorded = [read("nickel", "fcc", (0.4215, 0.7850, 0.5020), [NICKEL]), *map(parse, given.more)]
    request = EngineRequest("f32")
    print("| patterns | model | option | right; bands |\n|---|---|---|---|")
    for model in given.models:
        with (
            open_engine(model, "cpu", request) as encoder,
            open_engine(find_decoder_of(model), "cpu", request) as decoder,
        ):
            for judged in (*(from_file(one, encoder.spec) for one in recorded), simulated()):
                for name, patterns in variants(judged):
                    made = run_all(decoder, run_all(encoder, patterns[:, None]))[:, 0] * judged.keep
                    if name == "inverted":
                        made = -made
                    said = judged.judge(made, judged.prepared["as in the spec"])
                    print(f"| {judged.name} | {model} | {name} | {said} |", flush=True)


if __name__ == "__main__":
    main()
