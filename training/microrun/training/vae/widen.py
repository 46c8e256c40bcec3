"""Start a wide autoencoder from a trained one of half the latent size, in the spirit of Net2Net.

A wide network needs hours before it leaves the plateau of its first steps; a narrow one leaves it in minutes.
T. Chen, I. Goodfellow, J. Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from microrun.training.vae.network import VAE

SYMMETRY_NOISE = 0.1  # relative: copies of a channel must not stay copies
NEW_LATENTS = 0.1  # share of the usual initial weights: new latents begin with little influence


@torch.no_grad()
def widen(trained: VAE, seed: int) -> VAE:
    """Double the latent size.

    Parameters
    ----------
    trained
        With latent size D.
    seed
        Of the noise that tells the copies of a channel apart, and of the new latents.

    Returns
    -------
    VAE
        With latent size 2·D. Every channel is there twice, each with half the outgoing weights; the first D
        latents are the old ones, the others are new.
    """
    size = trained.encoder.head.out_features // 2
    torch.manual_seed(seed)
    wide = VAE(2 * size, trained.encoder.standardise.mean.item(), trained.encoder.standardise.std.item())
    for old, new in zip(_convolutions(trained), _convolutions(wide), strict=True):
        inputs = 0 if isinstance(old, nn.ConvTranspose2d) else 1
        assert old.bias is not None and new.bias is not None
        new.weight.copy_(_copies(old.weight, new.weight.shape, inputs))
        new.bias.copy_(old.bias.repeat(len(new.bias) // len(old.bias)))
    _widen_latents(trained, wide, size)
    return wide


def _widen_latents(trained: VAE, wide: VAE, size: int) -> None:
    """Heads: old latents keep their meaning, new ones start small."""
    old, new = trained.encoder.head, wide.encoder.head
    new.weight.mul_(NEW_LATENTS)
    for first, part in ((0, slice(0, size)), (2 * size, slice(size, 2 * size))):  # means, log-variances
        new.weight[first : first + size] = _copies(old.weight[part], (size, 4 * size), 1)
        new.bias[first : first + size] = old.bias[part]
    old, new = trained.decoder.head, wide.decoder.head
    new.weight[:, size:].mul_(NEW_LATENTS)
    new.weight[:, :size] = old.weight.repeat(2, 1)  # one row a channel and pixel: copies of channels
    new.bias.copy_(old.bias.repeat(2))


def _convolutions(model: VAE) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]


def _copies(weight: Tensor, shape: tuple[int, ...], inputs: int) -> Tensor:
    """Repeat channels, share what goes out between the copies, and add noise."""
    times = [new // old for old, new in zip(weight.shape, shape, strict=True)]
    repeated = weight.repeat(times) / times[inputs]
    return repeated * (1 + SYMMETRY_NOISE * torch.randn(repeated.shape))
