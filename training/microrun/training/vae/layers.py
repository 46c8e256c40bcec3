"""Layers that encoders and decoders share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOPE = 0.2  # of the LeakyReLU


class Shortcut(nn.Module):
    """A 9×9 convolution that keeps the size, added to its input: x + act(conv(x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 9, padding=4)
        self.act = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, h, w) to the same shape."""
        added: Tensor = x + self.act(self.conv(x))
        return added


class Standardise(nn.Module):
    """(x − mean)/std with fixed numbers: min-max scaled patterns are far from centred.

    An affine map before an unpadded convolution: the export folds it into the first layer's weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to the same shape."""
        return (x - self.mean) / self.std
