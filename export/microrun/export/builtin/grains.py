"""Make a denoiser like the built-in one: simulate volumes, train, export.

    python -m microrun.export.builtin.grains FOLDER

takes half an hour with a card such as an H200, most of it to simulate, and days without; it may be interrupted and
started again, and leaves ``grains.onnx`` and ``grains.safetensors`` in FOLDER.

The one that ships, an .onnx file only, was made by these settings, volumes, seeds and number of steps, as its spec
says; a test compares them. Another card rounds otherwise, so that the weights are like its, not the same. Three things
in its spec are otherwise than a model's of today: its ``grain_voxels`` was written by `state_grain_size`, since
training did not do so yet; its process is not named; and its metrics are of volumes before blocks were decoded from
grains and relaxed (docs/generate.md). `ship` writes such figures into both files.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from microrun.export.builtin.grain_denoisers import LICENCE, make_run, ship, simulate, train
from microrun.export.graph import save_model
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.files.output import written_beside
from microrun.runtime.spec import Training
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.trainer import DiffusionTrainer
from microrun.training.simulate.potts import Growth
from microrun.training.simulate.volumes import SimulatedVolume, mean_grain_voxels

NAME = "grains"
GROWTH = Growth((100, 100, 100), steps=50)
VOLUMES = 48
FIRST_SEED = 1000
CONFIG = DiffusionConfig(batch=64, learning_rate=1.5e-3, decay=0.7, steps=26_795, seed=1)


def describe_data() -> str:
    """Say what is learned from, for the model's spec."""
    trained = VOLUMES - CONFIG.held_out
    return (
        f"{trained} volumes of {'×'.join(map(str, GROWTH.shape))} voxels by Potts grain growth to t = {GROWTH.steps} "
        f"(microrun simulate potts, seeds {FIRST_SEED} to {FIRST_SEED + trained - 1}), in {CONFIG.n_colours} colours "
        f"as {CONFIG.labels}"
    )


def state_grain_size(path: Path, volumes: Sequence[SimulatedVolume]) -> None:
    """Write into the spec of a denoiser from before there was a place for it how large its grains are.

    Parameters
    ----------
    path
        The .onnx file; nothing but its spec changes.
    volumes
        Grown as those that it was trained on.
    """
    spec = read_model_spec(path)
    assert spec.diffusion is not None
    diffusion = replace(spec.diffusion, grain_voxels=mean_grain_voxels(volumes))
    with written_beside(path) as beside:
        save_model(onnx.load_model(path), replace(spec, diffusion=diffusion), beside)


def main(folder: Path) -> None:
    """Run all of it."""
    run = make_run(folder)
    volumes = simulate(folder / "potts.h5", GROWTH, FIRST_SEED, VOLUMES)
    trainer = DiffusionTrainer(CONFIG, volumes, run, Training(data=describe_data(), licence=LICENCE))
    ship(train(trainer, run), folder, {}, NAME)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
