"""Checkpoints of denoisers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from torch import Tensor

from microrun.runtime.errors import SpecError
from microrun.runtime.json_text import UNREADABLE, check_fields, parse_object
from microrun.runtime.spec import SPEC_KEY, ModelSpec
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.loop.checkpoint import (
    fill_network,
    read_checkpoint_spec,
    read_metadata,
    read_weights,
    write_checkpoint,
)

UNET_KEY = "microrun_unet"  # name of the metadata entry of a denoiser's network


def save_denoiser(path: Path, weights: dict[str, Tensor], unet: UnetConfig, spec: ModelSpec) -> None:
    """Write the checkpoint of a denoiser, never half; OutputError if the disk is full.

    Parameters
    ----------
    path
        The .safetensors file to make.
    weights
        State of a `UNet`.
    unet
        Its shape.
    spec
        Of the denoiser.
    """
    write_checkpoint(path, weights, {SPEC_KEY: spec.to_json(), UNET_KEY: json.dumps(dataclasses.asdict(unet))})


def load_denoiser(path: Path) -> tuple[UNet, ModelSpec]:
    """Read the checkpoint of a denoiser.

    Parameters
    ----------
    path
        A .safetensors file, as `microrun train diffusion` makes it.

    Returns
    -------
    unet : UNet
        In evaluation mode.
    spec : ModelSpec
        Of the denoiser.

    Raises
    ------
    SpecError
        If it cannot be read, has no spec, is of another kind of model, or weights and network do not fit.
    """
    spec, metadata = read_checkpoint_spec(path), read_metadata(path)
    spec.require("denoiser", source=path, task="loading a U-Net")
    try:
        config = UnetConfig.from_dict(parse_object(metadata[UNET_KEY]))
        check_fields(config)
        return fill_network(lambda: UNet(config), read_weights(path)), spec
    except (RuntimeError, *UNREADABLE) as error:
        raise SpecError(f"{path}: its weights are not those of its network ({error})") from None
