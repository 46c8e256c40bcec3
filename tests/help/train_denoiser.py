"""A denoiser that learns two halves of a volume, by one process or several."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microrun.runtime.spec import Training
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.trainer import DiffusionTrainer
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.loop.distributed import Processes
from microrun.training.simulate.volumes import SimulatedVolume

TINY = UnetConfig(dims=3, channels=(8, 8), in_channels=7, out_channels=7, blocks=1, head_size=8, groups=4, patch=2)
CONFIG = DiffusionConfig(batch=4, steps=4, side=8, unet=TINY, precision="f32", seed=3)


def train_in(folder: Path, processes: Processes) -> None:
    """Learn two halves of a volume."""
    halves = np.repeat(np.arange(2, dtype=np.int32), 8 * 16 * 16).reshape(16, 16, 16)
    if processes.leads:
        folder.mkdir(exist_ok=True)
    volumes = [SimulatedVolume(halves, "potts", True)] * 2
    trainer = DiffusionTrainer(CONFIG, volumes, folder, Training(data="halves", licence="none"), processes)
    list(trainer.run(2))
