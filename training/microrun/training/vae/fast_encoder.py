"""An encoder of few operations: what is left of the published one where patterns come faster than it can follow.

At large latent sizes the published network runs as fast as the machine multiplies matrices, so that only fewer
operations are faster. Here four by four pixels become channels at once, and kernels are small: a fifth of them.
"""

from __future__ import annotations

from torch import Tensor, nn

from microrun.training.vae.layers import SLOPE, Standardise

FOLD = 4  # pixels along an axis that become channels: 120 → 30
SIDE = 7  # of the last stage


class FastEncoder(nn.Module):
    """Patterns to the mean and log-variance of their latents, as `Encoder` gives them.

    Parameters
    ----------
    latent_size
        D. The convolutions have D, 2·D, 4·D and D channels.
    mean, std
        Mean and standard deviation of the pixels inside the mask.
    """

    def __init__(self, latent_size: int, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__()
        d = latent_size
        self.standardise = Standardise(mean, std)
        self.features = nn.Sequential(
            nn.PixelUnshuffle(FOLD),
            nn.Conv2d(FOLD * FOLD, d, 3),  # 30 → 28
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(d, 2 * d, 3, stride=2, padding=1),  # 28 → 14
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * d, 4 * d, 3, stride=2, padding=1),  # 14 → 7
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(4 * d, d, 1),  # most weights are those of the next layer: fewer channels for it
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(SIDE * SIDE * d, 2 * d),
            nn.LeakyReLU(SLOPE),
        )
        self.head = nn.Linear(2 * d, 2 * d)

    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        """Map (batch, 1, 120, 120) in [−1, 1] to mean and log-variance, (batch, D) each."""
        mean, log_variance = self.head(self.features(self.standardise(patterns))).chunk(2, dim=1)
        return mean, log_variance
