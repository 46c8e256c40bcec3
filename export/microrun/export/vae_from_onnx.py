"""An autoencoder back out of its two ONNX files, to be trained further where no checkpoint was kept.

Weights have their names in the graphs, but for those of the decoder's last layers. They come in the order in which
they are used, as kernels on phases (`microrun.training.vae.phases`), each bias four times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from microrun.export.levels import read_weights
from microrun.runtime.engines.open import find_decoder_of, read_model_spec
from microrun.runtime.errors import SpecError
from microrun.runtime.spec import ModelSpec
from microrun.training.loop.checkpoint import fill_network
from microrun.training.vae.network import VAE, LastStage
from microrun.training.vae.phases import grow_kernel, pointwise_kernel, same_kernel

PREFIX = "model."  # of the names of weights that are halves
STANDARDISED = {"encoder.standardise.mean": 0.0, "encoder.standardise.std": 1.0}  # folded into the first layer
ON_PHASES: dict[str, Callable[[Tensor], Tensor]] = {  # in their order
    "decoder.last.grow": partial(grow_kernel, padding=LastStage.PADDING),
    "decoder.last.shortcut.conv": same_kernel,
    "decoder.last.project": pointwise_kernel,
}


def read_autoencoder(path: Path) -> tuple[VAE, ModelSpec]:
    """Read the network of ONNX files that `export_checkpoint` made.

    Parameters
    ----------
    path
        The encoder's .onnx file; its decoder lies beside it.

    Returns
    -------
    model : VAE
        In evaluation mode; weights are rounded as the files keep them.
    spec : ModelSpec
        Of the encoder.

    Raises
    ------
    EngineError
        If there is no decoder, or a file cannot be read.
    SpecError
        If it is another kind of model, or its weights cannot be trained, such as integers.
    """
    spec = read_model_spec(path)
    spec.require("encoder", source=path, task="loading an autoencoder")
    decoder = find_decoder_of(path)
    if not read_model_spec(decoder).belongs_to(spec):
        raise SpecError(f"{decoder}: belongs to another encoder than {path}; export both together")
    try:
        model = _fill(spec, _read(path, "") | _read(decoder, "decoder."))
    except (StopIteration, IndexError, ValueError):
        raise SpecError(
            f"{path}: holds no weights that can be trained; export it again in f32 or f16, or give its checkpoint"
        ) from None
    return model, replace(spec, precision="f32", parity_error=None)


def _read(path: Path, part: str) -> dict[str, Tensor]:
    """Weights of a file by the names that the whole network gives them; those that were computed have others."""
    return {
        part + name.removeprefix(PREFIX): torch.from_numpy(array.astype(np.float32))
        for name, array in read_weights(onnx.load_model(path)).items()
    }


def _fill(spec: ModelSpec, found: dict[str, Tensor]) -> VAE:
    """A network of the weights of both files."""

    def make() -> VAE:
        return VAE(spec.latent_size, network=spec.network)

    with torch.device("meta"):
        wanted = {name: weight.shape for name, weight in make().state_dict().items()}
    weights = {name: torch.tensor(value) for name, value in STANDARDISED.items()}
    weights |= {name: weight for name, weight in found.items() if name in wanted}
    last = iter([weight for name, weight in found.items() if name.startswith("decoder.") and name not in wanted])
    for name, kernel in ON_PHASES.items():
        weights[f"{name}.weight"] = undo_phases(kernel, next(last), wanted[f"{name}.weight"])
        weights[f"{name}.bias"] = next(last)[::4]
    return fill_network(make, weights)


def undo_phases(kernel: Callable[[Tensor], Tensor], found: Tensor, shape: torch.Size) -> Tensor:
    """Weights that a kernel on phases was made of.

    Parameters
    ----------
    kernel
        What made it: each of its pixels is a weight, or 0.
    found
        The kernel.
    shape
        Of the weights.

    Raises
    ------
    IndexError
        If the kernel is of other weights.
    """
    numbers = kernel(torch.arange(1, shape.numel() + 1, dtype=torch.float64).reshape(shape)).long()
    if found.shape != numbers.shape:
        raise IndexError(f"expected a kernel of {tuple(numbers.shape)}, got {tuple(found.shape)}")
    weights = found.new_zeros(shape.numel())
    weights[numbers[numbers > 0] - 1] = found[numbers > 0]
    return weights.reshape(shape)
