"""Patterns from the prior of a variational autoencoder: what it believes patterns are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.engine import Engine
from microrun.runtime.lanes import run_all
from microrun.runtime.output import written_beside
from microrun.runtime.preprocess import Float32
from microrun.runtime.scan import Scan
from microrun.runtime.up2 import UpWriter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def draw_patterns(patterns: Float32, pixel_keep: NDArray[np.bool_], columns: int) -> Figure:
    """Draw patterns in rows, white outside the mask."""
    from matplotlib.figure import Figure

    rows = -(-len(patterns) // columns)
    figure = Figure((1.3 * columns, 1.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, pattern in zip(axes, patterns, strict=False):
        axis.imshow(np.ma.masked_array(pattern, ~pixel_keep), cmap="gray", vmin=-1, vmax=1)
    return figure
