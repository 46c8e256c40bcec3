"""Losses of the autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor


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
