"""Windows of power and speed, as the data of a new model suggest them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microrun.training.diffusion.section_setup import NEAR, _window
from microrun.training.simulate.campaign.cases import spread_cases


@pytest.mark.parametrize("count", [25, 40])
def test_the_window_of_a_campaign_is_what_it_was_spread_over(count: int) -> None:
    cases = spread_cases(count)
    assert _window(np.array([case.power_w for case in cases])) == (100, 200)
    assert _window(np.array([case.speed_m_s for case in cases])) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("values", "window"),
    [([100.0, 200.0], (100, 200)), ([150.0, 162.0], (150, 162)), ([0.9, 0.9], (0.9, 0.9)), ([0.3, 1.1], (0.3, 1.1))],
)
def test_windows_that_are_round_or_far_from_it_stay(values: list[float], window: tuple[float, float]) -> None:
    assert _window(np.array(values)) == window


@given(st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=20))
def test_a_window_holds_all_and_little_more(numbers: list[float]) -> None:
    values = np.array(numbers)
    low, high = _window(values)
    room = (NEAR + 1e-6) * np.ptp(values) + 1e-9
    assert values.min() - room <= low <= values.min() and values.max() <= high <= values.max() + room
