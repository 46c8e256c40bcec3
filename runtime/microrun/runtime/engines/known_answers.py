"""Inputs in closed form and what a model computes of them: every engine on a card is compared with that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.denoiser import StepLane
from microrun.runtime.engines.ports import COEFFICIENTS, CONDITION, KNOWN, MASK, NOISE, TIMESTEP, X
from microrun.runtime.spec import Diffusion, ModelSpec

CHECKED = 256  # numbers that are kept of the reference's outputs
CHECK_INPUTS = 2
# Half has 11 bits of mantissa, and rounds at every layer; what a broken engine computes is off by about 1.
CHECK_TOLERANCES = {"f32": 5e-3, "f16": 3e-2, "int8": 0.3}


def check_inputs(spec: ModelSpec) -> Float32:
    """Inputs in closed form, the same on every machine and forever.

    Parameters
    ----------
    spec
        Of an encoder: bands across the detector, in [−1, 1]. Of a decoder: waves of amplitude 1.

    Returns
    -------
    (CHECK_INPUTS, *input_shape) float32
    """
    if spec.kind != "encoder":
        count = int(np.prod(spec.input_shape))
        phases = np.arange(CHECK_INPUTS)[:, None] + 1.7 * np.arange(count)
        return np.sin(phases).astype(np.float32).reshape(CHECK_INPUTS, *spec.input_shape)
    rows, cols = spec.preprocessing.input_shape
    y, x = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, cols)
    angles = np.arange(1, 6) * 0.61
    images = [
        sum(np.exp(-((x * np.cos(a) + y * np.sin(a) - 0.3 * np.sin(5 * a + shift)) ** 2) / 0.01) for a in angles) / 2.5
        for shift in range(CHECK_INPUTS)
    ]
    return (np.stack(images)[:, None] - 1).clip(-1, 1).astype(np.float32)


def check_steps(diffusion: Diffusion) -> dict[str, NDArray[Any]]:
    """What one step of a denoiser is given, in closed form, by names of ports: `CHECK_INPUTS` samples.

    Half of the cells or so are known, timesteps are in the middle of the way, and the network's output counts most.
    """
    count, shape = int(np.prod(diffusion.sample_shape)), (CHECK_INPUTS, *diffusion.sample_shape)

    def waves(pace: float) -> Float32:
        phases = np.arange(CHECK_INPUTS)[:, None] + pace * np.arange(count)
        return np.sin(phases).astype(np.float32).reshape(shape)

    steps = diffusion.schedule.training_steps
    given: dict[str, NDArray[Any]] = {
        X: waves(1.7), KNOWN: waves(0.3), MASK: (waves(0.05) > 0).astype(np.float32), NOISE: waves(2.9),
        TIMESTEP: np.array([steps // 2, steps // 4], np.int32),
        COEFFICIENTS: np.tile(np.array([1, 0.5, 0.5, 1, 0.25], np.float32), (CHECK_INPUTS, 1)),
    }  # fmt: skip
    if diffusion.conditions:
        numbers = np.arange(CHECK_INPUTS * len(diffusion.conditions)).reshape(CHECK_INPUTS, -1)
        given[CONDITION] = np.sin(1.3 * numbers + 0.4).astype(np.float32)
    return given


def run_check(lane: StepLane, diffusion: Diffusion) -> Float32:
    """What a lane makes of `check_steps`, (CHECK_INPUTS, *sample_shape); its slots are idle before and after."""
    given, made = check_steps(diffusion), []
    for number in range(CHECK_INPUTS):
        one = {name: array[number] for name, array in given.items()}
        lane.load(0, one[X], one[KNOWN], one[MASK] > 0, one.get(CONDITION))
        rows = (np.tile(one[name], (lane.batch, *[1] * one[name].ndim)) for name in (TIMESTEP, COEFFICIENTS, NOISE))
        timesteps, coefficients, noise = (np.ascontiguousarray(array) for array in rows)
        lane.step(timesteps.reshape(lane.batch), coefficients, noise)
        made.append(lane.read(0))
        lane.free(0)
    return np.stack(made)


def sample_outputs(outputs: Float32) -> Float32:
    """The first `CHECKED` of a spread over all outputs, as the sidecar keeps them."""
    flat = outputs.reshape(-1)
    picked: Float32 = flat[np.unique(np.linspace(0, len(flat) - 1, CHECKED).round().astype(np.int64))]
    return picked


def check_error(outputs: Float32, expected: Sequence[float]) -> float:
    """Relative L2 error of outputs of `check_inputs`, or of `run_check`, against those that a record keeps."""
    reference = np.array(expected, np.float32)
    if len(reference) != len(sample_outputs(outputs)):
        return float("inf")
    return float(np.linalg.norm(sample_outputs(outputs) - reference) / np.linalg.norm(reference))
