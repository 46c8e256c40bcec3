"""How the learning rate and the weight of the KL term change over a run."""

from __future__ import annotations

import math

from microrun.training.config import VaeConfig
from microrun.training.settings import Settings

KL_FLOOR = 0.003  # share of the KL term's weight from the first step on: with none, latents grow without bound


def rate_share(config: Settings, step: int, steps: int) -> float:
    """Share of the learning rate: linear from 0, constant, cosine to 0 at the end."""
    warm = min(1.0, (step + 1) / max(1, config.rate_warmup))
    left = (steps - step) / steps
    if not config.decay or left >= config.decay:
        return warm
    return warm * 0.5 * (1 - math.cos(math.pi * left / config.decay))


def kl_share(config: VaeConfig, step: int, steps: int) -> float:
    """Share of the KL term's weight: as a square from almost 0 to 1."""
    warmup = config.kl_warmup * steps
    return max(KL_FLOOR, (step / warmup) ** 2) if step < warmup else 1.0
