"""Bits under noise: what each says of itself, and what a network reads off the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from microrun.runtime.schedule import Schedule


class BitOdds(nn.Module):
    """Half the log-odds of bits: the evidence of their own noised values, and what a network adds to it.

    The expected bit is the hyperbolic tangent of that. With values of their own known exactly, a network need not
    pass them on, and says only what follows from their surroundings: all that a network on patches has room for.

    Parameters
    ----------
    schedule
        Of the noise.
    """

    evidence: Tensor

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.register_buffer("evidence", torch.from_numpy(schedule.evidence).float()[:, None])

    def forward(self, output: Tensor, x: Tensor, timestep: Tensor) -> Tensor:
        """Add both.

        Parameters
        ----------
        output
            (batch, channels, …) of the network.
        x
            (batch, channels, …) noised bits.
        timestep
            (batch,) of integers.

        Returns
        -------
        (batch, channels, …)
        """
        return output + functional.embedding(timestep, self.evidence).reshape(-1, *(1 for _ in x.shape[1:])) * x
