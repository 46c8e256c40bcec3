"""Batches of simulated patterns, alone or with those of a scan that they are like.

A network that is tuned on one scan alone forgets the orientations that the scan does not hold, and what it learns of
its few grains does not hold for another sample. Simulations of the same phase, voltage and pattern centre keep all
orientations there. What shall be reconstructed of a simulated pattern are its bands alone, as those that distillation
teaches see them: neither noise nor brightness tells of the crystal.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microrun.training.loop.distributed import Processes
from microrun.training.simulate.camera.patterns import CameraSimulator
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.vae.batches import Batches, ScanBatches
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.data import NEW, Prepared
from microrun.training.vae.twins import HELD_OUT, pair

FIRST_SHARE, LAST_SHARE = 1 / 3, 5 / 6  # of the scan's patterns in a batch
RISES_AFTER = 0.6  # share of the steps
EPOCH = 16_000  # simulated patterns that count as one
TESTED = 1024


def count_simulated(batch: int) -> int:
    """Simulated patterns of a batch, at most: what a stream for `MixedBatches` makes at a time."""
    return batch - round(batch * FIRST_SHARE)


def hold_out(simulator: CameraSimulator) -> Prepared:
    """Simulated patterns to test on, which no step trains on, where there are no scans."""
    patterns = simulator.make(HELD_OUT, TESTED).patterns.astype(np.float16)
    return Prepared(patterns, (), np.arange(TESTED), NEW, identity="")


class SimulatedBatches(Batches):
    """Batches of simulations alone: no pattern comes twice.

    Parameters
    ----------
    config, data, processes
        Of the run; the data is that of `hold_out`.
    stream
        Simulated patterns, as many at a time as a batch has.
    """

    def __init__(self, config: VaeConfig, data: Prepared, processes: Processes, stream: PatternStream) -> None:
        super().__init__(config, data, processes)
        self._stream = stream
        self._tested_bands = pair(stream.simulator.make(HELD_OUT, len(data.patterns)))[1].to(processes.device)

    def __len__(self) -> int:
        """Batches of one epoch."""
        return max(1, EPOCH // self._config.batch)

    def pairs(self, step: int, rows: slice) -> tuple[Tensor, Tensor]:
        """Patterns as a camera shows them, and their bands, (n, 1, H, W) each: some rows of the batch."""
        patterns, bands = (part.to(self._processes.device) for part in pair(self._stream.take(step)))
        return patterns[rows], bands[rows]

    def wanted(self, numbers: NDArray[np.int64]) -> Tensor:
        """Bands of patterns to test on."""
        return self._tested_bands[torch.from_numpy(numbers)]


class MixedBatches(ScanBatches):
    """The batch of every step, of scans and simulations; the scans' share rises at the end.

    Parameters
    ----------
    config, data, processes
        Of the run.
    stream
        Simulated patterns, `count_simulated` at a time.
    """

    def __init__(self, config: VaeConfig, data: Prepared, processes: Processes, stream: PatternStream) -> None:
        super().__init__(config, data, processes)
        self._stream, self._device = stream, processes.device
        self._steps = max(1, round(len(self) * config.epochs))

    def scan_share(self, step: int) -> float:
        """Share of the scans' patterns in the batch of a step."""
        risen = max(0.0, step / self._steps - RISES_AFTER) / (1 - RISES_AFTER)
        return FIRST_SHARE + (LAST_SHARE - FIRST_SHARE) * min(1.0, risen)

    def pairs(self, step: int, rows: slice) -> tuple[Tensor, Tensor]:
        """What shall be encoded, and what reconstructed from it, (n, 1, H, W) each: some rows of the batch."""
        order = self.order(step)
        count = round(len(order) * self.scan_share(step))
        patterns = self.take(np.sort(order[:count]))
        made = (part[: len(order) - count].to(self._device) for part in pair(self._stream.take(step)))
        simulated, bands = made
        return torch.cat([patterns, simulated])[rows], torch.cat([patterns, bands])[rows]
