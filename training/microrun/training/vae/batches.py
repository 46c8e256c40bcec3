"""What one step trains on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microrun.runtime.errors import MicrorunError
from microrun.training.loop.distributed import Processes
from microrun.training.vae.augment import augment, draw_view
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.data import Prepared
from microrun.training.vae.epochs import Epochs

_CHUNK = 1024


@dataclass(frozen=True)
class Batch:
    """A process's share of a batch; all its views follow each other, first the first of every pattern.

    Parameters
    ----------
    views
        (views·n, 1, H, W) what is encoded: the patterns, or two augmented views of each.
    targets
        (views·n, 1, H, W) what shall be reconstructed: the patterns as they are.
    eps
        (views·n, D) normal numbers for the latents.
    """

    views: Tensor
    targets: Tensor
    eps: Tensor


class Batches(ABC):
    """The batch of every step.

    Patterns, latent noise and augmentations are a function of the seed, the step and the place in the batch that
    all processes have together: not of the processes, and not of where a run was interrupted.

    Parameters
    ----------
    config, data, processes
        Of the run.

    Raises
    ------
    MicrorunError
        If there are too few patterns to test on, or the processes cannot share a batch.
    """

    def __init__(self, config: VaeConfig, data: Prepared, processes: Processes) -> None:
        self._config, self._processes = config, processes
        if len(data.held_out) < 2:
            raise MicrorunError(
                f"{len(data.held_out)} patterns to test on are too few, expected at least 2; give larger scans"
            )
        if config.batch % processes.count:
            raise MicrorunError(
                f"a batch of {config.batch} cannot be shared by {processes.count} processes; "
                f"give a --batch that is a multiple of {processes.count}"
            )
        self._store = PatternStore(data.patterns, processes.device)
        self.keep = torch.from_numpy(data.pixel_keep.astype(np.float32)).to(processes.device)

    @abstractmethod
    def __len__(self) -> int:
        """Batches of one epoch."""

    @abstractmethod
    def pairs(self, step: int, rows: slice) -> tuple[Tensor, Tensor]:
        """What shall be encoded, and what reconstructed from it, (n, 1, H, W) each: some rows of the batch."""

    def take(self, numbers: NDArray[np.int64]) -> Tensor:
        """Patterns as (n, 1, H, W) float32 on the device."""
        return self._store.take(numbers)

    def wanted(self, numbers: NDArray[np.int64]) -> Tensor:
        """What shall be reconstructed of patterns to test on, as `take` gives them."""
        return self.take(numbers)

    def batch(self, step: int) -> Batch:
        """This process's share of the batch of a step."""
        config, device = self._config, self._processes.device
        rows = self._processes.rows(config.batch)
        patterns, targets = self.pairs(step, rows)
        generator = torch.Generator(device).manual_seed(config.seed * 1_000_003 + step)
        views = 2 if config.contrastive else 1
        eps = torch.randn(views, config.batch, config.latent_size, generator=generator, device=device)
        eps = eps[:, rows].flatten(0, 1)
        if not config.contrastive:
            return Batch(patterns, targets, eps)
        shape = (config.batch, *patterns.shape[1:])
        draws = [draw_view(config.contrastive, shape, generator).part(rows) for _ in range(views)]
        augmented = torch.cat([augment(patterns, self.keep, draw) for draw in draws])
        return Batch(augmented, torch.cat([targets] * views), eps)


class ScanBatches(Batches):
    """Batches of the patterns of scans, each to be reconstructed as it is.

    Parameters
    ----------
    config, data, processes
        Of the run.

    Raises
    ------
    MicrorunError
        If there are fewer patterns than a batch, too, or as `Batches` does.
    """

    def __init__(self, config: VaeConfig, data: Prepared, processes: Processes) -> None:
        super().__init__(config, data, processes)
        self._epochs = Epochs(data.training, config.seed)
        if len(self._epochs) < config.batch:
            raise MicrorunError(
                f"{len(self._epochs)} patterns to train on are fewer than a batch of {config.batch}; "
                f"give more scans or a smaller --batch"
            )

    def __len__(self) -> int:
        """Batches of one epoch."""
        return len(self._epochs) // self._config.batch

    def order(self, step: int) -> NDArray[np.int64]:
        """Numbers of the scans' patterns that a step may take, in random order."""
        epoch, number = divmod(step, len(self))
        return self._epochs.order(epoch)[number * self._config.batch : (number + 1) * self._config.batch]

    def pairs(self, step: int, rows: slice) -> tuple[Tensor, Tensor]:
        """Patterns, and the same, (n, 1, H, W) each: some rows of the batch."""
        patterns = self.take(np.sort(self.order(step))[rows])
        return patterns, patterns


class PatternStore:
    """Prepared patterns, held on the GPU if they take less than half of its free memory.

    Parameters
    ----------
    patterns
        (n, H, W) float16, memory-mapped.
    device
        Where they are needed.
    """

    def __init__(self, patterns: NDArray[np.float16], device: torch.device) -> None:
        self._patterns, self._device = patterns, device
        self._held: Tensor | None = None
        if device.type == "cuda" and patterns.nbytes < torch.cuda.mem_get_info(device)[0] // 2:
            self._held = torch.empty(patterns.shape, dtype=torch.float16, device=device)
            for first in range(0, len(patterns), _CHUNK):
                self._held[first : first + _CHUNK] = torch.from_numpy(patterns[first : first + _CHUNK].copy())

    def take(self, numbers: NDArray[np.int64]) -> Tensor:
        """Patterns as (n, 1, H, W) float32 on the device."""
        if self._held is None:
            taken = torch.from_numpy(self._patterns[numbers]).to(self._device)
        else:
            taken = self._held[torch.from_numpy(numbers).to(self._device)]
        return taken[:, None].float().to(memory_format=torch.channels_last)
