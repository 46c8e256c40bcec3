"""Checkpoints: weights and spec in one safetensors file, never half written."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.errors import SpecError
from microrun.runtime.files.output import write_whole
from microrun.runtime.spec import SPEC_KEY, ModelSpec


def find_checkpoint(path: Path) -> Path:
    """A checkpoint file, or that of the built-in model of this name."""
    built_in = MODELS / f"{path}.safetensors"
    return built_in if not path.exists() and built_in.is_file() else path


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
