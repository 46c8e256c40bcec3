"""The noise schedule that training and sampling share: how much of a sample is left at every timestep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import MicrorunError, SpecError

Prediction = Literal["eps", "v", "bits"]
Spacing = Literal["trailing", "leading"]
MOST_STEPS = 1_000_000  # thousands are usual


@dataclass(frozen=True)
class Schedule:
    """Linear variances, scaled so that any number of training steps ends in as much noise as 1,000 do.

    A noised sample is x_t = √ᾱ_t·x_0 + √(1 − ᾱ_t)·ε with ᾱ = `alphas_cumprod`. Unscaled, the usual variances
    leave 28 % of the sample's amplitude at the end of 250 steps, a level that sampling from pure noise never sees.

    Parameters
    ----------
    training_steps
        T; timesteps are 0 … T − 1.
    beta_start, beta_end
        Variances of the first and the last of 1,000 steps.
    zero_terminal_snr
        Shift and stretch √ᾱ so that the last timestep is pure noise (Lin et al., arXiv:2305.08891); the network
        must predict v or bits then, since ε says nothing there.
    prediction
        What the network predicts: "eps" the noise, "v" = √ᾱ·ε − √(1 − ᾱ)·x_0, or "bits", for samples of −1 and 1,
        half the log-odds that a value's surroundings add to its own: x_0 = tanh(output + `evidence`·x_t).

    Raises
    ------
    SpecError
        If the values make no schedule.
    """

    training_steps: int = 250
    beta_start: float = 1e-4
    beta_end: float = 0.02
    zero_terminal_snr: bool = False
    prediction: Prediction = "eps"

    def __post_init__(self) -> None:
        if not isinstance(self.training_steps, int) or not 2 <= self.training_steps <= MOST_STEPS:
            raise SpecError(f"training_steps must be 2 to {MOST_STEPS:,}, a whole number; got {self.training_steps!r}")
        largest = self.training_steps / 1000
        if not 0 < self.beta_start <= self.beta_end < largest:
            raise SpecError(
                f"betas must rise from above 0 to below {largest:g}, so that scaled to {self.training_steps} steps "
                f"they stay below 1; got {self.beta_start} and {self.beta_end}"
            )
        if self.prediction not in get_args(Prediction):
            raise SpecError(f"prediction must be one of {', '.join(get_args(Prediction))}; got {self.prediction!r}")
        if self.zero_terminal_snr and self.prediction == "eps":
            raise SpecError(
                "a schedule that ends in pure noise (zero_terminal_snr) needs prediction 'v' or 'bits'; got 'eps'"
            )

    @cached_property
    def alphas_cumprod(self) -> NDArray[np.float64]:
        """ᾱ, (T,) float64, descending: the share of the sample's variance that is left at each timestep."""
        betas = np.linspace(self.beta_start, self.beta_end, self.training_steps) * (1000 / self.training_steps)
        alphas_cumprod = np.cumprod(1 - betas, dtype=np.float64)
        if self.zero_terminal_snr:
            roots = np.sqrt(alphas_cumprod)
            alphas_cumprod = np.square((roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1])))
        alphas_cumprod.flags.writeable = False
        return alphas_cumprod

    @property
    def evidence(self) -> NDArray[np.float64]:
        """√ᾱ/(1 − ᾱ), (T,) float64: half the log-odds of a bit, −1 or 1, by each unit of its own noised value."""
        kept = self.alphas_cumprod
        own: NDArray[np.float64] = np.sqrt(kept) / (1 - kept)
        return own

    def timesteps(self, count: int, spacing: Spacing = "trailing") -> NDArray[np.int64]:
        """Choose the timesteps that sampling visits.

        Parameters
        ----------
        count
            How many, 1 to T.
        spacing
            "trailing" starts at the last timestep, T − 1, where the noise is, and fits any count. "leading" ends at
            timestep 0 and starts at T − T/count, below pure noise: only to compare with those who sample so.

        Returns
        -------
        (count,) int64, descending

        Raises
        ------
        MicrorunError
            If so many timesteps do not fit.
        """
        steps = self.training_steps
        if not 1 <= count <= steps:
            raise MicrorunError(f"the number of timesteps must be 1 to {steps}, as in training; got {count}")
        if spacing == "trailing":
            return np.round((steps * np.arange(count, 0, -1)) / count).astype(np.int64) - 1
        if steps % count:
            raise MicrorunError(f"{count} timesteps with leading spacing must divide the {steps} of training")
        return np.arange(count, dtype=np.int64)[::-1] * (steps // count)

    def to_dict(self) -> dict[str, Any]:
        """Values by name, as JSON can hold them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Schedule:
        """Read what `to_dict` made.

        Raises
        ------
        SpecError
            If names or values make no schedule.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise SpecError(f"a schedule is not readable: {error}; export the model again") from None
