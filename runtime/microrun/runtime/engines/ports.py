"""What goes into a model's graph and what comes out, by name, compared with the model's spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.spec import Diffusion, ModelSpec

Shape = tuple[int, ...]
Ports = Mapping[str, Shape]  # shapes without the batch
# The graph of a denoiser's step; encoders and decoders have one input and one output of any name.
X, KNOWN, MASK, NOISE, TIMESTEP, COEFFICIENTS = "x", "known", "mask", "noise", "timestep", "coefficients"
CONDITION = "condition"
X_NEXT = "x_next"
COEFFICIENT_COUNT = 5


def step_inputs(diffusion: Diffusion) -> dict[str, Shape]:
    """Inputs of the graph that does one step of a denoiser."""
    condition = {CONDITION: (len(diffusion.conditions),)} if diffusion.conditions else {}
    samples = dict.fromkeys((X, KNOWN, MASK, NOISE), diffusion.sample_shape)
    return {**samples, TIMESTEP: (), COEFFICIENTS: (COEFFICIENT_COUNT,), **condition}


def check_shapes(path: Path, spec: ModelSpec, input_shape: Shape, output_shape: Shape) -> None:
    """Compare a graph's shapes, without the batch, with its spec.

    Raises
    ------
    SpecError
        If they differ.
    """
    if (input_shape, output_shape) != (spec.input_shape, spec.output_shape):
        size = f", D = {spec.latent_size}" if spec.latent_size else ""
        raise SpecError(
            f"{path}: its spec ({spec.kind}{size}) means {spec.input_shape} → {spec.output_shape} "
            f"per sample; the graph is {input_shape} → {output_shape}. Export the model again"
        )


def check_ports(path: Path, spec: ModelSpec, inputs: Ports, outputs: Ports) -> None:
    """Compare a graph with its spec: a denoiser's by names and shapes, others, of one input and output, by shapes.

    Raises
    ------
    SpecError
        If they differ.
    """
    if spec.diffusion is None:
        if (len(inputs), len(outputs)) != (1, 1):
            raise SpecError(
                f"{path}: {spec.kind}s have one input and one output; the graph has {len(inputs)} and {len(outputs)}. "
                "Export the model again"
            )
        check_shapes(path, spec, next(iter(inputs.values())), next(iter(outputs.values())))
        return
    wanted = {**step_inputs(spec.diffusion), X_NEXT: spec.diffusion.sample_shape}
    found = {**inputs, **outputs}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise SpecError(
            f"{path}: its spec (denoiser) means {_describe(wanted, wrong)} per sample; "
            f"the graph has {_describe(found, wrong)}. Export the model again"
        )


def check_rows(given: Mapping[str, NDArray[Any]], inputs: Ports, batch: int) -> None:
    """Raise EngineError unless arrays are as a graph of such inputs takes them: libraries read them where they lie."""
    for name, array in given.items():
        shape, dtype = (batch, *inputs[name]), np.int32 if name == TIMESTEP else np.float32
        if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
            raise EngineError(
                f"{name} must be {np.dtype(dtype)} of shape {shape} without gaps; got {array.dtype} of {array.shape}"
            )


def copy_sample(
    inputs: Ports, x: Float32, known: Float32, mask: NDArray[np.bool_], condition: Float32 | None = None
) -> dict[str, Float32]:
    """What a lane keeps of a sample, as a batch of one; EngineError if it is no sample of the graph's."""
    given: dict[str, NDArray[Any]] = {X: x, KNOWN: known, MASK: mask}
    if (CONDITION in inputs) != (condition is not None):
        wanted = f"{inputs[CONDITION][0]} numbers" if CONDITION in inputs else "none"
        raise EngineError(f"the condition of a sample must be {wanted}; got {'none' if condition is None else 'one'}")
    if condition is not None:
        given[CONDITION] = condition
    state = {name: np.array(array, np.float32, order="C")[None] for name, array in given.items()}
    check_rows(state, inputs, 1)
    return state


def _describe(ports: Ports, names: list[str]) -> str:
    return ", ".join(f"{name} {ports[name]}" if name in ports else f"no {name}" for name in names)
