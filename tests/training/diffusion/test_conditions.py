"""What networks make of powers and speeds between those that they were trained on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy.stats import qmc
from torch import Tensor

from microrun.training.diffusion import layers
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import SECTION_UNETS, UnetConfig

CASES = 8  # as many as there are experiments


def pool_width(condition: Tensor) -> Tensor:
    """A law like that of melt pools, about 0, of power and speed scaled from −1 to 1."""
    power, speed = 150 + 50 * condition[:, 0], 0.75 + 0.25 * condition[:, 1]
    return 2 * ((power / 150) ** 0.8 * (speed / 0.75) ** -0.6 - 1)


def relative_error(embedding: Any, seed: int) -> float:
    """Train a network to tell the width of some cases, and ask for others: error as a share of their spread."""
    torch.manual_seed(seed)
    unet = UNet(UnetConfig(2, (8,), blocks=1, head_size=8, groups=4, condition_size=2, condition_embedding=embedding))
    trained = torch.from_numpy(2 * qmc.Sobol(2, seed=seed).random(CASES) - 1).float()
    asked = torch.from_numpy(1.8 * qmc.Sobol(2, seed=99).random(64) - 0.9).float()
    optimiser = torch.optim.Adam(unet.parameters(), 4e-3)
    x, t = torch.zeros(CASES, 1, 2, 2), torch.zeros(CASES)
    for _ in range(250):
        loss = (unet(x, t, trained).mean((1, 2, 3)) - pool_width(trained)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        told = unet(torch.zeros(64, 1, 2, 2), torch.zeros(64), asked).mean((1, 2, 3))
    return float((told - pool_width(asked)).square().mean().sqrt() / pool_width(asked).std())


@pytest.mark.slow
def test_the_default_embedding_knows_best_what_lies_between_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers on the numbers themselves come nearest; frequencies of scale 30, as published, only hash them."""
    plain, smooth = (relative_error(kind, seed=1) for kind in ("perceptron", "fourier"))
    monkeypatch.setattr(layers, "FOURIER_SCALE", 30)
    hashed = relative_error("fourier", seed=1)
    assert plain < 0.8 * smooth and plain < 0.3, (plain, smooth)
    assert smooth < 0.8 * hashed and hashed > 0.8, (smooth, hashed)
    assert all(unet.condition_embedding == "perceptron" for unet in SECTION_UNETS.values())
