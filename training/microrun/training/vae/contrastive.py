"""The contrastive variant: views of one pattern shall be alike, those of different patterns not."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from microrun.training.vae.layers import SLOPE
from microrun.training.vae.network import VAE


class Projection(nn.Module):
    """Latents to the space in which they are compared; dropped at the export.

    Chen et al., A simple framework for contrastive learning of visual representations (SimCLR), section 2.1:
    the latents keep more when a small network stands between them and the loss.

    Parameters
    ----------
    latent_size
        D.
    """

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_size, 2 * latent_size), nn.LeakyReLU(SLOPE), nn.Linear(2 * latent_size, latent_size)
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Map (batch, D) to the same shape."""
        projected: Tensor = self.layers(latents)
        return projected


class Network(nn.Module):
    """All that is trained: the autoencoder and, in the contrastive variant, the projection of its latents.

    Parameters
    ----------
    vae, projection
        Without a projection, nothing is projected.
    """

    def __init__(self, vae: VAE, projection: Projection | None) -> None:
        super().__init__()
        self.vae, self.projection = vae, projection

    def forward(self, views: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Map as `VAE` does; the mean is projected, too."""
        reconstruction, mean, log_variance = self.vae(views, eps)
        return reconstruction, mean, log_variance, self.projection(mean) if self.projection else None


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised, temperature-scaled cross-entropy of finding a view's partner among all other views.

    Chen et al. (SimCLR), equation 1.

    Parameters
    ----------
    first, second
        (n, D) projected latents of the two views; rows of the same number are partners.
    temperature
        That cosines are divided by.

    Returns
    -------
    Tensor
        Scalar, in nats, mean over the 2·n views; log(2·n − 1) when nothing is told apart.
    """
    views = functional.normalize(torch.cat([first, second]), dim=1)
    likeness = views @ views.T / temperature
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return functional.cross_entropy(likeness.masked_fill(itself, -torch.inf), partner)
