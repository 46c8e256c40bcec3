"""Pairs of patterns that shall have the same latents: as a camera shows them, and as a teacher should see them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microrun.runtime.domain import Domain
from microrun.runtime.errors import MicrorunError
from microrun.runtime.patterns.bands import high_pass
from microrun.training.simulate.camera.matched import domain_of
from microrun.training.simulate.camera.patterns import KEEP, MASK, Patterns
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.vae.augment import augment, draw_view, stretch
from microrun.training.vae.batches import PatternStore
from microrun.training.vae.config import Contrastive
from microrun.training.vae.data import Prepared
from microrun.training.vae.epochs import Epochs

HELD_OUT = 1 << 40  # number of the first pattern to test on: no training gets that far
TESTED = 512


class Twins(Protocol):
    """What a student is taught on."""

    @property
    def identity(self) -> str:
        """Hash of all that the pairs depend on."""

    @property
    def text(self) -> str:
        """What they are, for a spec."""

    @property
    def domain(self) -> Domain | None:
        """What is known of whoever learns from them; None for what the teacher knows."""

    @property
    def pixel_keep(self) -> NDArray[np.bool_]:
        """(H, W) bool, True inside the mask."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Views and their clean twins, (n, 1, H, W) float32 each, of a step."""

    def held_out(self) -> tuple[Tensor, Tensor]:
        """The same to test on, never trained on."""


class SimulatedTwins:
    """Pairs of simulated patterns without end: no pattern comes twice.

    The clean twin is the bands as simulated, after the high-pass of `microrun.runtime.patterns.bands`: the
    brightness that a background leaves tells nothing of the crystal, and latents that follow it are lost on the bands.

    Parameters
    ----------
    stream
        Makes them, batch by batch.
    """

    def __init__(self, stream: PatternStream) -> None:
        self._stream = stream

    @property
    def identity(self) -> str:
        """Hash of the simulator."""
        return self._stream.simulator.identity

    @property
    def text(self) -> str:
        """Phases, for a spec."""
        return f"simulated patterns of {self._stream.simulator}"

    @property
    def domain(self) -> Domain:
        """Phases and conditions of the simulations."""
        return domain_of(self._stream.simulator)

    @property
    def pixel_keep(self) -> NDArray[np.bool_]:
        """(120, 120) bool, True inside the mask."""
        return KEEP

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Views and their clean twins of a step."""
        return pair(self._stream.take(step))

    def held_out(self) -> tuple[Tensor, Tensor]:
        """Pairs that no step trains on."""
        return pair(self._stream.simulator.make(HELD_OUT, TESTED))


class ScanTwins:
    """Patterns of scans, as they are and augmented.

    Parameters
    ----------
    data
        Prepared patterns.
    batch
        Pairs of a step.
    seed
        Of the order and the augmentations.
    scans
        Names, for a spec.
    """

    def __init__(self, data: Prepared, batch: int, seed: int, scans: str) -> None:
        self._data, self._batch, self._seed, self._scans = data, batch, seed, scans
        self._epochs = Epochs(data.training, seed)
        self._store = PatternStore(data.patterns, torch.device("cpu"))
        self._mask = torch.from_numpy(data.pixel_keep.astype(np.float32))
        if len(self._epochs) < batch:
            raise MicrorunError(f"{len(self._epochs)} patterns are fewer than a batch of {batch}; give more scans")
        if len(data.held_out) < 2:
            raise MicrorunError(f"{len(data.held_out)} patterns to test on are too few; give larger scans")

    @property
    def identity(self) -> str:
        """Hash of the prepared patterns."""
        return self._data.identity

    @property
    def text(self) -> str:
        """Scans, for a spec."""
        return f"patterns of {self._scans}"

    @property
    def domain(self) -> None:
        """That of the teacher: of the scans nothing is known."""
        return None

    @property
    def pixel_keep(self) -> NDArray[np.bool_]:
        """(H, W) bool, True inside the mask."""
        return self._data.pixel_keep

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Augmented patterns and the patterns of a step."""
        epoch, number = divmod(step, len(self._epochs) // self._batch)
        order = self._epochs.order(epoch)[number * self._batch : (number + 1) * self._batch]
        return self._augmented(np.sort(order), step)

    def held_out(self) -> tuple[Tensor, Tensor]:
        """Pairs that no step trains on."""
        held_out = self._data.held_out
        return self._augmented(held_out[:: -(-len(held_out) // TESTED)], HELD_OUT)

    def _augmented(self, numbers: NDArray[np.int64], step: int) -> tuple[Tensor, Tensor]:
        patterns = self._store.take(numbers)
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        rows, _, height, width = patterns.shape
        draw = draw_view(Contrastive(), (rows, 1, height, width), generator)
        return augment(patterns, self._mask, draw), patterns


def pair(made: Patterns) -> tuple[Tensor, Tensor]:
    """Patterns, and their bands after the high-pass, each (n, 1, H, W) float32."""
    mask = torch.from_numpy(MASK)
    clean = torch.from_numpy(high_pass(made.bands, KEEP))[:, None]
    return torch.from_numpy(made.patterns)[:, None], stretch(clean, mask)
