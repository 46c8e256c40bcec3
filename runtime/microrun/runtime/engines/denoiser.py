"""Denoisers: what runs the graph of one sampling step, many samples side by side, each at a timestep of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import Model
from microrun.runtime.spec import Diffusion, ModelSpec

UNIT = "samples"


class StepLane(Protocol):
    """One worker of a denoiser, not to be shared between threads: slots that hold a sample on its way each.

    A slot is idle until it is loaded and after it is freed. When a sample is finished the next one takes its slot,
    while those in the other slots go on. What becomes of a sample depends neither on its slot nor on the others.
    """

    @property
    def batch(self) -> int:
        """Number of slots."""

    def load(
        self, slot: int, x: Float32, known: Float32, mask: NDArray[np.bool_], condition: Float32 | None = None
    ) -> None:
        """Begin a sample, in place of whatever was in the slot.

        Parameters
        ----------
        slot
            From 0.
        x, known
            Of the sample's shape: where it starts, and the values of known voxels.
        mask
            Of the same shape, True = given.
        condition
            (conditions,) float32 as the network sees it, of a denoiser whose samples are conditioned.

        Raises
        ------
        EngineError
            If the arrays are of another shape, or the condition is missing or too much.
        """

    def step(self, timesteps: NDArray[np.int32], coefficients: Float32, noise: Float32) -> None:
        """Advance the samples in all slots by one evaluation of the network.

        Parameters
        ----------
        timesteps
            (batch,) int32. Rows of idle slots, here and below, may hold anything.
        coefficients
            (batch, 5) float32, rows of `tabulate_steps`.
        noise
            (batch, *sample_shape) float32, without gaps: standard normals.

        Raises
        ------
        EngineError
            If arrays are of another shape or type, or the library fails: the samples of this lane are lost then.
        """

    def read(self, slot: int) -> Float32:
        """Copy a sample as it is now; EngineError if the slot is idle."""

    def free(self, slot: int) -> None:
        """Make a slot idle."""


class Denoiser(Model[StepLane]):
    """A denoiser that is ready to run, made by `open_denoiser`; a lane's slots are all idle at first.

    Parameters
    ----------
    spec
        What the model is.
    info
        What runs it, and how; ``info.batch`` is the number of slots of a lane.
    """

    @property
    def diffusion(self) -> Diffusion:
        """What it draws samples of."""
        assert self.spec.diffusion is not None
        return self.spec.diffusion


def check_denoiser(path: Path, spec: ModelSpec) -> Diffusion:
    """What a model draws samples of.

    Raises
    ------
    SpecError
        If it is no denoiser.
    """
    spec.require("denoiser", source=path, task="generation")
    assert spec.diffusion is not None
    return spec.diffusion
