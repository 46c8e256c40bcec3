"""Checkpoints: weights and spec in one safetensors file, never half written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from microrun.runtime.engine import MODELS
from microrun.runtime.errors import SpecError
from microrun.runtime.output import write_whole
from microrun.runtime.spec import SPEC_KEY, ModelSpec
from microrun.training.unet import UNet, UnetConfig
from microrun.training.vae import VAE

UNET_KEY = "microrun_unet"  # name of the metadata entry of a denoiser's network


def save_checkpoint(path: Path, weights: dict[str, Tensor], spec: ModelSpec) -> None:
    """Write the checkpoint of an autoencoder, never half; OutputError if the disk is full.

    Parameters
    ----------
    path
        The .safetensors file to make.
    weights
        State of a `VAE`.
    spec
        Of its encoder.
    """
    _save(path, weights, {SPEC_KEY: spec.to_json()})


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
    _save(path, weights, {SPEC_KEY: spec.to_json(), UNET_KEY: json.dumps(dataclasses.asdict(unet))})


def find_checkpoint(path: Path) -> Path:
    """A checkpoint file, or that of the built-in model of this name."""
    built_in = MODELS / f"{path}.safetensors"
    return built_in if not path.exists() and built_in.is_file() else path


def load_checkpoint(path: Path) -> tuple[VAE, ModelSpec]:
    """Read a checkpoint.

    Returns
    -------
    model : VAE
        In evaluation mode.
    spec : ModelSpec
        Of its encoder.

    Raises
    ------
    SpecError
        If it cannot be read, has no spec, or weights and spec do not fit.
    """
    spec = read_checkpoint_spec(path)
    if spec.kind == "denoiser":
        raise SpecError(f"{path}: is a denoiser; expected an autoencoder, as `microrun train vae` makes")
    model = VAE(spec.latent_size)
    try:
        model.load_state_dict(_read_weights(path))
    except RuntimeError as error:
        raise SpecError(f"{path}: its weights are not those of a VAE with D = {spec.latent_size} ({error})") from None
    return model.eval(), spec


def load_denoiser(path: Path) -> tuple[UNet, ModelSpec]:
    """Read the checkpoint of a denoiser.

    Returns
    -------
    unet : UNet
        In evaluation mode.
    spec : ModelSpec
        Of the denoiser.

    Raises
    ------
    SpecError
        As `load_checkpoint`.
    """
    spec, metadata = read_checkpoint_spec(path), _read_metadata(path)
    if spec.kind != "denoiser":
        raise SpecError(f"{path}: is an autoencoder; expected a denoiser, as `microrun train diffusion` makes")
    try:
        unet = UNet(UnetConfig.from_dict(json.loads(metadata[UNET_KEY])))
        unet.load_state_dict(_read_weights(path))
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        raise SpecError(f"{path}: its weights are not those of its network ({error})") from None
    return unet.eval(), spec


def read_checkpoint_spec(path: Path) -> ModelSpec:
    """Read only the spec; errors as in `load_checkpoint`."""
    metadata = _read_metadata(path)
    if SPEC_KEY not in metadata:
        raise SpecError(f"{path}: carries no spec; train it with `microrun train`")
    return ModelSpec.from_json(metadata[SPEC_KEY], str(path))


def _read_metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise SpecError(f"{path}: expected a checkpoint (.safetensors); it cannot be read ({error})") from None


def _read_weights(path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _save(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    write_whole(path, save(tensors, metadata))
