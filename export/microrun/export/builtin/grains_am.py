"""Make the built-in denoiser of printed metal: simulate volumes behind a melt pool, train, export.

    python -m microrun.export.builtin.grains_am FOLDER

leaves ``grains-am.onnx`` and ``grains-am.safetensors`` in FOLDER; it may be interrupted and started again. It begins as
the built-in denoiser of grain growth, whose colours and boundaries it goes on with, gets inputs for what is known, and
weights of few levels: 3.5 million of them pack to 1.8 MB.

None ships yet: 7,700 blocks, an hour on one core, are too few, as docs/printed-grains.md shows. The settings below are
what is to be tried on a card.

**The process.** A column is about as wide as the tracks are apart, so that three or four stand across a block of 32
voxels: tracks 10 voxels apart, layers of 4, a pool of 24×14×9 voxels. Columns stand in rows, one hatch apart. Volumes
come from inside a build (`Build.inside`), and rows lie anywhere in a block.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from microrun.export.builtin.grain_denoisers import LICENCE, make_run, ship, simulate, train
from microrun.export.denoiser_from_onnx import read_denoiser
from microrun.export.levels import compact
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.spec import Training
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.levels import LevelTrainer
from microrun.training.diffusion.start import Start
from microrun.training.diffusion.unet_config import GRAIN_UNET, entering_channels
from microrun.training.simulate.potts import Build, MeltPool

NAME = "grains-am"
BUILD = Build((64, 64, 80), MeltPool(length=24, width=14, depth=9, mobile_zone=8), hatch=10, layer=4, inside=True)
VOLUMES = 48
FIRST_SEED = 100
UNET = replace(GRAIN_UNET, in_channels=entering_channels(GRAIN_UNET.out_channels, known_inputs=True))
CONFIG = DiffusionConfig(batch=64, learning_rate=1e-3, decay=0.6, steps=10_000, seed=21, known_inputs=True, unet=UNET)
START = "grains"


def describe_data(first_seed: int, last_seed: int) -> str:
    """Say what is learned from, for the model's spec."""
    pool = BUILD.pool
    return (
        f"{last_seed - first_seed + 1} volumes of {'×'.join(map(str, BUILD.shape))} voxels from inside a build: a melt "
        f"pool of {pool.length}×{pool.width}×{pool.depth} voxels, {pool.mobile_zone} around it, tracks {BUILD.hatch} "
        f"and layers {BUILD.layer} voxels apart (microrun simulate am --inside, seeds {first_seed} to {last_seed}), in "
        f"{CONFIG.n_colours} colours as {CONFIG.labels}"
    )


def main(folder: Path) -> None:
    """Run all of it; what ships has weights of few levels."""
    run = make_run(folder)
    volumes = simulate(folder / "am.h5", BUILD, FIRST_SEED, VOLUMES)
    file = find_model(START)
    start = Start(file, *read_denoiser(file, GRAIN_UNET))
    source = Training(data=describe_data(FIRST_SEED, FIRST_SEED + VOLUMES - CONFIG.held_out - 1), licence=LICENCE)
    trainer = LevelTrainer(replace(CONFIG, begun_from=start.origin), volumes, run, source, start=start)
    compact(ship(train(trainer, run), folder, {}, NAME))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
