"""Checkpoints: weights and spec in one safetensors file, never half written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from microrun.runtime.engines.catalogue import MODELS, is_built_in
from microrun.runtime.errors import SpecError
from microrun.runtime.files.output import write_whole
from microrun.runtime.json_text import UNREADABLE
from microrun.runtime.spec import SPEC_KEY, ModelSpec

CHECKPOINT = "checkpoint.safetensors"  # its name in the folder of a run
Network = TypeVar("Network", bound=torch.nn.Module)


def find_checkpoint(path: Path) -> Path:
    """Checkpoint file of this path, of the run in this folder, or of the built-in model of this name.

    Parameters
    ----------
    path
        What a user gave.

    Raises
    ------
    SpecError
        If a built-in model of this name has no checkpoint.
    """
    if path.is_dir():
        return path / CHECKPOINT
    if path.exists() or not is_built_in(path):
        return path
    built_in = MODELS / f"{path}.safetensors"
    if not built_in.is_file():
        raise SpecError(f"{path}: is a built-in model without a checkpoint; name a run, or a .safetensors file")
    return built_in


def read_checkpoint_spec(path: Path) -> ModelSpec:
    """Read only the spec.

    Parameters
    ----------
    path
        A .safetensors file.

    Raises
    ------
    SpecError
        If it cannot be read, or has no spec.
    """
    metadata = read_metadata(path)
    if SPEC_KEY not in metadata:
        raise SpecError(f"{path}: carries no spec; train it with `microrun train`")
    return ModelSpec.from_json(metadata[SPEC_KEY], str(path))


def read_metadata(path: Path) -> dict[str, str]:
    """Read what a file says of itself; SpecError if it cannot be read."""
    with _opened(path) as file:
        return file.metadata() or {}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file, by name; SpecError if they cannot be read."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def fill_network(make: Callable[[], Network], weights: dict[str, Tensor]) -> Network:
    """Make a network of weights.

    Parameters
    ----------
    make
        Makes it, with other weights: first without any memory, for what a damaged file describes may take all there is.
    weights
        As `read_weights` gives them.

    Returns
    -------
    Network
        In evaluation mode.

    Raises
    ------
    ValueError
        If the weights are those of another network.
    """
    with torch.device("meta"):
        wanted = {name: tensor.shape for name, tensor in make().state_dict().items()}
    found = {name: tensor.shape for name, tensor in weights.items()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise ValueError(f"{len(wrong):,} of its tensors are others, such as {wrong[0]}")
    model = make()
    model.load_state_dict(weights)
    return model.eval()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError, *UNREADABLE, RuntimeError) as error:
        raise SpecError(f"{path}: expected a checkpoint (.safetensors); it cannot be read ({error})") from None


def write_checkpoint(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write weights with what is said of them, never half.

    Parameters
    ----------
    path
        The .safetensors file to make or replace.
    weights
        By name.
    metadata
        Texts, of which one is the spec.

    Raises
    ------
    OutputError
        If the disk is full; what the file held before stays.
    """
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    write_whole(path, save(tensors, metadata))
