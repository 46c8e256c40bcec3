"""Grains whose boundaries are let move for a moment, as in the simulations that a denoiser learned from.

A denoiser leaves boundaries rougher than curvature allows. Sweeps of the Potts model at T = 0 straighten them: 26 of
them are one unit of time, so that a few dozen move boundaries by about a voxel and let no grain grow.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.potts import UNKNOWN, every_second, sweep_key
from microrun.kernels.relaxing import relax_window
from microrun.runtime.array_types import Mask
from microrun.runtime.progress import Job, Progress
from microrun.runtime.volumes.axes import NO_WRAPS, Wraps
from microrun.runtime.workers import Workers


def relax(
    labels: NDArray[np.int32], sweeps: int, seed: int = 0, wraps: Wraps = NO_WRAPS, is_fixed: Mask | None = None
) -> Job[None]:
    """Let the voxels of grains take over their neighbours' labels where that does not raise their energy.

    As in `grow_potts` of the training, sub-lattices are visited at random: in a fixed order grains would grow more.

    Parameters
    ----------
    labels
        (z, y, x) int32, changed in place; negative ones are no grain and stay.
    sweeps
        In each, every voxel tries one flip on average.
    seed
        Labels are a function of it, whatever the number of threads.
    wraps
        Whether the volume goes on at its opposite face along z, y and x.
    is_fixed
        (z, y, x) bool: voxels that stay; None for none.
    """
    axes = [every_second(side, wrap) for side, wrap in zip(labels.shape, wraps, strict=True)]
    windows = [np.array(window, np.int64) for window in product(*axes)]
    events = np.full(labels.shape, UNKNOWN, np.uint8)
    still = np.zeros((0, 0, 0), bool) if is_fixed is None else is_fixed
    with Workers() as workers:
        for sweep in range(sweeps):
            for visit in range(sweep * len(windows), (sweep + 1) * len(windows)):
                key = np.uint64(sweep_key(seed, visit))
                window = windows[(int(key) >> 32) * len(windows) >> 32]
                workers.run(relax_window, window, key, wraps, still, events, labels)
            yield Progress(sweep + 1, sweeps, "relaxing")
