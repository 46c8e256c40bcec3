"""Batches of a scan's patterns and of simulated ones like them.

A network that is tuned on one scan alone forgets the orientations that the scan does not hold, and what it learns of
its few grains does not hold for another sample. Simulations of the same phase, voltage and pattern centre keep all
orientations there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from microrun.training.loop.distributed import Processes
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.vae.batches import Batches
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.data import Prepared

FIRST_SHARE, LAST_SHARE = 1 / 3, 5 / 6  # of the scan's patterns in a batch
RISES_AFTER = 0.6  # share of the steps


def count_simulated(batch: int) -> int:
    """Simulated patterns of a batch, at most: what a stream for `MixedBatches` makes at a time."""
    return batch - round(batch * FIRST_SHARE)


class MixedBatches(Batches):
    """The batch of every step, of scans and simulations; the scans' share rises at the end.

    Simulated patterns shall be reconstructed as they would be without noise, which their truth tells.

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
        patterns, made = self.take(np.sort(order[:count])), self._stream.take(step)
        simulated, expected = (
            torch.from_numpy(images[: len(order) - count])[:, None].to(self._device)
            for images in (made.patterns, made.expected)
        )
        return torch.cat([patterns, simulated])[rows], torch.cat([patterns, expected])[rows]
