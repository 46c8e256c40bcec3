"""DDPM, DDIM and RePaint, all by one step whose five numbers come from a table.

    x' = a·known + b·n          where a voxel is known
    x' = c·x + d·output + e·n   elsewhere

with the network's output at the timestep (of one that predicts bits the x_0 that follows) and one standard normal n
per voxel. A denoising step and the forward steps that a resampling adds behind it are both Gaussian, so that together
they are one such step. A graph that holds network and step does the same on a device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError
from microrun.runtime.schedule import Prediction, Schedule, Spacing

MOST_EVALUATIONS = 1_000_000  # their table takes 50 MB; the network, days for each sample


@dataclass(frozen=True)
class Sampling:
    """How a sample is drawn.

    Parameters
    ----------
    count
        Timesteps visited.
    eta
        Noise added at each step: 1 as much as DDPM, 0 none (DDIM).
    n_resample
        How often each timestep is denoised where voxels are known (RePaint's r); 1 is no resampling.
    jump_length
        Timesteps gone back at once for a resampling (RePaint's j).
    plain_steps
        So many last timesteps are never resampled.
    known_lead
        How far known voxels are ahead of the others on their way from noise, as a share of all timesteps; 0 as in
        RePaint. What is known of a grain is then told before the rest has become another grain: without, borders of
        blocks show.
    spacing
        As for `Schedule.timesteps`.
    """

    count: int
    eta: float = 1.0
    n_resample: int = 1
    jump_length: int = 1
    plain_steps: int = 0
    known_lead: float = 0.0
    spacing: Spacing = "trailing"

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise MicrorunError(f"eta must be 0 (no noise added) to 1 (as in DDPM); got {self.eta:g}")
        if self.n_resample < 1 or self.jump_length < 1 or self.plain_steps < 0:
            raise MicrorunError(
                "n_resample and jump_length must be 1 or more, plain_steps 0 or more; "
                f"got {self.n_resample}, {self.jump_length}, {self.plain_steps}"
            )
        if self.count * self.n_resample > MOST_EVALUATIONS:
            raise MicrorunError(
                f"a sample takes at most {MOST_EVALUATIONS:,} evaluations of the network; {self.count:,} timesteps, "
                f"each denoised {self.n_resample:,} times, take more: resample less"
            )
        if not 0 <= self.known_lead <= 1:
            raise MicrorunError(f"known_lead is a share of all timesteps, 0 to 1; got {self.known_lead:g}")


class Steps(NamedTuple):
    """Every evaluation of the network in its order.

    Parameters
    ----------
    timesteps
        (evaluations,) int64.
    coefficients
        (evaluations, 5) float64: a, b, c, d, e.
    """

    timesteps: NDArray[np.int64]
    coefficients: Float64


def tabulate_steps(schedule: Schedule, sampling: Sampling, has_known: bool = False) -> Steps:
    """Make the table of steps.

    Parameters
    ----------
    schedule
        That the network was trained with.
    sampling
        How to draw.
    has_known
        Whether voxels are given. Without, nothing is gained by resampling, and none is done.

    Returns
    -------
    Steps
        From noise to the clean sample.

    Raises
    ------
    MicrorunError
        If so many timesteps do not fit the schedule.
    """
    timesteps = schedule.timesteps(sampling.count, sampling.spacing)[::-1]
    visits = np.array(_visit_levels(sampling, has_known))
    # Level −1 is the clean sample: the last element.
    kept = np.append(schedule.alphas_cumprod[timesteps], 1.0)
    level, after = visits.T
    unknown = _step_coefficients(kept[level], kept[level - 1], kept[after], (schedule.prediction, sampling.eta))
    lead = round(sampling.known_lead * schedule.training_steps)
    known = np.append(schedule.alphas_cumprod, 1.0)[np.maximum(np.append(timesteps, -1)[after] - lead, -1)]
    given = np.sqrt(np.stack([known, 1 - known], axis=1))
    return Steps(timesteps[level], np.concatenate([given, unknown], axis=1))


def _visit_levels(sampling: Sampling, has_known: bool) -> list[tuple[int, int]]:
    """Pairs (level denoised, level where the step ends), as RePaint's figure 9 numbers them."""
    count, jump = sampling.count, sampling.jump_length
    jumps = {}
    if has_known:
        starts = range(0, count - jump, jump)
        jumps = {level: sampling.n_resample - 1 for level in starts if level >= sampling.plain_steps}
    visits, level = [], count - 1
    while level >= 0:
        after = level - 1
        if jumps.get(level, 0):
            jumps[level] -= 1
            after += jump
        visits.append((level, after))
        level = after
    return visits


def _step_coefficients(now: Float64, before: Float64, after: Float64, how: tuple[Prediction, float]) -> Float64:
    """Scalars c, d, e of steps that denoise from ᾱ = ``now`` to ``before`` and add noise back to ``after``."""
    prediction, eta = how
    spread = eta * np.sqrt((1 - before) / (1 - now) * (1 - now / before))
    direction = np.sqrt(np.maximum(1 - before - spread**2, 0))
    signal, noise = np.sqrt(now), np.sqrt(1 - now)
    if prediction == "eps":  # x_0 = (x − noise·ε) / signal
        of_x = np.sqrt(before) / signal
        of_output = direction - of_x * noise
    elif prediction == "bits":  # ε = (x − signal·x_0) / noise
        of_x = direction / noise
        of_output = np.sqrt(before) - of_x * signal
    else:  # x_0 = signal·x − noise·v and ε = signal·v + noise·x
        of_x = np.sqrt(before) * signal + direction * noise
        of_output = direction * signal - np.sqrt(before) * noise
    forward = after / before
    added = np.sqrt(forward * spread**2 + 1 - forward)
    back = np.sqrt(forward)
    return np.stack([back * of_x, back * of_output, added], axis=1)
