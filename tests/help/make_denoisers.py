"""Tiny real denoisers: a small U-Net of random weights, exported as any other, with its spec."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from made_once import made_once
from onnx import ModelProto
from torch import nn

from microrun.export.graph import save_model
from microrun.export.step_graph import trace_step
from microrun.runtime.conditions import GRAIN_VOXELS, Condition
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import UnetConfig, entering_channels

TINY = UnetConfig(dims=3, channels=(8, 16), blocks=1, attention_levels=(0,), head_size=4, groups=4, patch=2)
SIDE = 8
COLOUR_CHANNELS = 4  # bits of 16 colours
SCHEDULE = Schedule(training_steps=24)


def a_unet(config: UnetConfig = TINY) -> UNet:
    """A network of random weights, also where a new one has zeros; its blocks and its output keep their scale."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet(config).eval()
        for parameter in unet.parameters():
            if not parameter.any() and parameter.dim() > 1:
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return unet


def denoiser_spec(side: int = SIDE) -> ModelSpec:
    """Spec that fits the graph below, or one of other sides."""
    return ModelSpec("tiny", "denoiser", diffusion=Diffusion((1, side, side, side), SCHEDULE, n_colours=4))


def traced(
    unet: UNet, sides: tuple[int, ...], schedule: Schedule, precision: Literal["f32", "f16"] = "f16"
) -> ModelProto:
    """What `trace_step` makes of the same network, weights and all, traced once for all tests."""
    known = hashlib.sha256(repr((unet.config, sides, schedule, precision)).encode())
    for name, values in unet.state_dict().items():
        known.update(name.encode() + values.numpy().tobytes())
    raw = made_once(
        f"{known.hexdigest()}.onnx", lambda: trace_step(unet, sides, schedule, precision).SerializeToString()
    )
    return ModelProto.FromString(raw)


@cache
def denoiser_graph() -> ModelProto:
    """Step of samples whose sides are `SIDE`."""
    return traced(a_unet(), (SIDE, SIDE, SIDE), SCHEDULE, "f32")


def write_denoiser(path: Path, spec: ModelSpec | None = None) -> Path:
    """Write a denoiser with the spec that fits, or another one."""
    save_model(denoiser_graph(), spec or denoiser_spec(), path)
    return path


@cache
def block_graph(channels: int, known_inputs: bool = False, told: int = 0) -> ModelProto:
    """Step of samples whose sides are those of a block, milliseconds each."""
    return traced(a_unet(block_unet(channels, known_inputs, told)), (BLOCK, BLOCK, BLOCK), SCHEDULE, "f32")


def block_unet(channels: int, known_inputs: bool, told: int = 0) -> UnetConfig:
    """Its network."""
    entering = entering_channels(channels, known_inputs)
    return UnetConfig(3, (8, 8), entering, channels, blocks=1, head_size=4, groups=4, patch=4, condition_size=told)


def write_block_denoiser(
    path: Path,
    coloured: bool = True,
    grain_voxels: float | None = None,
    known_inputs: bool = False,
    sizes: tuple[float, float] | None = None,
) -> Path:
    """Write a denoiser that draws blocks: in 16 colours as bits, or of values; of grains of any of these sizes."""
    channels, n_colours = (COLOUR_CHANNELS, 1 << COLOUR_CHANNELS) if coloured else (1, 0)
    shape = (channels, BLOCK, BLOCK, BLOCK)
    told = () if sizes is None else (Condition(GRAIN_VOXELS, *sizes),)
    diffusion = Diffusion(shape, SCHEDULE, n_colours, told, grain_voxels=grain_voxels, known_inputs=known_inputs)
    save_model(
        block_graph(channels, known_inputs, len(told)), ModelSpec("tiny-blocks", "denoiser", diffusion=diffusion), path
    )
    return path


# Sections of 10×10 cells, whose sides are odd at the second level.
SECTION_SIDE = 10
TINY_SECTIONS = UnetConfig(
    dims=2, channels=(8, 16), in_channels=5, out_channels=5, blocks=1, head_size=4, groups=4, patch=2, detail=4,
    condition_size=2,
)  # fmt: skip
SECTION_SCHEDULE = Schedule(24, zero_terminal_snr=True, prediction="bits")
WINDOW = (Condition("power_w", 100, 200), Condition("speed_m_s", 0.5, 1.0))
SECTIONS = Diffusion((5, SECTION_SIDE, SECTION_SIDE), SECTION_SCHEDULE, 20, WINDOW, "across", 2.0)


@cache
def section_graph() -> ModelProto:
    """Step of sections under a condition."""
    return traced(a_unet(TINY_SECTIONS), SECTIONS.sides, SECTION_SCHEDULE, "f32")


def write_section_denoiser(path: Path) -> Path:
    """Write a denoiser of sections."""
    save_model(section_graph(), ModelSpec("tiny-sections", "denoiser", diffusion=SECTIONS), path)
    return path
