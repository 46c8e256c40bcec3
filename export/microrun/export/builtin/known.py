"""State in the specs of the built-in encoders where latents of patterns lie that they know.

    MICRORUN_MASTERS=MASTERS python -m microrun.export.builtin.known [NAME...]

takes a minute and changes nothing but the specs of NAME.onnx in the package: of vae32, vae64 and vae128, unless others
are named. The patterns are simulated like those that the models learned from, of the phases, pattern centres and noise
that they know, and with a seed of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from microrun.export.builtin.distilled import KIKUCHIPY, KNOWN, MATERIALS, make_simulator
from microrun.export.graph import save_model
from microrun.runtime.array_types import Float32
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.open import open_engine, read_model_spec
from microrun.runtime.files.output import written_beside
from microrun.runtime.known_latents import KnownLatents
from microrun.training.simulate.camera.conditions import Conditions

TAUGHT = ("vae32", "vae64", "vae128")
SEED, PATTERNS = 16, 8_000


def simulate_known() -> Float32:
    """Simulate patterns that the models know, (n, 120, 120) float32, prepared."""
    conditions = replace(Conditions(), pattern_centre=KNOWN.pattern_centre, noise=KNOWN.noise)
    shares = [share if name in KNOWN.phases else 0.0 for name, _, share in MATERIALS]
    return make_simulator(SEED, conditions, [KIKUCHIPY, *shares]).make(0, PATTERNS).patterns


def state_known(path: Path, patterns: Float32) -> KnownLatents:
    """Write into the spec of an encoder where latents of such patterns lie.

    Parameters
    ----------
    path
        The .onnx file; nothing but its spec changes.
    patterns
        (n, 120, 120) float32, prepared.
    """
    with open_engine(path, "cpu", EngineRequest("f32")) as engine:
        known = KnownLatents.of(run_all(engine, patterns[:, None]))
    assert known is not None
    with written_beside(path) as beside:
        save_model(onnx.load_model(path), replace(read_model_spec(path), known=known), beside)
    return known


def main(names: Sequence[str]) -> None:
    """State it for all that are named, or all that were taught on such patterns."""
    patterns = simulate_known()
    for path in [find_model(name) for name in names] or map(find_model, TAUGHT):
        known = state_known(path, patterns)
        print(f"{path.name}: squared distances {known.quantiles} of {known.patterns:,} patterns", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
