"""Make the built-in models: simulate scans, train, judge, export.

    python -m microrun.export.builtin.encoders FOLDER

takes hours on two cores, may be interrupted and started again, and leaves ``vaeD.onnx``, ``vaeD.decoder.onnx`` and
``vaeD.safetensors`` in FOLDER/vaeD. Everything it learns from is licensed CC BY 4.0 or made here: kikuchipy's nickel
master pattern, a kinematical one of titanium carbide, and invented samples.

Training is a chain. Bands are hard to find for a network that starts from nothing, and impossible within hours where
uneven brightness explains more of the patterns than bands do: the first network learns from even patterns, the
second goes on from it with uneven ones, and the third is the second, widened.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from microrun.export.builtin.ship import NAV_SHAPE, SIG_SHAPE, ship, simulate_held_out
from microrun.runtime.progress import finish
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing, Training
from microrun.training.loop.checkpoint import read_checkpoint_spec
from microrun.training.simulate.patterns import Exposure, PatternSimulator
from microrun.training.simulate.sample import Recipe, grow_sample, random_sample
from microrun.training.simulate.scan import simulate_scan
from microrun.training.vae.checkpoint import load_checkpoint
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.data import Selection, prepare_scans
from microrun.training.vae.network import VAE
from microrun.training.vae.trainer import VaeReport, VaeTrainer
from microrun.training.vae.widen import widen

SELECTION = Selection(patterns_per_scan=2_500, seed=1)
MATERIAL = "simulated nickel at 20 kV: kikuchipy's master pattern (doi:10.5281/zenodo.4288857)"
Span = tuple[float, float]


@dataclass(frozen=True)
class Diversity:
    """How the scans of a set differ.

    Parameters
    ----------
    name
        Of the folder of the scans.
    random_scans, grain_scans
        Number of scans whose every point has an orientation of its own; of invented polycrystals.
    centre
        Spans of x*, y* and z* of the pattern centre.
    electrons, contrast
        Spans of the dose per binned pixel and of the bands' contrast, both drawn by their logarithm.
    blur_px
        Span of the blur in random scans.
    shading
        Largest unevenness of brightness, in contrasts.
    particles
        Particles of the second phase in each polycrystal.
    text
        All of it, for the model's spec.
    """

    name: str
    random_scans: int
    grain_scans: int
    centre: tuple[Span, Span, Span]
    electrons: Span
    contrast: Span
    blur_px: Span
    shading: float
    particles: int
    text: str


EVEN = Diversity(
    name="even",
    random_scans=8,
    grain_scans=4,
    centre=((0.40, 0.60), (0.65, 0.85), (0.45, 0.65)),
    electrons=(3_000, 40_000),
    contrast=(0.05, 0.2),
    blur_px=(0.6, 2.2),
    shading=0.0,
    particles=0,
    text="8 scans of random orientations and 4 invented polycrystals, pattern centres within 0.1 of 0.50, 0.75, 0.55",
)
UNEVEN = Diversity(
    name="uneven",
    random_scans=14,
    grain_scans=8,
    centre=((0.40, 0.44), (0.77, 0.81), (0.48, 0.52)),
    electrons=(6_000, 40_000),
    contrast=(0.08, 0.25),
    blur_px=(0.3, 2.4),
    shading=0.12,
    particles=30,
    text=(
        "14 scans of random orientations and 8 invented polycrystals with particles of titanium carbide, each with its "
        "own pattern centre (within 0.02 of 0.42, 0.79, 0.50), background, contrast (0.08-0.25), dose (6,000-40,000 "
        "electrons per binned pixel), blur (0.3-2.4 px) and uneven brightness"
    ),
)


@dataclass(frozen=True)
class Stage:
    """One link of the chain.

    Parameters
    ----------
    name
        Of its folder, and of its model.
    config
        How it is trained.
    diversity
        What on.
    """

    name: str
    config: VaeConfig
    diversity: Diversity


STAGES = (
    Stage("first", VaeConfig(latent_size=32, batch=64, epochs=25, seed=1), EVEN),
    Stage("vae32", VaeConfig(latent_size=32, batch=64, epochs=9, learning_rate=7e-4, kl_warmup=0, seed=1), UNEVEN),
    Stage("vae64", VaeConfig(latent_size=64, batch=64, epochs=3, learning_rate=4e-4, kl_warmup=0, seed=1), UNEVEN),
)


def simulate_training_scan(path: Path, number: int, diversity: Diversity) -> None:
    """Simulate one scan with geometry and camera of its own; one that exists is kept.

    Parameters
    ----------
    path
        The .up2 file to make.
    number
        The scan's; all that is random follows from it.
    diversity
        How the scans of its set differ.
    """
    if path.exists():
        return
    rng = np.random.default_rng((7, number))
    x, y, z = (rng.uniform(*span) for span in diversity.centre)
    electrons, contrast = (float(np.exp(rng.uniform(*np.log(s)))) for s in (diversity.electrons, diversity.contrast))
    exposure = Exposure(
        electrons=electrons,
        contrast=contrast,
        gain=30_000 / electrons,
        background_centre=(rng.uniform(-0.1, 0.1), rng.uniform(-0.15, 0.05)),
        background_width=rng.uniform(0.28, 0.45),
    )
    shading = contrast * rng.uniform(0, diversity.shading)
    if number < diversity.random_scans:
        sample = random_sample(NAV_SHAPE, number, Recipe(blur_px=diversity.blur_px, shading=shading))
    else:
        perfect = rng.uniform(0.3, 1.0)
        recipe = Recipe(perfect_blur_px=perfect, particles=diversity.particles, shading=shading)
        sample = grow_sample(NAV_SHAPE, 60, number, recipe)
    finish(simulate_scan(path, sample, PatternSimulator(SIG_SHAPE, (x, y, z)), exposure, seed=number))


def simulate_scans(folder: Path, diversity: Diversity) -> list[Path]:
    """Simulate all scans of a set, and list them; those that exist are kept.

    Parameters
    ----------
    folder
        Theirs.
    diversity
        How they differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scan{number:02d}.up2" for number in range(diversity.random_scans + diversity.grain_scans)]
    for number, path in enumerate(paths):
        simulate_training_scan(path, number, diversity)
        print(f"scan {number + 1} of {len(paths)}: {path}", flush=True)
    return paths


def train(folder: Path, stage: Stage, before: Path | None) -> None:
    """Train a stage; it goes on where it was interrupted.

    Parameters
    ----------
    folder
        That of all stages.
    stage
        What to train.
    before
        Checkpoint of the stage before; None for the first one.
    """
    scans_folder = folder / stage.diversity.name
    scans = [FileSource(path) for path in simulate_scans(scans_folder, stage.diversity)]
    data = finish(prepare_scans(scans, Preprocessing(), scans_folder / "prepared.npy", SELECTION))
    run = folder / stage.name
    run.mkdir(exist_ok=True)
    source = Training(data=f"{MATERIAL}, {stage.diversity.text}", licence="CC BY 4.0")
    start, config = None, stage.config
    if before:
        start = _start(before, config)
        config = replace(config, fine_tuned_from=read_checkpoint_spec(before).name)
    trainer = VaeTrainer(config, data, run, source, start)
    trainer.resume()
    for report in trainer.run(200):
        _print(report)


def main(folder: Path) -> None:
    """Run the chain."""
    folder.mkdir(parents=True, exist_ok=True)
    held_out = simulate_held_out(folder)
    checkpoint = None
    for stage in STAGES:
        train(folder, stage, checkpoint)
        checkpoint = ship(folder / stage.name, stage.name, held_out)


def _start(before: Path, config: VaeConfig) -> VAE:
    trained, spec = load_checkpoint(before)
    return trained if spec.latent_size == config.latent_size else widen(trained, config.seed)


def _print(report: VaeReport) -> None:
    print(
        f"step {report.step}/{report.steps}  loss {report.loss:.4f}  L2 {report.l2_per_pixel:.4f}  "
        f"KL {report.kl:.1f}  held-out R2 {report.held_out_r2:.3f}  {report.patterns_per_s:.0f} patterns/s",
        flush=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
