"""Training of denoisers on a card against the CPU. Run by tests/gpu/run.sh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from microrun.runtime.spec import Training
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.trainer import DiffusionReport, DiffusionTrainer
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.loop.distributed import Processes
from microrun.training.simulate.volumes import SimulatedVolume

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")]
TINY = UnetConfig(dims=3, channels=(8, 8), in_channels=7, out_channels=7, blocks=1, head_size=8, groups=4, patch=2)
CONFIG = DiffusionConfig(
    batch=32, steps=200, side=8, unet=TINY, precision="f32", rate_warmup=10, learning_rate=5e-3, seed=3
)


def train(device: str, folder: Path) -> list[DiffusionReport]:
    """Learn two halves of a volume."""
    halves = np.repeat(np.arange(2, dtype=np.int32), 8 * 16 * 16).reshape(16, 16, 16)
    processes = Processes(0, 1, torch.device(device))
    volumes = [SimulatedVolume(halves, "potts", True)] * 2
    folder.mkdir()
    trainer = DiffusionTrainer(CONFIG, volumes, folder, Training(data="halves", licence="none"), processes)
    return list(trainer.run(100))


def test_a_card_trains_alike(tmp_path: Path) -> None:
    """Its noise is another, so that losses agree as far as they vary."""
    cuda, cpu = train("cuda", tmp_path / "cuda"), train("cpu", tmp_path / "cpu")
    assert [report.loss for report in cuda] == pytest.approx([report.loss for report in cpu], rel=0.1)
    assert [report.held_out_loss for report in cuda] == pytest.approx([r.held_out_loss for r in cpu], rel=0.1)
    assert cpu[-1].held_out_loss < 0.9 * cpu[0].loss
