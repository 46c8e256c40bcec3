"""Settings of a training run, written beside its output."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from microrun.training.vae import check_latent_size


@dataclass(frozen=True)
class VaeConfig:
    """Settings of `train_vae`; the defaults are the paper's (Calvat et al.) where it states them.

    Parameters
    ----------
    latent_size
        D: 16, 32, 64, 128 or 256.
    batch, epochs, learning_rate
        Adam with betas (0.9, 0.999).
    patterns_per_scan
        Random patterns taken from each scan.
    held_out
        Share of them that is never trained on.
    beta
        Weight of the KL term.
    kl_warmup
        Share of the steps over which that weight grows from 0 as a square: the network first sits on a
        plateau, and with much weight on the KL term there, the latents collapse and never come back.
    decay
        Share of the steps, the last ones, over which the learning rate falls to 0 as a cosine.
    seed
        Of the weights, the selection and order of patterns, and the latent noise.
    """

    latent_size: int = 32
    batch: int = 256
    epochs: int = 250
    learning_rate: float = 1e-3
    patterns_per_scan: int = 16_000
    held_out: float = 0.05
    beta: float = 1.0
    kl_warmup: float = 0.5
    decay: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        check_latent_size(self.latent_size)
        if min(self.batch, self.epochs, self.patterns_per_scan) < 1 or self.learning_rate <= 0:
            raise ValueError("batch, epochs, patterns per scan and learning rate must be positive")
        if not all(0 <= share < 1 for share in (self.held_out, self.kl_warmup, self.decay)):
            raise ValueError("held_out, kl_warmup and decay are shares from 0 to below 1")

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> VaeConfig:
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text()))
