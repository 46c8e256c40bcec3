"""One step of sampling as one graph: the network, the update of what it denoises, and the blend with what is known.

    x' = a·known + b·noise          where the mask is 1
    x' = c·x + d·output + e·noise   elsewhere

with the network's output as the schedule says, or the x_0 that follows from it where it predicts bits.
Five coefficients per sample, from the host's float64, cover DDPM, DDIM and RePaint (whose forward and reverse steps
collapse into one normal number per voxel). A network that predicts v needs no more: as eps = √ᾱ·v + √(1 − ᾱ)·x, its
c is c + d·√(1 − ᾱ), and its d is d·√ᾱ. A network with known inputs sees `known` and the mask, too.
"""

from __future__ import annotations

import copy
from typing import Literal

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from microrun.export.graph import BATCH, HalfInside, trace_graph
from microrun.runtime.engines.ports import (
    COEFFICIENT_COUNT,
    COEFFICIENTS,
    CONDITION,
    KNOWN,
    MASK,
    NOISE,
    TIMESTEP,
    X_NEXT,
    X,
)
from microrun.runtime.schedule import Schedule
from microrun.training.diffusion.bits import BitOdds
from microrun.training.diffusion.layers import DotProduct, Sinusoid, show_known
from microrun.training.diffusion.unet import UNet

INPUTS = (X, KNOWN, MASK, NOISE, TIMESTEP, COEFFICIENTS)  # in the order that `Step` takes them; a condition comes last
TRACED = 2  # samples in the example that is traced: 1 would be taken for a constant


class FloatSoftmax(nn.Module):
    """Dot-product attention with its softmax in float32 between products in float16."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Map three (batch, heads, places, head_size) to one."""
        scale = query.shape[-1] ** -0.25  # of both, before they are multiplied: half overflows
        scores = (query * scale) @ (key * scale).transpose(2, 3)
        found: Tensor = scores.float().softmax(dim=-1).to(value.dtype) @ value
        return found


class GroupedNorm(nn.GroupNorm):
    """Group normalisation as the normalisation of what stands for a channel, a group.

    ONNX Runtime has no kernel for GroupNormalization of opset 21, and makes many nodes of it.

    Parameters
    ----------
    norm
        What it equals, and shares its weights with.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__(norm.num_groups, norm.num_channels, norm.eps)
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, …) to the same shape."""
        grouped = x.reshape(-1, self.num_groups, x.shape[1:].numel() // self.num_groups)
        normalised = functional.instance_norm(grouped, eps=self.eps).reshape(-1, *x.shape[1:])
        weight, bias = (values.reshape(-1, *(1 for _ in x.shape[2:])) for values in (self.weight, self.bias))
        return normalised * weight + bias


class SinusoidTable(nn.Module):
    """Sinusoids looked up: engines that compute in bf16 round timesteps, and their sines.

    Parameters
    ----------
    sinusoid
        What is tabulated.
    timesteps
        Their number, from 0.
    """

    table: Tensor

    def __init__(self, sinusoid: Sinusoid, timesteps: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoid(torch.arange(timesteps)))

    def forward(self, timestep: Tensor) -> Tensor:
        """Map (batch,) integers to (batch, size)."""
        return functional.embedding(timestep, self.table)


class Step(nn.Module):
    """Network, update and blend.

    Parameters
    ----------
    unet
        Of as many channels out as in, or with known inputs; it is copied.
    schedule
        That it was trained with.
    precision
        Of the network; normalisation, softmax, update and blend are in float32 in any case.
    """

    def __init__(self, unet: UNet, schedule: Schedule, precision: Literal["f32", "f16"] = "f16") -> None:
        super().__init__()
        exact = _replace(copy.deepcopy(unet), schedule.training_steps).eval()
        self.odds = BitOdds(schedule) if schedule.prediction == "bits" else None
        self.known_inputs = unet.config.known_inputs
        self.unet = HalfInside(exact).model if precision == "f16" else exact
        self.dtype = torch.float16 if precision == "f16" else torch.float32

    def forward(
        self, x: Tensor, known: Tensor, mask: Tensor, noise: Tensor, timestep: Tensor, coefficients: Tensor,
        *condition: Tensor,
    ) -> Tensor:  # fmt: skip
        """Make the next x.

        Parameters
        ----------
        x, known, mask, noise
            (batch, channels, …) float32; the mask is 1 where `known` holds and 0 elsewhere.
        timestep
            (batch,) int32.
        coefficients
            (batch, 5) float32: a, b, c, d, e.
        condition
            (batch, condition_size) float32, for a network that has one.

        Returns
        -------
        (batch, channels, …) float32
        """
        seen = show_known(x, known, mask[:, :1] > 0.5) if self.known_inputs else x
        output = self.unet(seen.to(self.dtype), timestep, *condition).float()
        if self.odds is not None:
            output = torch.tanh(self.odds(output, x, timestep))
        a, b, c, d, e = coefficients.reshape(-1, COEFFICIENT_COUNT, *(1 for _ in x.shape[1:])).unbind(1)
        # A choice and no sum: what is known comes out to the last bit, whatever the network says there.
        return torch.where(mask > 0.5, a * known + b * noise, c * x + d * output + e * noise)


def _replace(model: nn.Module, timesteps: int) -> nn.Module:
    for name, child in model.named_children():
        if isinstance(child, Sinusoid):
            setattr(model, name, SinusoidTable(child, timesteps))
        elif isinstance(child, DotProduct):
            setattr(model, name, FloatSoftmax())
        elif isinstance(child, nn.GroupNorm):
            setattr(model, name, GroupedNorm(child))
        else:
            _replace(child, timesteps)
    return model


def trace_step(
    unet: UNet, sides: tuple[int, ...], schedule: Schedule, precision: Literal["f32", "f16"] = "f16"
) -> onnx.ModelProto:
    """Make the graph: opset 21, dynamic batch, no paths of source files inside.

    Parameters
    ----------
    unet
        The network.
    sides
        Of the samples, such as (32, 32, 32).
    schedule
        That it was trained with.
    precision
        Of the network.

    Returns
    -------
    onnx.ModelProto
        Inputs and output are named as `microrun.runtime.engines.ports` says.

    Raises
    ------
    ValueError
        If the network cannot take samples of these sides, or gives other channels than it takes and those are not
        known inputs.
    """
    config = unet.config
    if config.in_channels != config.out_channels and not config.known_inputs:
        raise ValueError(f"a step needs as many channels out as in; got {config.out_channels}, {config.in_channels}")
    config.check_sides(sides)
    # Tensors of their own: the exporter takes one that comes twice for one input.
    samples = [torch.zeros(TRACED, config.out_channels, *sides) for _ in range(4)]
    timestep, coefficients = torch.zeros(TRACED, dtype=torch.int32), torch.zeros(TRACED, COEFFICIENT_COUNT)
    examples = dict(zip(INPUTS, (*samples, timestep, coefficients), strict=True))
    if config.condition_size:
        examples[CONDITION] = torch.zeros(TRACED, config.condition_size)
    batch = {0: BATCH}
    shapes: list[object] = [batch] * len(INPUTS) + ([(batch,)] if config.condition_size else [])
    return trace_graph(Step(unet, schedule, precision), examples, X_NEXT, tuple(shapes))
