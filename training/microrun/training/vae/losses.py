"""Losses of the autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor

from microrun.training.vae.config import VaeConfig


def masked_l2(reconstruction: Tensor, patterns: Tensor, keep: Tensor) -> Tensor:
    """Sum of squared differences inside the mask, mean over the batch.

    Parameters
    ----------
    reconstruction, patterns
        (batch, 1, H, W).
    keep
        (H, W), 1 inside the mask.
    """
    return ((reconstruction - patterns).square() * keep).sum() / len(patterns)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of the latents' normal distribution from N(0, 1), mean over the batch.

    Kingma and Welling, Auto-Encoding Variational Bayes, appendix B.

    Parameters
    ----------
    mean, log_variance
        (batch, D).
    """
    return -0.5 * torch.sum(1 + log_variance - mean.square() - log_variance.exp()) / len(mean)


KL_FLOOR = 0.003  # share of the KL term's weight from the first step on: with none, latents grow without bound


def kl_share(config: VaeConfig, step: int, steps: int) -> float:
    """Share of the KL term's weight: as a square from almost 0 to 1.

    Parameters
    ----------
    config
        States how long it grows.
    step, steps
        Optimiser steps done, and of the whole run.
    """
    warmup = config.kl_warmup * steps
    return max(KL_FLOOR, (step / warmup) ** 2) if step < warmup else 1.0
