"""Latents that a client has not asked for yet."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32

KEPT_BYTES = 64 << 20  # of latents; a client that asks for none must not fill the memory


class Answer(NamedTuple):
    """Some latents.

    Parameters
    ----------
    indices
        (n,) int64, numbers of their patterns, ascending.
    latents
        (n, D) float32.
    over
        Whether no more will come.
    """

    indices: NDArray[np.int64]
    latents: Float32
    over: bool


class KeptLatents:
    """Latents between the encoder, which never waits, and a client that asks for them.

    Parameters
    ----------
    latent_size
        D.

    Attributes
    ----------
    latent_size : int
        D.
    waiting, forgotten : int
        Patterns whose latents are here; those whose latents were dropped because nobody asked for so long.
    """

    def __init__(self, latent_size: int) -> None:
        self.latent_size = latent_size
        self._most = max(1, KEPT_BYTES // (4 * latent_size))
        self._changed = threading.Condition()
        self._batches: deque[tuple[NDArray[np.int64], Float32]] = deque()
        self._ended = False
        self.waiting = self.forgotten = 0

    def add(self, indices: NDArray[np.int64], latents: Float32) -> None:
        """Keep a batch; the oldest go where it is too much."""
        with self._changed:
            self._batches.append((indices, latents))
            self.waiting += len(indices)
            while self.waiting > self._most and len(self._batches) > 1:
                oldest = len(self._batches.popleft()[0])
                self.waiting, self.forgotten = self.waiting - oldest, self.forgotten + oldest
            self._changed.notify_all()

    def end(self) -> None:
        """Say that no more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def await_any(self, timeout_s: float) -> bool:
        """Wait for latents; True if there are some, or no more will come."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._batches) or self._ended, timeout_s)

    def take(self, limit: int) -> Answer:
        """Take ``limit`` at most of what is there."""
        indices, latents = [np.empty(0, np.int64)], [np.empty((0, self.latent_size), np.float32)]
        with self._changed:
            while self._batches and limit > 0:
                numbers, values = self._batches.popleft()
                if len(numbers) > limit:
                    self._batches.appendleft((numbers[limit:], values[limit:]))
                    numbers, values = numbers[:limit], values[:limit]
                indices.append(numbers)
                latents.append(values)
                limit -= len(numbers)
                self.waiting -= len(numbers)
            over = self._ended and not self._batches
        return Answer(np.concatenate(indices), np.concatenate(latents), over)
