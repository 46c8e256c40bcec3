"""Checkpoints: weights and spec in one safetensors file, never half written."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from microrun.runtime.engine import MODELS
from microrun.runtime.errors import SpecError
from microrun.runtime.output import write_whole
from microrun.runtime.spec import SPEC_KEY, ModelSpec
from microrun.training.vae import VAE


def save_checkpoint(path: Path, weights: dict[str, Tensor], spec: ModelSpec) -> None:
    """Write a checkpoint, never half; OutputError if the disk is full.

    Parameters
    ----------
    path
        The .safetensors file to make.
    weights
        State of a `VAE`.
    spec
        Of its encoder.
    """
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    write_whole(path, save(tensors, {SPEC_KEY: spec.to_json()}))


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
    model = VAE(spec.latent_size)
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise SpecError(f"{path}: its weights are not those of a VAE with D = {spec.latent_size} ({error})") from None
    return model.eval(), spec


def read_checkpoint_spec(path: Path) -> ModelSpec:
    """Read only the spec; errors as in `load_checkpoint`."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise SpecError(f"{path}: expected a checkpoint (.safetensors); it cannot be read ({error})") from None
    if SPEC_KEY not in metadata:
        raise SpecError(f"{path}: carries no spec; train it with `microrun train`")
    return ModelSpec.from_json(metadata[SPEC_KEY], str(path))
