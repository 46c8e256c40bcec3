"""Layers of a U-Net, for images and for volumes alike."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from microrun.training.diffusion.unet_config import UnetConfig

CONVS: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
LONGEST_PERIOD = 10_000  # of the sinusoids, in timesteps over 2π
FOURIER_SCALE = 0.3  # standard deviation of frequencies, per unit of the condition: 30, as published, hashes it


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


class FourierFeatures(nn.Module):
    """Cosines and sines of random projections, drawn once and kept with the weights.

    Parameters
    ----------
    count
        Numbers projected.
    size
        Cosines and sines together, even.
    """

    frequencies: Tensor

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", FOURIER_SCALE * torch.randn(count, size // 2))

    def forward(self, numbers: Tensor) -> Tensor:
        """Map (batch, count) to (batch, size) float32."""
        phases = 2 * math.pi * numbers.float() @ self.frequencies.float()
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
        self.conv2 = zeroed(conv(out_channels, out_channels, 3, padding=1))
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
        self.project = zeroed(conv(channels, channels, 1))

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


def gather_patches(x: Tensor, patch: int) -> Tensor:
    """Make patches channels.

    Parameters
    ----------
    x
        (batch, C, …), whose n sides are multiples of the patch's.
    patch
        Side of a patch.

    Returns
    -------
    (batch, C·patchⁿ, …)
        With sides as many times shorter.
    """
    if patch == 1:
        return x
    sides = [side // patch for side in x.shape[2:]]
    split = x.reshape(-1, *(part for side in sides for part in (side, patch)))
    places, inside = range(1, 2 * len(sides), 2), range(2, 2 * len(sides) + 1, 2)
    return split.permute(0, *inside, *places).reshape(-1, x.shape[1] * patch ** len(sides), *sides)


def spread_patches(x: Tensor, patch: int) -> Tensor:
    """Undo `gather_patches`: (batch, C·patchⁿ, …) becomes (batch, C, …), with sides as many times longer."""
    if patch == 1:
        return x
    sides = x.shape[2:]
    dims = len(sides)
    split = x.reshape(-1, *([patch] * dims), *sides)
    order = (number for axis in range(1, dims + 1) for number in (dims + axis, axis))
    return split.permute(0, *order).reshape(-1, x.shape[1] // patch**dims, *(side * patch for side in sides))


def show_known(x: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    """Make what a network with known inputs sees.

    Known voxels are clean among the noised ones, at a noise level of their own, 0, as in TD-Paint (arXiv:2410.09306);
    the mask says which those are. Their values come once more in channels of their own, where noise hides nothing.

    Parameters
    ----------
    x, known
        (batch, C, …): the sample on its way, and what is known of it, anything elsewhere.
    mask
        (batch, 1, …) bool, True where a voxel is known.

    Returns
    -------
    (batch, 2C + 1, …)
        x with known voxels in place, known voxels alone, and the mask.
    """
    given = torch.where(mask, known, torch.zeros_like(known))
    return torch.cat((torch.where(mask, known, x), given, mask.to(x.dtype)), dim=1)


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


def perceptron(size: int, out_size: int) -> nn.Sequential:
    """Two linear layers: (batch, size) to (batch, out_size)."""
    return nn.Sequential(nn.Linear(size, out_size), nn.SiLU(), nn.Linear(out_size, out_size))


def zeroed(conv: nn.Conv2d | nn.Conv3d) -> nn.Conv2d | nn.Conv3d:
    """Let a convolution begin with zeros, so that what it is added to passes on; it is changed, and returned."""
    assert conv.bias is not None
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv
