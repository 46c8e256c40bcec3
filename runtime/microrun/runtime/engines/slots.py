"""A lane on the CPU: its slots run one after another, so that none can have a part in what another computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.ports import COEFFICIENTS, NOISE, TIMESTEP, X, check_rows, copy_sample, step_inputs
from microrun.runtime.errors import EngineError
from microrun.runtime.spec import Diffusion

RunStep = Callable[[Mapping[str, NDArray[Any]], Float32], None]


@dataclass
class _Sample:
    """In arrays of a batch of one, which the library reads and writes where they lie."""

    state: dict[str, Float32]
    x_next: Float32


class SlotLane:
    """Slots in the memory of the host, run one after another; idle ones cost nothing.

    Parameters
    ----------
    batch
        Number of slots.
    diffusion
        What they hold samples of.
    run_step
        Runs the graph on its inputs by name, of a batch of one, and writes the next x into an array.
    """

    def __init__(self, batch: int, diffusion: Diffusion, run_step: RunStep) -> None:
        self.batch = batch
        self._inputs = step_inputs(diffusion)
        self._run_step = run_step
        self._samples: list[_Sample | None] = [None] * batch

    def load(
        self, slot: int, x: Float32, known: Float32, mask: NDArray[np.bool_], condition: Float32 | None = None
    ) -> None:
        """Begin a sample, in place of whatever was in the slot."""
        state = copy_sample(self._inputs, x, known, mask, condition)
        self._samples[slot] = _Sample(state, np.empty_like(state[X]))

    def step(self, timesteps: NDArray[np.int32], coefficients: Float32, noise: Float32) -> None:
        """Advance the samples in all slots by one evaluation of the network."""
        given = {NOISE: noise, TIMESTEP: timesteps, COEFFICIENTS: coefficients}
        check_rows(given, self._inputs, self.batch)
        for slot, sample in enumerate(self._samples):
            if sample is None:
                continue
            rows = {name: array[slot : slot + 1] for name, array in given.items()}
            self._run_step({**sample.state, **rows}, sample.x_next)
            sample.state[X], sample.x_next = sample.x_next, sample.state[X]

    def read(self, slot: int) -> Float32:
        """Copy a sample as it is now."""
        sample = self._samples[slot]
        if sample is None:
            raise EngineError(f"slot {slot} is idle; load a sample first")
        copy: Float32 = sample.state[X][0].copy()
        return copy

    def free(self, slot: int) -> None:
        """Make a slot idle."""
        self._samples[slot] = None
