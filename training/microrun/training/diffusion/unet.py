"""One U-Net for images and volumes: it estimates the noise in its input at a timestep.

Residual blocks with group normalisation, attention where it is asked for and between the way down and the way up,
as in diffusers' `UNet2DModel` (Ho et al., Denoising Diffusion Probabilistic Models), which it equals in two
dimensions. Volumes have eight times the voxels per level: a network for them works on patches. A level with an odd
side rounds half of it up on the way down; on the way up the last place is left out again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from microrun.training.diffusion.layers import (
    CONVS,
    Attention,
    FourierFeatures,
    ResidualBlock,
    Sinusoid,
    Upsample,
    gather_patches,
    perceptron,
    spread_patches,
    zeroed,
)
from microrun.training.diffusion.unet_config import UnetConfig


class DownLevel(nn.Module):
    """A level on the way down, whose results are kept for the way up."""

    def __init__(self, config: UnetConfig, level: int) -> None:
        super().__init__()
        channels = config.channels[level]
        entering = [config.channels[max(level - 1, 0)]] + [channels] * (config.blocks - 1)
        self.blocks = nn.ModuleList(ResidualBlock(config, number, channels) for number in entering)
        self.attentions = _attentions(config, level, config.blocks)
        last = level == len(config.channels) - 1
        self.resample = None if last else CONVS[config.dims](channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, embedding: Tensor, kept: list[Tensor]) -> Tensor:
        """Append every result to `kept`; the last one is returned, too."""
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            x = attention(block(x, embedding))
            kept.append(x)
        if self.resample is not None:
            x = self.resample(x)
            kept.append(x)
        return x


class Middle(nn.Module):
    """Between the way down and the way up: attention between two blocks."""

    def __init__(self, config: UnetConfig) -> None:
        super().__init__()
        channels = config.channels[-1]
        self.first = ResidualBlock(config, channels, channels)
        self.attention = Attention(config, channels)
        self.second = ResidualBlock(config, channels, channels)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map (batch, channels, …) to the same shape."""
        result: Tensor = self.second(self.attention(self.first(x, embedding)), embedding)
        return result


class UpLevel(nn.Module):
    """A level on the way up; each of its blocks takes one result of the way down, the latest first."""

    def __init__(self, config: UnetConfig, level: int) -> None:
        super().__init__()
        channels, deepest = config.channels[level], len(config.channels) - 1
        entering = [config.channels[min(level + 1, deepest)]] + [channels] * config.blocks
        kept = [channels] * config.blocks + [config.channels[max(level - 1, 0)]]
        widths = [sum(pair) for pair in zip(entering, kept, strict=True)]
        self.blocks = nn.ModuleList(ResidualBlock(config, width, channels) for width in widths)
        self.attentions = _attentions(config, level, config.blocks + 1)
        self.resample = Upsample(config.dims, channels) if level else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor, kept: list[Tensor]) -> Tensor:
        """Take as many results from the end of `kept` as there are blocks."""
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            x = attention(block(torch.cat((_cut(x, kept[-1]), kept.pop()), dim=1), embedding))
        result: Tensor = self.resample(x)
        return result


class Detail(nn.Module):
    """What comes out at every place, from what the levels say of it and from the input around it."""

    def __init__(self, config: UnetConfig) -> None:
        super().__init__()
        conv = CONVS[config.dims]
        self.mix = conv(config.detail + config.in_channels, config.detail, 3, padding=1)
        self.head = zeroed(conv(config.detail, config.out_channels, 3, padding=1))

    def forward(self, found: Tensor, x: Tensor) -> Tensor:
        """Map (batch, detail, …) and (batch, in_channels, …) to (batch, out_channels, …)."""
        result: Tensor = self.head(functional.silu(self.mix(torch.cat((found, x), dim=1))))
        return result


class UNet(nn.Module):
    """The network. A new one returns zeros, and its blocks pass on what they get.

    Parameters
    ----------
    config
        Its shape.
    """

    def __init__(self, config: UnetConfig) -> None:
        super().__init__()
        self.config = config
        conv, first, volume = CONVS[config.dims], config.channels[0], config.patch**config.dims
        levels = range(len(config.channels))
        self.sinusoid = Sinusoid(first)
        self.time = perceptron(first, config.embedding_size)
        self.features = FourierFeatures(config.condition_size, first) if _has_features(config) else nn.Identity()
        entering = first if _has_features(config) else config.condition_size
        self.condition = perceptron(entering, config.embedding_size) if config.condition_size else None
        self.stem = conv(volume * config.in_channels, first, 3, padding=1)
        self.down = nn.ModuleList(DownLevel(config, level) for level in levels)
        self.middle = Middle(config)
        self.up = nn.ModuleList(UpLevel(config, level) for level in reversed(levels))
        self.norm = nn.GroupNorm(config.groups, first)
        head = conv(first, volume * (config.detail or config.out_channels), 3, padding=1)
        self.head = head if config.detail else zeroed(head)
        self.detail = Detail(config) if config.detail else None

    def forward(self, x: Tensor, timestep: Tensor, condition: Tensor | None = None) -> Tensor:
        """Estimate.

        Parameters
        ----------
        x
            (batch, in_channels, height, width) or (batch, in_channels, depth, height, width).
        timestep
            (batch,) from 0, float or integer.
        condition
            (batch, condition_size), for a network that has one.

        Returns
        -------
        (batch, out_channels, …)

        Raises
        ------
        ValueError
            If a side is not a multiple of the config's, or the condition is missing or too much.
        """
        self.config.check_sides(x.shape[2:])
        embedding = functional.silu(self._embed(self.sinusoid(timestep).to(x.dtype), condition))
        found = self.stem(gather_patches(x, self.config.patch))
        kept = [found]
        for level in self.down:
            found = level(found, embedding, kept)
        found = self.middle(found, embedding)
        for level in self.up:
            found = level(found, embedding, kept)
        found = spread_patches(self.head(functional.silu(self.norm(found))), self.config.patch)
        return found if self.detail is None else self.detail(found, x)

    def _embed(self, features: Tensor, condition: Tensor | None) -> Tensor:
        embedding: Tensor = self.time(features)
        if (self.condition is None) != (condition is None):
            raise ValueError(f"expected {self.config.condition_size or 'no'} numbers as the condition of a sample")
        if self.condition is not None and condition is not None:
            embedding = embedding + self.condition(self.features(condition).to(features.dtype))
        return embedding


def _has_features(config: UnetConfig) -> bool:
    return config.condition_size > 0 and config.condition_embedding == "fourier"


def _cut(x: Tensor, kept: Tensor) -> Tensor:
    """The first places of x along every axis, as many as what was kept has."""
    for axis, side in enumerate(kept.shape[2:], 2):
        if x.shape[axis] != side:
            x = x.narrow(axis, 0, side)
    return x


def _attentions(config: UnetConfig, level: int, count: int) -> nn.ModuleList:
    wanted = level in config.attention_levels
    return nn.ModuleList(Attention(config, config.channels[level]) if wanted else nn.Identity() for _ in range(count))
