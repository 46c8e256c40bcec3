"""Bits under noise, against Bayes' theorem spelled out."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from microrun.runtime.schedule import Schedule
from microrun.training.diffusion.bits import BitOdds

SCHEDULE = Schedule(250, zero_terminal_snr=True, prediction="bits")


@given(st.integers(0, 249), st.floats(-3, 3), st.floats(0.01, 0.99))
def test_the_tangent_of_the_odds_is_the_expected_bit(timestep: int, x: float, chance: float) -> None:
    """`chance` is what the surroundings say: that the bit is 1 and not −1."""
    signal, spread = np.sqrt(SCHEDULE.alphas_cumprod[timestep]), np.sqrt(1 - SCHEDULE.alphas_cumprod[timestep])
    log_odds = np.log(chance / (1 - chance)) + norm.logpdf(x, signal, spread) - norm.logpdf(x, -signal, spread)
    output = torch.full((1, 1, 1, 1), np.log(chance / (1 - chance)) / 2)
    odds = BitOdds(SCHEDULE)(output, torch.full((1, 1, 1, 1), x), torch.tensor([timestep]))
    np.testing.assert_allclose(torch.tanh(odds), np.tanh(log_odds / 2), rtol=1e-4, atol=1e-5)


def test_every_sample_has_the_odds_of_its_timestep() -> None:
    x, timestep = torch.randn(3, 2, 4, 4, 4), torch.tensor([0, 120, 249])
    together = BitOdds(SCHEDULE)(torch.zeros_like(x), x, timestep)
    for one in range(3):
        alone = BitOdds(SCHEDULE)(torch.zeros(1, 2, 4, 4, 4), x[one : one + 1], timestep[one : one + 1])
        assert torch.equal(together[one], alone[0])
    assert not together[2].any()  # pure noise says nothing
