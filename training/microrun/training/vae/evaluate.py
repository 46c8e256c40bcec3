"""How well a model reconstructs patterns."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microrun.training.vae.network import VAE

_BATCH = 64


@torch.no_grad()
def reconstruct(model: VAE, patterns: Tensor) -> Tensor:
    """Decode the mean of the latents.

    Parameters
    ----------
    model
        In evaluation mode.
    patterns
        (n, 1, H, W) prepared.

    Returns
    -------
    (n, 1, H, W)
    """
    return decode(model, encode(model, patterns))


@torch.no_grad()
def encode(model: VAE, patterns: Tensor) -> Tensor:
    """Mean of the latents, (n, D), of (n, 1, H, W) prepared patterns."""
    return torch.cat([model.encoder(piece)[0] for piece in torch.split(patterns, _BATCH)])


@torch.no_grad()
def decode(model: VAE, latents: Tensor) -> Tensor:
    """Patterns, (n, 1, H, W), of (n, D) latents."""
    return torch.cat([model.decoder(piece) for piece in torch.split(latents, _BATCH)])


def reconstruction_r2(patterns: Tensor, reconstructed: Tensor, pixel_keep: NDArray[np.bool_]) -> float:
    """Share of the variance about the mean pattern that the reconstructions explain, inside the mask.

    Parameters
    ----------
    patterns, reconstructed
        (n, 1, H, W).
    pixel_keep
        (H, W) bool.

    Returns
    -------
    float
        1 is perfect; 0 is as good as the mean pattern. Noise in the patterns bounds it from above.
    """
    keep = torch.from_numpy(pixel_keep).to(patterns.device)
    error = (reconstructed - patterns)[:, 0, keep].square().sum()
    spread = (patterns - patterns.mean(dim=0))[:, 0, keep].square().sum()
    return float(1 - error / spread)
