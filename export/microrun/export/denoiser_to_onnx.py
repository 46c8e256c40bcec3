"""Checkpoint of a denoiser to ONNX: one step of sampling as one graph, with the spec inside and parity measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from microrun.export.graph import TOLERANCES, Exported, ParityError, save_model
from microrun.export.step_graph import trace_step
from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.files.output import written_beside
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.training.diffusion.batches import add_noise
from microrun.training.diffusion.bits import BitOdds
from microrun.training.diffusion.checkpoint import load_denoiser
from microrun.training.diffusion.layers import show_known
from microrun.training.diffusion.unet import UNet

PATCH = 4  # voxels a side of one value in what parity is measured on
LEVELS = 5  # timesteps that it is measured at


def export_denoiser(checkpoint: Path, out: Path, precision: Literal["f32", "f16"] = "f16") -> Exported:
    """Export the denoiser of a checkpoint.

    Parameters
    ----------
    checkpoint
        From `microrun train diffusion` or `sections`.
    out
        The .onnx file to make.
    precision
        Of the network's weights; inputs and output are float32 in any case, the batch is dynamic.

    Returns
    -------
    Exported

    Raises
    ------
    SpecError
        If the checkpoint cannot be used.
    ParityError
        If the file's results differ too much from the checkpoint's; then nothing is written.
    OutputError
        If the file cannot be written.
    """
    unet, spec = load_denoiser(checkpoint)
    diffusion = spec.diffusion
    assert diffusion is not None
    graph = trace_step(unet, diffusion.sides, diffusion.schedule, precision)
    spec = dataclasses.replace(spec, precision=precision)
    with written_beside(out) as beside:
        save_model(graph, spec, beside)
        error = _check_parity(unet, beside, spec)
        spec = dataclasses.replace(spec, parity_error=float(f"{error:.3g}"))
        save_model(graph, spec, beside)
        _check_parity(unet, beside, spec)
    return Exported(out, spec)


def _check_parity(unet: UNet, path: Path, spec: ModelSpec) -> float:
    error = measure_denoiser_parity(unet, path)
    if not error <= TOLERANCES[spec.precision]:
        raise ParityError(
            f"{spec.name}: differs from its checkpoint by {error:.1e} (relative L2); "
            f"{TOLERANCES[spec.precision]:.0e} is allowed in {spec.precision}. Nothing was written"
        )
    return error


@torch.no_grad()
def measure_denoiser_parity(unet: UNet, path: Path) -> float:
    """Relative L2 error of a file's network on noised samples, at timesteps from the first to the last.

    Parameters
    ----------
    unet
        What it was made from, in float32.
    path
        The .onnx file; it is opened as users open it, on the CPU and in its most exact precision.
    """
    with open_denoiser(path, "cpu", EngineRequest("f32", lanes=1, batch=LEVELS)) as denoiser:
        clean, noise, timestep = _samples(denoiser.diffusion)
        noised, mask = add_noise(clean, noise, timestep, denoiser.diffusion.schedule), _mask(denoiser.diffusion)
        conditions = _conditions(denoiser.diffusion)
        given = () if conditions is None else (torch.from_numpy(conditions),)
        seen = show_known(noised.x, clean, mask) if denoiser.diffusion.known_inputs else noised.x
        expected = unet(seen, noised.timestep, *given)
        if denoiser.diffusion.schedule.prediction == "bits":
            expected = torch.tanh(BitOdds(denoiser.diffusion.schedule)(expected, noised.x, noised.timestep))
        expected, of_sample = expected.masked_fill(mask, 0), mask.expand_as(expected).numpy()
        lane = denoiser.lane()
        for slot, x in enumerate(noised.x.numpy()):
            condition = None if conditions is None else conditions[slot]
            lane.load(slot, x, clean[slot].numpy(), of_sample[slot], condition)
        only_output = np.tile(np.array([0, 0, 0, 1, 0], np.float32), (LEVELS, 1))
        lane.step(noised.timestep.numpy().astype(np.int32), only_output, np.zeros(expected.shape, np.float32))
        found = np.stack([lane.read(slot) for slot in range(LEVELS)])
    return float(np.linalg.norm(found - expected.numpy()) / np.linalg.norm(expected))


def _mask(diffusion: Diffusion) -> Tensor:
    """What is known, (LEVELS, 1, *sides) bool: half of a sample that the network sees it of, else nothing."""
    mask = torch.zeros(LEVELS, 1, *diffusion.sides, dtype=torch.bool)
    if diffusion.known_inputs:
        mask[:, :, : diffusion.sides[0] // 2] = True
    return mask


def _conditions(diffusion: Diffusion) -> Float32 | None:
    """Conditions within the window, (LEVELS, conditions), of a denoiser that has one."""
    if not diffusion.conditions:
        return None
    return np.random.default_rng(1).uniform(-1, 1, (LEVELS, len(diffusion.conditions))).astype(np.float32)


def _samples(diffusion: Diffusion) -> tuple[Tensor, Tensor, Tensor]:
    """Samples of even patches, noise, and timesteps."""
    rng = np.random.default_rng(0)
    shape = (LEVELS, *diffusion.sample_shape)
    clean = rng.uniform(-1, 1, (*shape[:2], *(-(-side // PATCH) for side in diffusion.sides)))
    for axis in range(2, len(shape)):
        clean = np.repeat(clean, PATCH, axis)
    clean = clean[tuple(map(slice, shape))].astype(np.float32)
    timestep = np.linspace(0, diffusion.schedule.training_steps - 1, LEVELS).astype(np.int64)
    noise = rng.standard_normal(shape, np.float32)
    return torch.from_numpy(clean), torch.from_numpy(noise), torch.from_numpy(timestep)
