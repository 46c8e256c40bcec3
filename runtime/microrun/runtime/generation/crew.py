"""A lane whose slots are kept full: each slot is one sample on its way, with the noise that it needs next."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from microrun.kernels.noise import normal_noise
from microrun.runtime.array_types import Float32, Mask
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.denoiser import StepLane
from microrun.runtime.files.closing import Closing
from microrun.runtime.generation.sampling import Steps

Owner = TypeVar("Owner")


@dataclass
class Drawing(Generic[Owner]):
    """A sample on its way.

    Parameters
    ----------
    owner
        Whatever finds out whose it is.
    number
        Its noise is a function of the seed and this.
    steps
        Of the sampling.
    next
        Number of its next evaluation.
    """

    owner: Owner
    number: int
    steps: Steps
    next: int = 0


class Crew(Closing, Generic[Owner]):
    """The slots of a lane; what becomes of a sample depends on nothing but its noise and what is given of it.

    Parameters
    ----------
    lane
        All of whose slots are idle.
    sample_shape
        Of one sample.
    seed
        Of the noise.
    """

    def __init__(self, lane: StepLane, sample_shape: tuple[int, ...], seed: int) -> None:
        self._lane, self._shape, self._seed = lane, sample_shape, seed
        self._drawn: list[Drawing[Owner] | None] = [None] * lane.batch
        self._timesteps = np.zeros(lane.batch, np.int32)
        self._coefficients = np.zeros((lane.batch, 5), np.float32)
        self._noise = _NoiseAhead(seed, (lane.batch, *sample_shape))

    @property
    def idle(self) -> bool:
        """Whether a slot is."""
        return None in self._drawn

    def begin(self, drawing: Drawing[Owner], known: Float32, mask: Mask, condition: Float32 | None = None) -> None:
        """Put a sample into an idle slot; what is given of it is as of `StepLane.load`."""
        slot = self._drawn.index(None)
        x = np.empty((1, *self._shape), np.float32)
        normal_noise(self._seed, np.array([drawing.number]), 0, x)
        self._lane.load(slot, x[0], known, mask, condition)
        self._drawn[slot] = drawing

    def step(self) -> list[tuple[Drawing[Owner], Float32]]:
        """Advance all samples by one evaluation; returns those that are finished, whose slots are idle again."""
        for slot, drawing in enumerate(self._drawn):
            if drawing is not None:
                self._timesteps[slot] = drawing.steps.timesteps[drawing.next]
                self._coefficients[slot] = drawing.steps.coefficients[drawing.next]
        noise = self._noise.take(self._wanted(1))
        self._noise.prepare(self._wanted(2))
        self._lane.step(self._timesteps, self._coefficients, noise)
        finished = []
        for slot, drawing in enumerate(self._drawn):
            if drawing is None:
                continue
            drawing.next += 1
            if drawing.next == len(drawing.steps.timesteps):
                finished.append((drawing, self._lane.read(slot)))
                self._lane.free(slot)
                self._drawn[slot] = None
        return finished

    def close(self) -> None:
        """End the threads that make noise."""
        self._noise.close()

    def _wanted(self, ahead: int) -> list[tuple[int, int] | None]:
        return [None if drawing is None else (drawing.number, drawing.next + ahead) for drawing in self._drawn]


class _NoiseAhead(Closing):
    """Noise of a step, made by threads while the step before is computed, one for each slot as far as there are cores.

    Parameters
    ----------
    seed
        Of the noise.
    shape
        (batch, …) of it.
    """

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        self._seed = seed
        self._now: Float32 = np.zeros(shape, np.float32)
        self._ahead: Float32 = np.zeros(shape, np.float32)
        self._made: list[tuple[int, int] | None] = [None] * shape[0]
        self._pool = ThreadPoolExecutor(min(shape[0], count_cores()), "noise")
        self._pending: list[Future[None]] = []

    def prepare(self, wanted: list[tuple[int, int] | None]) -> None:
        """Begin to make the noise of (sample, evaluation) for every slot."""
        self._made = wanted
        self._pending = self._begin(wanted, self._ahead)

    def take(self, wanted: list[tuple[int, int] | None]) -> Float32:
        """Noise of (sample, evaluation) for every slot, valid until the next is taken."""
        self._finish(self._pending)
        self._now, self._ahead = self._ahead, self._now
        new = [want if want != made else None for want, made in zip(wanted, self._made, strict=True)]
        self._finish(self._begin(new, self._now))
        return self._now

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _begin(self, wanted: list[tuple[int, int] | None], out: Float32) -> list[Future[None]]:
        return [
            self._pool.submit(normal_noise, self._seed, np.array([want[0]]), want[1], out[slot : slot + 1])
            for slot, want in enumerate(wanted)
            if want is not None
        ]

    def _finish(self, pending: list[Future[None]]) -> None:
        for future in pending:
            future.result()
