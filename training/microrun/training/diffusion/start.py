"""Starting from a denoiser that was trained before: what fits, and which weights stay as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.training.diffusion.checkpoint import load_denoiser
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.loop.checkpoint import find_checkpoint

HASH_DIGITS = 12
FINE_TUNING_RATE = 2e-4  # of Adam, unless another is asked for


@dataclass(frozen=True, eq=False)
class Start:
    """A denoiser to begin from.

    Parameters
    ----------
    path
        Its file.
    unet, spec
        What is in it.
    """

    path: Path
    unet: UNet
    spec: ModelSpec

    @property
    def diffusion(self) -> Diffusion:
        """What it draws."""
        assert self.spec.diffusion is not None
        return self.spec.diffusion

    @property
    def origin(self) -> str:
        """What it is, for a reader of what is trained from it."""
        digest = hash_file(self.path)[:HASH_DIGITS]
        return f"{self.spec.name} (sha256 {digest}; trained on: {self.spec.training.data or 'not stated'})"

    def check(self, wanted: Diffusion) -> None:
        """Refuse to train for other samples than it draws.

        Parameters
        ----------
        wanted
            What shall be drawn, its window aside: the sections must lie within that of the model.

        Raises
        ------
        MicrorunError
            That says what differs.
        """
        mine = self.diffusion
        pairs = {
            "samples": (_plane(mine), _plane(wanted)),
            "cells": (f"{mine.step_um:g} µm", f"{wanted.step_um:g} µm"),
            "sides": (_times(mine.sides), _times(wanted.sides)),
            "representation": (_representation(mine), _representation(wanted)),
        }
        for name, (found, asked) in pairs.items():
            if found != asked:
                raise MicrorunError(f"{self.path}: its {name} are {found}, not {asked}; begin from another model")


def read_start(path: Path) -> Start:
    """Read a denoiser to begin from.

    Parameters
    ----------
    path
        A .safetensors file, the folder of a run, or the name of a built-in model.

    Raises
    ------
    SpecError
        If it is no checkpoint of a denoiser.
    """
    file = find_checkpoint(path)
    return Start(file, *load_denoiser(file))


def widen(unet: UNet, config: UnetConfig) -> UNet:
    """Give a network inputs for what is known, or a condition; while new weights are zeros it computes what it did.

    Parameters
    ----------
    unet
        Stays as it is.
    config
        Of the new network: that of the old one, or with as many more channels in as known inputs take, or a condition
        where there was none.

    Raises
    ------
    MicrorunError
        If it is the shape of another network.
    """
    old = unet.config
    fits = config.in_channels >= old.in_channels and old.condition_size in (0, config.condition_size)
    if not fits or config != replace(old, in_channels=config.in_channels, condition_size=config.condition_size):
        raise MicrorunError(f"a network of the shape {old} cannot become one of {config}")
    made, weights = UNet(config), unet.state_dict()
    if made.condition is not None and not old.condition_size:
        for parameter in made.condition[-1].parameters():
            nn.init.zeros_(parameter)
        weights |= {f"condition.{name}": value for name, value in made.condition.state_dict().items()}
    for name, wanted in made.state_dict().items():
        missing = wanted.shape[1] - weights[name].shape[1] if wanted.dim() > 1 else 0
        if missing:  # the stem's, and those of a last layer that sees the input: what is new comes last in both
            zeros = wanted.new_zeros(wanted.shape[0], missing, *wanted.shape[2:])
            weights[name] = torch.cat((weights[name], zeros), dim=1)
    made.load_state_dict(weights)
    return made


def check_freedom(free: str, unet: UnetConfig) -> None:
    """Raise ValueError unless `free_weights` knows what is to be free."""
    levels = len(unet.channels)
    if free not in ("all", "up", "last") and not (free.isdecimal() and 1 <= int(free) <= levels):
        raise ValueError(f"what is fine-tuned must be all, up, last, or 1 to {levels} up blocks; got {free!r}")


def free_weights(unet: UNet, free: str) -> None:
    """Let some weights be trained, and the others stay as they are.

    Parameters
    ----------
    unet
        Changed: what is frozen asks for no gradient.
    free
        "all"; "up", all blocks on the way up, and the output; a number of them, the last ones, and the output; or
        "last", the output alone: its normalisation and convolutions.

    Raises
    ------
    ValueError
        If it is something else.
    """
    check_freedom(free, unet.config)
    if free == "all":
        return
    unet.requires_grad_(False)
    count = {"up": len(unet.up), "last": 0}.get(free)
    first = len(unet.up) - (int(free) if count is None else count)
    for part in (*unet.up[first:], unet.norm, unet.head, unet.detail):
        if part is not None:
            part.requires_grad_(True)


def _plane(diffusion: Diffusion) -> str:
    return f"sections {diffusion.plane} the tracks" if diffusion.plane else "no sections"


def _times(sides: tuple[int, ...]) -> str:
    return "×".join(map(str, sides)) + " cells"


def _representation(diffusion: Diffusion) -> str:
    kind = "colours" if diffusion.palette else "bits"
    return f"{diffusion.n_colours} orientations as {kind} in {diffusion.sample_shape[0]} channels"
