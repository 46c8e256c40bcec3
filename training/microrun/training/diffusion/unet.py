"""One U-Net for images and volumes: it estimates the noise in its input at a timestep.

Residual blocks with group normalisation, attention where it is asked for and between the way down and the way up,
as in diffusers' `UNet2DModel` (Ho et al., Denoising Diffusion Probabilistic Models), which it equals in two
dimensions. Volumes have eight times the voxels per level: a network for them works on patches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CONVS: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
LONGEST_PERIOD = 10_000  # of the sinusoids, in timesteps over 2π


@dataclass(frozen=True)
class UnetConfig:
    """Shape of a network.

    Parameters
    ----------
    dims
        2 for images, 3 for volumes.
    channels
        Of each level, the finest first; each level halves the sides of the one before.
    in_channels, out_channels
        Of what goes in and comes out.
    blocks
        Residual blocks of a level on the way down; there is one more on the way up.
    attention_levels
        Levels whose blocks are followed by attention, 0 the finest.
    head_size
        Channels of an attention head.
    groups
        Of the normalisation.
    patch
        Side of the patches that become channels at once: 2 halves the sides before the first level.
    condition_size
        Numbers that a sample is conditioned on, near 0 to 1 each; 0 without.

    Raises
    ------
    ValueError
        For a network that cannot be.
    """

    dims: int
    channels: tuple[int, ...]
    in_channels: int = 1
    out_channels: int = 1
    blocks: int = 2
    attention_levels: tuple[int, ...] = ()
    head_size: int = 8
    groups: int = 32
    patch: int = 1
    condition_size: int = 0

    def __post_init__(self) -> None:
        if self.dims not in CONVS:
            raise ValueError(f"dims must be 2 or 3; got {self.dims}")
        if not self.channels or min(self.in_channels, self.out_channels, self.blocks, self.patch) < 1:
            raise ValueError("a network needs at least one level, block, and channel in and out, and patches of 1 up")
        if self.condition_size < 0:
            raise ValueError(f"condition_size must not be negative; got {self.condition_size}")
        deepest = len(self.channels) - 1
        if not set(self.attention_levels) <= set(range(deepest + 1)):
            raise ValueError(f"attention_levels must be from 0 to {deepest}; got {self.attention_levels}")
        if any(number < 1 or number % self.groups or number % 2 for number in self.channels):
            raise ValueError(f"channels must be even multiples of the {self.groups} groups; got {self.channels}")
        if any(self.channels[level] % self.head_size for level in (*self.attention_levels, deepest)):
            raise ValueError(f"channels under attention must be multiples of head_size {self.head_size}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> UnetConfig:
        """Read what `dataclasses.asdict` and JSON made; TypeError, KeyError or ValueError if it is something else."""
        levels = {name: tuple(values[name]) for name in ("channels", "attention_levels")}
        return cls(**{**values, **levels})

    @property
    def embedding_size(self) -> int:
        """Numbers that tell the residual blocks the timestep and the condition."""
        return 4 * self.channels[0]

    @property
    def reduction(self) -> int:
        """How many times shorter the sides are at the deepest level than those of a sample."""
        return self.patch << len(self.channels) - 1

    def check_sides(self, sides: tuple[int, ...]) -> None:
        """Raise ValueError for sides of samples that cannot be halved as often as the levels ask for."""
        if len(sides) != self.dims or any(side % self.reduction for side in sides):
            raise ValueError(f"expected {self.dims} sides that are multiples of {self.reduction}; got {tuple(sides)}")


# For blocks of 32³ voxels whose grains have 128 colours, as bits.
GRAIN_UNET = UnetConfig(
    dims=3, channels=(48, 64, 64), in_channels=7, out_channels=7, blocks=1, head_size=32, groups=8, patch=2
)


class Sinusoid(nn.Module):
    """Timesteps as cosines and sines of many periods.

    Parameters
    ----------
    size
        Numbers per timestep, even.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, timestep: Tensor) -> Tensor:
        """Map (batch,) to (batch, size) float32: phases are exact in no smaller type."""
        half = self.size // 2
        steps = torch.arange(half, dtype=torch.float32, device=timestep.device)
        phases = timestep[:, None].float() * torch.exp(-math.log(LONGEST_PERIOD) * steps / half)
        return torch.cat((phases.cos(), phases.sin()), dim=1)


class ResidualBlock(nn.Module):
    """Two convolutions of 3 taps a side, shifted by the embedding between them, around which the input passes."""

    def __init__(self, config: UnetConfig, channels: int, out_channels: int) -> None:
        super().__init__()
        conv = CONVS[config.dims]
        self.norm1 = nn.GroupNorm(config.groups, channels)
        self.conv1 = conv(channels, out_channels, 3, padding=1)
        self.shift = nn.Linear(config.embedding_size, out_channels)
        self.norm2 = nn.GroupNorm(config.groups, out_channels)
        self.conv2 = _zeroed(conv(out_channels, out_channels, 3, padding=1))
        self.shortcut = conv(channels, out_channels, 1) if channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map (batch, channels, …) and (batch, embedding_size) to (batch, out_channels, …)."""
        shift = self.shift(embedding)
        inner = self.conv1(functional.silu(self.norm1(x))) + shift.reshape(*shift.shape, *(1 for _ in x.shape[2:]))
        added: Tensor = self.shortcut(x) + self.conv2(functional.silu(self.norm2(inner)))
        return added


class DotProduct(nn.Module):
    """Scaled dot-product attention, by PyTorch's fused kernels."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Map three (batch, heads, places, head_size) to one."""
        return functional.scaled_dot_product_attention(query, key, value)


class Attention(nn.Module):
    """Every place looks at all others; added to the input."""

    def __init__(self, config: UnetConfig, channels: int) -> None:
        super().__init__()
        conv = CONVS[config.dims]
        self.heads = channels // config.head_size
        self.norm = nn.GroupNorm(config.groups, channels)
        self.qkv = conv(channels, 3 * channels, 1)
        self.attend = DotProduct()
        self.project = _zeroed(conv(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, …) to the same shape."""
        query, key, value = (
            part.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)
            for part in self.qkv(self.norm(x)).chunk(3, dim=1)
        )
        found = self.attend(query, key, value).transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:])
        added: Tensor = x + self.project(found)
        return added


class Upsample(nn.Module):
    """Every place doubled along every axis, then a convolution of 3 taps a side.

    Computed as a transposed convolution of 4 taps, which sums the same with 8 of 27 products in a volume.
    """

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        self.transposed = TRANSPOSED[dims]
        self.conv = CONVS[dims](channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, …) to the same channels and twice the sides."""
        grown: Tensor = self.transposed(x, doubling_kernel(self.conv.weight), self.conv.bias, stride=2, padding=1)
        return grown


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
            x = attention(block(torch.cat((x, kept.pop()), dim=1), embedding))
        result: Tensor = self.resample(x)
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
        self.time = _perceptron(first, config.embedding_size)
        self.condition = _perceptron(config.condition_size, config.embedding_size) if config.condition_size else None
        self.stem = conv(volume * config.in_channels, first, 3, padding=1)
        self.down = nn.ModuleList(DownLevel(config, level) for level in levels)
        self.middle = Middle(config)
        self.up = nn.ModuleList(UpLevel(config, level) for level in reversed(levels))
        self.norm = nn.GroupNorm(config.groups, first)
        self.head = _zeroed(conv(first, volume * config.out_channels, 3, padding=1))

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
        x = self.stem(gather_patches(x, self.config.patch))
        kept = [x]
        for level in self.down:
            x = level(x, embedding, kept)
        x = self.middle(x, embedding)
        for level in self.up:
            x = level(x, embedding, kept)
        return spread_patches(self.head(functional.silu(self.norm(x))), self.config.patch)

    def _embed(self, features: Tensor, condition: Tensor | None) -> Tensor:
        embedding: Tensor = self.time(features)
        if (self.condition is None) != (condition is None):
            raise ValueError(f"expected {self.config.condition_size or 'no'} numbers as the condition of a sample")
        if self.condition is not None and condition is not None:
            embedding = embedding + self.condition(condition.to(features.dtype))
        return embedding


def gather_patches(x: Tensor, patch: int) -> Tensor:
    """Make patches channels: (batch, C, D, …) becomes (batch, C·patchⁿ, D/patch, …)."""
    if patch == 1:
        return x
    sides = [side // patch for side in x.shape[2:]]
    split = x.reshape(-1, *(part for side in sides for part in (side, patch)))
    places, inside = range(1, 2 * len(sides), 2), range(2, 2 * len(sides) + 1, 2)
    return split.permute(0, *inside, *places).reshape(-1, x.shape[1] * patch ** len(sides), *sides)


def spread_patches(x: Tensor, patch: int) -> Tensor:
    """Undo `gather_patches`."""
    if patch == 1:
        return x
    sides = x.shape[2:]
    dims = len(sides)
    split = x.reshape(-1, *([patch] * dims), *sides)
    order = (number for axis in range(1, dims + 1) for number in (dims + axis, axis))
    return split.permute(0, *order).reshape(-1, x.shape[1] // patch**dims, *(side * patch for side in sides))


def doubling_kernel(weight: Tensor) -> Tensor:
    """Kernel of the transposed convolution that equals doubling every place and then convolving.

    Parameters
    ----------
    weight
        (out, in, 3, …) of the convolution, padding 1.

    Returns
    -------
    (in, out, 4, …), for stride 2 and padding 1
    """
    axes = range(2, weight.dim())
    kernel = weight.transpose(0, 1).flip(tuple(axes))
    for axis in axes:
        nothing = torch.zeros_like(kernel.narrow(axis, 0, 1))
        kernel = torch.cat((kernel, nothing), axis) + torch.cat((nothing, kernel), axis)
    return kernel


def _attentions(config: UnetConfig, level: int, count: int) -> nn.ModuleList:
    wanted = level in config.attention_levels
    return nn.ModuleList(Attention(config, config.channels[level]) if wanted else nn.Identity() for _ in range(count))


def _perceptron(size: int, out_size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, out_size), nn.SiLU(), nn.Linear(out_size, out_size))


def _zeroed(conv: nn.Conv2d | nn.Conv3d) -> nn.Conv2d | nn.Conv3d:
    assert conv.bias is not None
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv
