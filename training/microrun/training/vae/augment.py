"""Augmented views of patterns: worse cameras and other exposures, of the same crystal.

Only the brightness of pixels changes. Crops, shifts, rotations, cut-outs and blur would change the orientation or
the sharpness that the latents are to tell (Calvat et al.).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from microrun.training.vae.config import Contrastive


@dataclass(frozen=True)
class Draw:
    """The random numbers of one view of each pattern of a batch.

    Parameters
    ----------
    gamma
        (n, 1, 1, 1) exponents of the brightness; 1 leaves a pattern as it is.
    noise
        (n, 1, 1, 1) standard deviations of the Gaussian noise.
    salt_and_pepper
        (n, 1, 1, 1) shares of the pixels.
    normal, uniform
        (n, 1, H, W) normal numbers, and uniform ones in [0, 1).
    """

    gamma: Tensor
    noise: Tensor
    salt_and_pepper: Tensor
    normal: Tensor
    uniform: Tensor

    def part(self, rows: slice) -> Draw:
        """Take those of some patterns of the batch."""
        strengths = (self.gamma[rows], self.noise[rows], self.salt_and_pepper[rows])
        return Draw(*strengths, self.normal[rows], self.uniform[rows])


def draw_view(limits: Contrastive, shape: tuple[int, int, int, int], generator: torch.Generator) -> Draw:
    """Draw for each pattern which augmentations it gets, each with probability ½, and how strong they are.

    Parameters
    ----------
    limits
        The strongest augmentations; strengths are uniform up to them, those of gamma in the logarithm.
    shape
        (n, 1, H, W).
    generator
        On the device of the patterns.
    """
    device = generator.device
    strengths = torch.rand(6, shape[0], 1, 1, 1, generator=generator, device=device)
    used, strength = (strengths[:3] < 0.5).float(), strengths[3:]
    return Draw(
        gamma=torch.exp(used[0] * math.log(limits.gamma) * (2 * strength[0] - 1)),
        noise=used[1] * limits.noise * strength[1],
        salt_and_pepper=used[2] * limits.salt_and_pepper * strength[2],
        normal=torch.randn(shape, generator=generator, device=device),
        uniform=torch.rand(shape, generator=generator, device=device),
    )


def augment(patterns: Tensor, keep: Tensor, draw: Draw) -> Tensor:
    """Apply gamma, then noise, then salt and pepper: as light, camera and defective pixels come.

    Parameters
    ----------
    patterns
        (n, 1, H, W) float32, in [−1, 1] inside the mask.
    keep
        (H, W) float32, 1 inside the mask.
    draw
        Of the n patterns.

    Returns
    -------
    (n, 1, H, W) float32
        In [−1, 1] inside the mask, each stretched to it again, 0 outside.
    """
    views = apply_gamma(patterns, draw.gamma) + draw.noise * draw.normal
    return add_salt_and_pepper(stretch(views, keep), draw.salt_and_pepper, draw.uniform) * keep


def apply_gamma(patterns: Tensor, gamma: Tensor) -> Tensor:
    """Raise the brightness, as a number from 0 to 1, to a power; order and range stay.

    Parameters
    ----------
    patterns
        (n, 1, H, W) in [−1, 1].
    gamma
        (n, 1, 1, 1) positive.
    """
    return 2 * (0.5 * (patterns + 1)).clamp(0, 1) ** gamma - 1


def stretch(patterns: Tensor, keep: Tensor) -> Tensor:
    """Scale each pattern to [−1, 1] inside the mask, as preprocessing does; outside it becomes 0.

    Parameters
    ----------
    patterns
        (n, 1, H, W), none constant inside the mask.
    keep
        (H, W), 1 inside the mask.
    """
    inside = keep > 0
    low = patterns.masked_fill(~inside, math.inf).amin(dim=(2, 3), keepdim=True)
    high = patterns.masked_fill(~inside, -math.inf).amax(dim=(2, 3), keepdim=True)
    return (2 * (patterns - low) / (high - low) - 1) * keep


def add_salt_and_pepper(patterns: Tensor, share: Tensor, uniform: Tensor) -> Tensor:
    """Make a share of the pixels as bright or as dark as patterns get, half of them each.

    Parameters
    ----------
    patterns
        (n, 1, H, W).
    share
        (n, 1, 1, 1) from 0 to 1.
    uniform
        (n, 1, H, W) uniform numbers in [0, 1) that choose the pixels.
    """
    darkened = torch.where(uniform < 0.5 * share, -1.0, patterns)
    return torch.where(uniform > 1 - 0.5 * share, 1.0, darkened)
