"""How the learning rate changes over a run."""

from __future__ import annotations

import math

from microrun.training.loop.settings import Settings


def rate_share(config: Settings, step: int, steps: int) -> float:
    """Share of the learning rate: linear from 0, constant, cosine to 0 at the end.

    Parameters
    ----------
    config
        States how long it grows and falls.
    step, steps
        Optimiser steps done, and of the whole run.
    """
    warm = min(1.0, (step + 1) / max(1, config.rate_warmup))
    left = (steps - step) / steps
    if not config.decay or left >= config.decay:
        return warm
    return warm * 0.5 * (1 - math.cos(math.pi * left / config.decay))
