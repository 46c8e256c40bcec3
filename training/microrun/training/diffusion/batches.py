"""Batches of noised samples: what the network sees, and what it is to predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import MicrorunError
from microrun.runtime.schedule import Schedule
from microrun.training.diffusion.masks import Masks


class Samples(Protocol):
    """Any number of samples to train on; each is a function of the seed and its number."""

    @property
    def seed(self) -> int:
        """Of all that is random."""

    @property
    def codes(self) -> Float32 | None:
        """What a network sees of each colour, (n_colours, channels); None where there are no colours."""

    def draw(self, indices: Sequence[int]) -> tuple[NDArray[Any], Float32]:
        """Draw the samples of these numbers.

        Returns
        -------
        values
            (n, *sides) uint8 colours, which `codes` turns into values, or float32.
        conditions
            (n, conditions) float32 as a network sees them, from −1 to 1; (n, 0) without any.
        """


class Drawn(NamedTuple):
    """Samples, what they are conditioned on, and how much they are to be noised.

    Parameters
    ----------
    values
        (n, *sides), as `Samples` draws them: colours take little room on their way to a card.
    condition
        (n, conditions) float32.
    timestep
        (n,) int64.
    known
        (n, *sides) bool, True where a network with known inputs is told the value; (n, 0) for other networks.
    """

    values: Tensor
    condition: Tensor
    timestep: Tensor
    known: Tensor

    def to(self, device: torch.device) -> Drawn:
        """Move to a device, while it computes."""
        return Drawn(*(tensor.to(device, non_blocking=True) for tensor in self))


class Noised(NamedTuple):
    """Noised samples, and what the network shall say of them.

    Parameters
    ----------
    x, target
        (n, channels, *sides) float32.
    timestep
        (n,) int64.
    """

    x: Tensor
    target: Tensor
    timestep: Tensor


class Batches(Dataset[Drawn]):
    """A process's share of the batch of every step.

    Samples and timesteps are a function of the seed, the step and the place in the batch that all processes have
    together: not of the processes, and not of where a run was interrupted. The timesteps of a batch are spread
    evenly over all, which makes its loss less noisy than independent ones do.

    Parameters
    ----------
    samples
        To noise.
    timesteps
        T, from which they are drawn.
    batch
        Samples per step.
    rows
        Of the batch, this process's.
    masks
        What is known of each sample, for a network with known inputs.
    """

    def __init__(
        self, samples: Samples, timesteps: int, batch: int, rows: slice = slice(None), masks: Masks | None = None
    ) -> None:
        self._samples, self._timesteps, self._batch, self._rows = samples, timesteps, batch, rows
        self._masks = masks

    def __getitem__(self, step: int) -> Drawn:
        """Draw the share of a step."""
        rng = np.random.default_rng((self._samples.seed, step))
        spread = (rng.permutation(self._batch) + rng.random(self._batch)) / self._batch
        timestep = (spread * self._timesteps).astype(np.int64)[self._rows]
        numbers = range(step * self._batch, (step + 1) * self._batch)[self._rows]
        known = np.empty((len(numbers), 0), bool) if self._masks is None else self._masks.draw(numbers)
        return Drawn(*map(torch.from_numpy, (*self._samples.draw(numbers), timestep, known)))

    def load(self, steps: range, workers: int = 0) -> Iterator[Drawn]:
        """Draw those of some steps, in their order.

        Parameters
        ----------
        steps
            Of the run.
        workers
            Processes that draw ahead; without any, each is drawn when it is asked for.

        Raises
        ------
        MicrorunError
            If a sample cannot be drawn, or a worker ends.
        """
        pin = torch.cuda.is_available()
        loader = DataLoader(self, batch_size=None, sampler=steps, num_workers=workers, pin_memory=pin)
        try:
            yield from loader
        except (MicrorunError, RuntimeError) as error:  # of a worker with all that it was doing; the reason comes last
            reason = str(error).strip().splitlines()[-1]
            raise MicrorunError(f"no more samples can be drawn: {reason.split('Error: ', 1)[-1]}") from None


def add_noise(clean: Tensor, noise: Tensor, timestep: Tensor, schedule: Schedule) -> Noised:
    """Noise samples, each to its timestep; see `Schedule` for the formulas.

    Parameters
    ----------
    clean, noise
        (n, channels, *sides) float32.
    timestep
        (n,) int64.
    schedule
        Of the noise, and what the network predicts.
    """
    kept = _alphas_cumprod(schedule, timestep.device)[timestep].reshape(-1, *(1 for _ in clean.shape[1:]))
    signal, spread = kept.sqrt().float(), (1 - kept).sqrt().float()
    x = signal * clean + spread * noise
    if schedule.prediction == "v":
        return Noised(x, signal * noise - spread * clean, timestep)
    return Noised(x, noise if schedule.prediction == "eps" else clean, timestep)


@cache
def _alphas_cumprod(schedule: Schedule, device: torch.device) -> Tensor:
    return torch.from_numpy(schedule.alphas_cumprod.copy()).to(device)
