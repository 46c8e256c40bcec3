"""Exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """Average of a model's weights over the last steps.

    Parameters
    ----------
    model
        Its state is averaged; fixed buffers stay what they are.
    decay
        Share of the old average that a step keeps, reached gradually: min(decay, (1 + n)/(10 + n)).
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.steps = 0
        self.weights: dict[str, Tensor] = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        # All at once: a card spends more on launches than on so few numbers.
        torch._foreach_lerp_(list(self.weights.values()), list(model.state_dict().values()), 1 - keep)

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor], steps: int) -> None:
        """Go on with an average that was saved.

        Parameters
        ----------
        weights
            The average, by name.
        steps
            Steps that it has taken in.
        """
        for name, value in self.weights.items():
            value.copy_(weights[name])
        self.steps = steps
