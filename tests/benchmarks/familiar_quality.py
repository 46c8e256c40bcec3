"""How often `encode` calls patterns unknown that a model knows, and lets foreign ones pass, by the detector's side.

    MICRORUN_MASTERS=MASTERS python tests/benchmarks/familiar_quality.py [--cameras FIRST:LAST] [--real NAME,FILE...]

simulates cameras, each with a blur, noise, background, residues and pattern centre of its own, and with every camera
eight patterns a set: nickel, copper and aluminium, which vae32 and vae64 know; silicon, titanium and tungsten carbide,
which they do not; ferrite, and nickel far away, which lie between. The first twelve cameras draw the line, the others
judge it. Real patterns, which have no part in it, are the nine of nickel and whatever is named. Patterns are
averaged to 60×60 before they are compared, which changes no bands and takes a quarter of the time.
"""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from real_patterns import NICKEL, read

from microrun.kernels.masking import circular_keep
from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.familiarity import LEAST_RELIABILITY, METRIC, SHARE, measure_reliability
from microrun.runtime.engines.catalogue import decoder_beside, find_model
from microrun.runtime.engines.engine import Engine, EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.open import open_engine
from microrun.runtime.patterns.bands import BAND_PX, BRIGHTNESS_PX, band_correlation, smooth
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.materials import Material, load_material
from microrun.training.simulate.camera.patterns import CameraSimulator

SIDES, WIDTHS = (60, 80, 96, 120), (BRIGHTNESS_PX, 8.0, 6.0, 5.0, BAND_PX, 3.0)
KNOWN, FOREIGN, BETWEEN = ("nickel", "copper", "aluminum"), ("silicon", "alpha-titanium", "WC"), ("alpha-iron", "far")
FAR = (0.5, 0.6, 0.8)
PATTERNS, DRAWN, BEFORE = 8, 12, (BRIGHTNESS_PX, 0.92)
ONE_OF_ALL = ("energy_mixing", "even", "correlated_noise", "blotches", "high_passed", "locally_scaled", "shadowed",
              "clipped", "gamma")  # fmt: skip
KEEP = circular_keep((60, 60), 0)


class Set(NamedTuple):
    """Patterns of one camera and phase."""

    camera: int
    side: int
    name: str


def draw_camera(seed: int, side: int, centre: tuple[float, float, float] | None) -> Conditions:
    """Of all that differs between cameras one value each, by which the usual ones differ."""
    rng, usual, values = np.random.default_rng(seed), Conditions(), {}
    for field in fields(usual):
        span = getattr(usual, field.name)
        if field.name == "pattern_centre":
            values[field.name] = tuple((at - 0.01, at + 0.01) for at in [rng.uniform(*one) for one in span])
        elif field.name == "pixels":
            values[field.name] = (side,)
        elif field.name == "noise":
            values[field.name] = (float(np.exp(rng.uniform(*np.log((0.3, 2.0))))),) * 2
        elif field.name == "brightness_order":
            values[field.name] = span
        elif isinstance(span, tuple):
            values[field.name] = (rng.uniform(*span),) * 2
        elif field.name in ONE_OF_ALL:
            values[field.name] = float(rng.random() < span)
    if centre is not None:
        values["pattern_centre"] = tuple((at - 0.01, at + 0.01) for at in centre)
    return replace(usual, **values)


def average(patterns: Float32) -> Float32:
    """(n, 60, 60) of (n, 120, 120)."""
    return np.ascontiguousarray(patterns.reshape(-1, 60, 2, 60, 2).mean(axis=(2, 4)))


def measure(patterns: Float32, encoder: Engine, decoder: Engine) -> dict[float, tuple[Float32, Float32]]:
    """By width of the high-pass: band correlations and reliabilities, (n,) each."""
    given = average(run_all(decoder, run_all(encoder, patterns[:, None]))[:, 0])
    seen = average(patterns)
    return {
        width: (
            band_correlation(given, smooth(seen, KEEP), KEEP, width), measure_reliability(seen, KEEP, 2, width)
        )
        for width in WIDTHS
    }  # fmt: skip


def over_the_root(found: tuple[Float32, Float32]) -> float:
    """What is held against the line; NaN where nothing is said."""
    bands, reliability = (np.median(values) for values in found)
    return float(bands / reliability**0.5) if reliability >= LEAST_RELIABILITY else float("nan")


def area(known: Float32, foreign: Float32) -> float:
    """Under the ROC curve."""
    return float(np.mean(known[:, None] > foreign))


def say(found: dict[Set, dict[float, tuple[Float32, Float32]]], reached: float) -> None:
    """The table of one model."""

    def values(width: float, names: tuple[str, ...], drawn: bool, side: int | None = None) -> Float32:
        chosen = [one for one in found if one.name in names and (one.camera < DRAWN) == drawn]
        made = np.array([over_the_root(found[one][width]) for one in chosen if side in (None, one.side)])
        return made[np.isfinite(made)]

    for width in WIDTHS if min(found).camera < DRAWN else ():
        known, foreign = (values(width, names, True) for names in (KNOWN, FOREIGN))
        shares = np.arange(0.6, 1, 0.005)
        apart = [abs(np.mean(known < share * reached) - np.mean(foreign >= share * reached)) for share in shares]
        print(
            f"width {width:g}: area {area(known, foreign):.3f}, as many on both sides at {shares[np.argmin(apart)]:.3f}"
        )
    for width, share in (BEFORE, (BAND_PX, SHARE)):
        line = share * reached
        for side in (*SIDES, None):
            known, foreign = (values(width, names, False, side) for names in (KNOWN, FOREIGN))
            wrong = f"{(known < line).sum()} of {len(known)} | {(foreign >= line).sum()} of {len(foreign)}"
            print(f"| {width:g} | {share} | {side or 'all'} | {area(known, foreign):.3f} | {wrong} |")
        passed = {name: values(width, (name,), False) >= line for name in (*FOREIGN, *BETWEEN)}
        print("passed:", ", ".join(f"{name} {ones.sum()} of {len(ones)}" for name, ones in passed.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", default="0:24")
    parser.add_argument("--models", nargs="+", default=["vae32", "vae64"])
    parser.add_argument("--real", action="append", default=[])
    given = parser.parse_args()
    phases: dict[str, Material] = {
        "nickel": load_material("nickel", (15, 20, 30)),
        **{name: load_material(name, (20,)) for name in ("copper", "aluminum", "alpha-iron", *FOREIGN)},
    }
    phases["far"] = phases["nickel"]
    order = ("nickel", "copper", "aluminum", "alpha-iron", "silicon", "alpha-titanium", "WC", "far")
    made = {}
    for camera in range(*map(int, given.cameras.split(":"))):
        for side in SIDES:
            for number, name in enumerate(order):
                how = draw_camera(10 * camera, side, FAR if name == "far" else None)
                simulator = CameraSimulator([phases[name]], [1], how, 1000 * camera + 10 * number + side)
                made[Set(camera, side, name)] = simulator.make(0, PATTERNS).patterns.astype(np.float16)
    real = [("nickel, nine", [NICKEL])]
    real += [(name, [Path(path) for path in paths]) for name, *paths in (text.split(",") for text in given.real)]
    for model in given.models:
        path = find_model(model)
        request = EngineRequest("f32")
        with open_engine(path, "cpu", request) as encoder, open_engine(decoder_beside(path), "cpu", request) as decoder:
            reached = encoder.spec.training.metrics[METRIC]
            print(f"\n{model}: lines {BEFORE[1] * reached:.3f} before, {SHARE * reached:.3f} now")
            found = {one: measure(patterns.astype(np.float32), encoder, decoder) for one, patterns in made.items()}
            say(found, reached)
            for name, files in real:
                patterns, _ = read(name, "fcc", None, files).prepare(encoder.spec.preprocessing)
                values = measure(patterns, encoder, decoder)
                before, now = (over_the_root(values[width]) for width in (BRIGHTNESS_PX, BAND_PX))
                print(f"{name}: {before:.2f} before, {now:.2f} now")


if __name__ == "__main__":
    main()
