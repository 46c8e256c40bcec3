"""A denoiser's network back out of its ONNX file, to be trained further where no checkpoint was kept.

Weights have their names in the graph, but for three kinds that the exporter computes with: normalisations, which come
in the order of the layers, and convolutions after doubling, which are kept as the transposed ones that equal them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from microrun.export.levels import read_weights
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import SpecError
from microrun.runtime.spec import ModelSpec
from microrun.training.diffusion.layers import Upsample
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import UnetConfig, entering_channels

PREFIX = "unet."  # of the network's weights among those of a step's graph


def read_denoiser(path: Path, config: UnetConfig) -> tuple[UNet, ModelSpec]:
    """Read the network of an ONNX file that `export_denoiser` made.

    Parameters
    ----------
    path
        The .onnx file.
    config
        Shape of the network, which the file does not state; whether it has known inputs or conditions the spec says.

    Returns
    -------
    unet : UNet
        In evaluation mode; weights are rounded as the file keeps them.
    spec : ModelSpec
        Of the denoiser.

    Raises
    ------
    SpecError
        If the file is no denoiser, or the network has another shape.
    """
    spec = read_model_spec(path)
    spec.require("denoiser", source=path, task="reading a U-Net")
    weights = read_weights(onnx.load_model(path))
    found = {name: torch.from_numpy(array.astype(np.float32)) for name, array in weights.items()}
    assert spec.diffusion is not None
    channels = spec.diffusion.sample_shape[0]
    entering = entering_channels(channels, spec.diffusion.known_inputs)
    told = len(spec.diffusion.conditions)
    config = replace(config, in_channels=entering, out_channels=channels, condition_size=told)
    unet = UNet(config)
    try:
        unet.load_state_dict(_name_weights(UNet(config), found))
    except (RuntimeError, KeyError, StopIteration) as error:
        reason = (str(error) or "it has fewer").splitlines()[-1].strip()
        raise SpecError(f"{path}: its weights are not those of this network ({reason})") from None
    return unet.eval(), spec


def _name_weights(unet: UNet, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of a network, from the tensors of a graph in their order."""
    named = {name.removeprefix(PREFIX): tensor for name, tensor in found.items() if name.startswith(PREFIX)}
    dims = unet.config.dims
    rest = [tensor for name, tensor in found.items() if not name.startswith(PREFIX)]
    scales = iter([tensor.flatten() for tensor in rest if tensor.dim() == dims + 1 and tensor.shape[1:].numel() == 1])
    doubled = iter([tensor for tensor in rest if tensor.shape[2:] == (4,) * dims])
    state = {name: named[name] for name in unet.state_dict() if name in named}
    for name, module in _list_called(unet):
        if isinstance(module, nn.GroupNorm):
            state |= {f"{name}.weight": next(scales), f"{name}.bias": next(scales)}
        else:
            state[f"{name}.conv.weight"] = undouble(next(doubled))
    return state


@torch.no_grad()
def _list_called(unet: UNet) -> list[tuple[str, nn.Module]]:
    """Normalisations and doublings of a network with their names, in the order in which it computes them."""
    called: list[tuple[str, nn.Module]] = []
    for name, module in unet.named_modules():
        if isinstance(module, nn.GroupNorm | Upsample):
            module.register_forward_hook(lambda made, *_, name=name: called.append((name, made)))
    config = unet.config
    x = torch.zeros(1, config.in_channels, *[2 * config.reduction] * config.dims)
    unet(x, torch.zeros(1), *([x.new_zeros(1, config.condition_size)] if config.condition_size else []))
    return called


def undouble(kernel: Tensor) -> Tensor:
    """Undo `doubling_kernel`: (in, out, 4, …) becomes (out, in, 3, …)."""
    for axis in range(2, kernel.dim()):
        first, second, _, last = kernel.unbind(axis)
        kernel = torch.stack((first, second - first, last), axis)
    return kernel.flip(tuple(range(2, kernel.dim()))).transpose(0, 1)
