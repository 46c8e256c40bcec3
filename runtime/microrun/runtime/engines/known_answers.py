"""Inputs in closed form and what a model computes of them: every engine on a card is compared with that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.spec import ModelSpec

CHECKED = 256  # numbers that are kept of the reference's outputs
CHECK_INPUTS = 2
# Half has 11 bits of mantissa, and rounds at every layer; what a broken engine computes is off by about 1.
CHECK_TOLERANCES = {"f32": 5e-3, "f16": 3e-2, "int8": 0.3}


def check_inputs(spec: ModelSpec) -> Float32:
    """Inputs in closed form, the same on every machine and forever.

    Parameters
    ----------
    spec
        Of an encoder: bands across the detector, in [−1, 1]. Of anything else: waves of amplitude 1.

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


def sample_outputs(outputs: Float32) -> Float32:
    """The first `CHECKED` of a spread over all outputs, as the sidecar keeps them."""
    flat = outputs.reshape(-1)
    picked: Float32 = flat[np.unique(np.linspace(0, len(flat) - 1, CHECKED).round().astype(np.int64))]
    return picked


def check_error(outputs: Float32, expected: Sequence[float]) -> float:
    """Relative L2 error of outputs of `check_inputs` against those that a record keeps."""
    reference = np.array(expected, np.float32)
    if len(reference) != len(sample_outputs(outputs)):
        return float("inf")
    return float(np.linalg.norm(sample_outputs(outputs) - reference) / np.linalg.norm(reference))
