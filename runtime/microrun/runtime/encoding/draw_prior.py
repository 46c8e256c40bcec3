"""Patterns from the prior of a variational autoencoder: what it believes patterns are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import Engine
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.files.output import written_beside
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import UpWriter

WHITE = 65535


def generate_patterns(decoder: Engine, count: int, seed: int) -> Float32:
    """Decode normal random latents.

    Parameters
    ----------
    decoder
        Open.
    count
        Number of patterns.
    seed
        Pattern i is a function of (seed, i) alone.

    Returns
    -------
    (count, H, W) float32 in [−1, 1]
    """
    size = decoder.spec.latent_size
    drawn = [np.random.default_rng((seed, i)).standard_normal(size, np.float32) for i in range(count)]
    return run_all(decoder, np.stack(drawn))[:, 0]


def write_patterns(patterns: Float32, out: Path) -> None:
    """Write patterns as one row of a UP2 file, −1 as 0 and 1 as 65535.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    scan = Scan((1, len(patterns)), (patterns.shape[1], patterns.shape[2]), "uint16")
    with written_beside(out) as beside, UpWriter(beside, scan) as writer:
        writer.write(np.rint((np.clip(patterns, -1, 1) + 1) * (WHITE / 2)).astype(np.uint16))
