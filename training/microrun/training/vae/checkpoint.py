"""Checkpoints of autoencoders."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from microrun.runtime.errors import SpecError
from microrun.runtime.json_text import UNREADABLE
from microrun.runtime.spec import SPEC_KEY, ModelSpec
from microrun.training.loop.checkpoint import fill_network, read_checkpoint_spec, read_weights, write_checkpoint
from microrun.training.vae.network import VAE


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
    write_checkpoint(path, weights, {SPEC_KEY: spec.to_json()})


def load_checkpoint(path: Path) -> tuple[VAE, ModelSpec]:
    """Read the checkpoint of an autoencoder.

    Parameters
    ----------
    path
        A .safetensors file, as `microrun train vae` makes it.

    Returns
    -------
    model : VAE
        In evaluation mode.
    spec : ModelSpec
        Of its encoder.

    Raises
    ------
    SpecError
        If it cannot be read, has no spec, is of another kind of model, or weights and spec do not fit.
    """
    spec = read_checkpoint_spec(path)
    spec.require("encoder", source=path, task="loading an autoencoder")
    try:
        return fill_network(lambda: VAE(spec.latent_size, network=spec.network), read_weights(path)), spec
    except (RuntimeError, *UNREADABLE) as error:
        raise SpecError(f"{path}: its weights are not those of a VAE with D = {spec.latent_size} ({error})") from None
