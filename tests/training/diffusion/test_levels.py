"""A denoiser whose weights are few levels: what is computed with, what is learned, and what is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from microrun.runtime.spec import Training
from microrun.training.diffusion.checkpoint import load_denoiser
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.levels import ENDS, MOST, LevelTrainer
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.simulate.volumes import SimulatedVolume

TINY = UnetConfig(3, (16, 16), 7, 7, blocks=1, head_size=8, groups=4, patch=4)
CONFIG = DiffusionConfig(batch=2, steps=4, unet=TINY, side=16, precision="f32", rate_warmup=1)


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LevelTrainer:
    monkeypatch.setattr("microrun.training.diffusion.denoiser_trainer.TESTED", 2)
    grains = np.arange(4**3, dtype=np.int32).reshape(4, 4, 4).repeat(8, 0).repeat(8, 1).repeat(8, 2)
    return LevelTrainer(CONFIG, [SimulatedVolume(grains, "am", False, 8)] * 2, tmp_path, Training(data="cubes"))


def most_values(weights: dict[str, torch.Tensor]) -> int:
    """Values that a channel has at most, of large weights between the first and the last layer."""
    large = [one.flatten(1) for name, one in weights.items() if one.dim() == 5 and not name.startswith(ENDS)]
    return max(len(channel.unique()) for one in large if one.numel() >= 4096 for channel in one)


def test_what_is_saved_has_few_levels_and_what_is_learned_has_not(trainer: LevelTrainer) -> None:
    for report in trainer.run(2):
        assert np.isfinite(report.held_out_loss)
    unet, spec = load_denoiser(trainer.folder / "checkpoint.safetensors")
    assert spec.training.steps == 4
    assert most_values(unet.state_dict()) <= 2 * MOST + 1
    assert most_values(dict(trainer.network.state_dict())) > 100  # between steps the weights are fine
    assert most_values(trainer.average.weights) > 100


def test_the_loss_is_that_of_the_rounded_network(trainer: LevelTrainer) -> None:
    fine = {name: one.clone() for name, one in trainer.network.state_dict().items()}
    trainer.terms()
    assert most_values(dict(trainer.network.state_dict())) <= 2 * MOST + 1
    trainer.optimizer.step()  # without gradients: it only takes the fine weights back
    for name, one in trainer.network.state_dict().items():
        assert torch.equal(one, fine[name])
