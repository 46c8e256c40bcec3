"""Training of a denoiser whose weights are few levels, such that its file is small.

A weight is a whole number times a step of its channel. The first and the last layer, which lose most by it, get more
levels. The network computes with what is rounded, and gradients pass through the rounding (the straight-through
estimator of Bengio et al., arXiv:1308.3432): rounding only at the end cost two fifths of what training had gained.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from microrun.training.diffusion.trainer import DiffusionTrainer

MOST, MOST_AT_ENDS = 7, 31  # the highest level
ENDS = ("stem.", "head.")
LEAST_VALUES = 4096  # of weights that are worth it
SHARES = torch.linspace(0.5, 1, 26)  # of the largest weight of a channel, at which the highest level may lie
STEP_BITS = 5  # of a step's mantissa: a level times a step is a number of half precision, not rounded
LEAST_STEP = 1e-6


class LevelTrainer(DiffusionTrainer):
    """Train a U-Net whose weights are levels; its steps are chosen of the weights that it begins with.

    Parameters are those of `DiffusionTrainer`.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._fine: dict[str, Tensor] = {}
        self._set_steps()
        self.optimizer.register_step_pre_hook(lambda *_: self._restore())

    def resume(self) -> None:
        """Load the last state of the folder, if there is one; steps are those of its average."""
        super().resume()
        self._set_steps()

    @torch.no_grad()
    def _set_steps(self) -> None:
        averaged = self.average.weights
        self._most = {
            name: MOST_AT_ENDS if name.startswith(ENDS) else MOST
            for name, weight in averaged.items()
            if weight.dim() > 1 and weight.numel() >= LEAST_VALUES
        }
        self._steps = {name: choose_steps(averaged[name], most) for name, most in self._most.items()}

    def terms(self) -> Tensor:
        """The loss of the rounded network; its own weights come back before the optimiser changes them."""
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if name in self._most:
                    self._fine[name] = parameter.detach().clone()
                    parameter.copy_(self._round(name, parameter))
        return super().terms()

    @torch.no_grad()
    def _restore(self) -> None:
        for name, parameter in self.network.named_parameters():
            if name in self._fine:
                parameter.copy_(self._fine.pop(name))

    @property
    def weights(self) -> dict[str, Tensor]:
        """The averaged weights, rounded."""
        averaged = super().weights
        return {name: self._round(name, one) if name in self._most else one for name, one in averaged.items()}

    def _round(self, name: str, weight: Tensor) -> Tensor:
        return round_to(weight, self._steps[name], self._most[name])


def choose_steps(weight: Tensor, most: int) -> Tensor:
    """Choose the step of each output channel that errs least, by squares.

    Parameters
    ----------
    weight
        (out, in, …) float32.
    most
        The highest level.

    Returns
    -------
    (out, 1, …) float32
        Of few bits, so that products with levels are exact in half precision.
    """
    rows = weight.flatten(1)
    largest = rows.abs().amax(dim=1, keepdim=True).clamp_min(LEAST_STEP)
    best, steps = torch.full_like(largest, torch.inf), largest
    for share in SHARES.tolist():
        tried = _few_bits(largest * share / most)
        error = (rows - round_to(rows, tried, most)).square().sum(dim=1, keepdim=True)
        steps = torch.where(error < best, tried, steps)
        best = torch.minimum(best, error)
    return steps.reshape(-1, *(1 for _ in weight.shape[1:]))


def round_to(weight: Tensor, steps: Tensor, most: int) -> Tensor:
    """Round to the nearest level from −most to most; weight and steps broadcast."""
    return (weight / steps).round().clamp(-most, most) * steps


def _few_bits(steps: Tensor) -> Tensor:
    mantissa, exponent = torch.frexp(steps)
    return torch.ldexp((mantissa * (1 << STEP_BITS)).round() / (1 << STEP_BITS), exponent)
