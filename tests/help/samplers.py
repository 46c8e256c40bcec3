"""DDPM, DDIM and RePaint as functions of a network in NumPy: what graphs and lanes compute, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import MicrorunError
from microrun.runtime.generation.sampling import Sampling, Steps, tabulate_steps
from microrun.runtime.schedule import Schedule

Samples = NDArray[np.floating[Any]]
Denoise = Callable[[Samples, int], Samples]
Noise = Callable[[int], Samples]


class Known(NamedTuple):
    """What is given of a batch of samples.

    Parameters
    ----------
    values
        Clean values, of the batch's shape; any where not known.
    mask
        Bool of the same shape, True = given.
    """

    values: Samples
    mask: NDArray[np.bool_]


def sample_ddpm(denoise: Denoise, x: Samples, schedule: Schedule, noise: Noise) -> Samples:
    """Draw samples by all timesteps of the training (Ho et al., arXiv:2006.11239).

    Parameters
    ----------
    denoise
        The network: its output for samples at a timestep, or the x_0 that follows where it predicts bits.
    x
        (n, …) standard normals, ``noise(0)``.
    schedule
        That the network was trained with.
    noise
        Standard normals of x's shape for evaluation 1, 2, …; a function of its number.

    Returns
    -------
    (n, …) samples, in x's dtype
    """
    return _walk(denoise, x, tabulate_steps(schedule, Sampling(schedule.training_steps)), noise)


def sample_ddim(denoise: Denoise, x: Samples, schedule: Schedule, noise: Noise, sampling: Sampling) -> Samples:
    """Draw samples by fewer timesteps (Song et al., arXiv:2010.02502); arguments as for `sample_ddpm`."""
    return _walk(denoise, x, tabulate_steps(schedule, sampling), noise)


def sample_repaint(
    denoise: Denoise, x: Samples, schedule: Schedule, noise: Noise, sampling: Sampling, known: Known
) -> Samples:
    """Draw samples that continue what is given (Lugmayr et al., arXiv:2201.09865).

    Parameters
    ----------
    denoise, x, schedule, noise
        As for `sample_ddpm`.
    sampling
        How to draw.
    known
        What is given: it comes out exactly so.

    Returns
    -------
    (n, …) samples, in x's dtype

    Raises
    ------
    MicrorunError
        If only some samples of the batch have known voxels: they need other steps than the rest.
    """
    has_known = known.mask.reshape(len(x), -1).any(axis=1)
    if has_known.any() != has_known.all():
        raise MicrorunError("samples with and without known voxels need batches of their own; got both in one")
    return _walk(denoise, x, tabulate_steps(schedule, sampling, bool(has_known.any())), noise, known)


def _walk(denoise: Denoise, x: Samples, steps: Steps, noise: Noise, known: Known | None = None) -> Samples:
    rows = steps.coefficients.astype(x.dtype)
    for number, (t, (a, b, c, d, e)) in enumerate(zip(steps.timesteps.tolist(), rows, strict=True), 1):
        n = noise(number)
        drawn = c * x + d * denoise(x, t) + e * n
        # A choice and no sum, so that what is known stays so to the last bit.
        x = drawn if known is None else np.where(known.mask, a * known.values + b * n, drawn)
    return x
