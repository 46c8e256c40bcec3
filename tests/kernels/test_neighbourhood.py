"""Rules of neighbours: differences to the last bit, and what no lattice can do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microrun.kernels.neighbourhood import component_rule, dbscan_rule, largest_difference


@given(st.integers(1, 3), st.floats(0.01, 2, exclude_max=True))
def test_the_largest_difference_is_the_last_that_is_close(squared_steps: int, eps: float) -> None:
    largest = largest_difference(squared_steps, eps * eps)
    if squared_steps > eps * eps:
        assert largest == -1
    else:
        beyond = math.nextafter(largest, math.inf)
        assert squared_steps + largest * largest <= eps * eps < squared_steps + beyond * beyond


@pytest.mark.parametrize(
    ("eps", "min_samples", "scale", "said"),
    [
        (2.0, 15, 1.0, "below 2.* got 2.0"),
        (0.0, 15, 1.0, "above 0"),
        (math.nan, 15, 1.0, "got nan"),
        (1.9, 0, 1.0, "min_samples .* got 0"),
        (1.9, 15, 0.0, "scale .* got 0.0"),
        (1.9, 15, math.inf, "scale .* got inf"),
    ],
)
def test_what_the_lattice_cannot_do_is_refused(eps: float, min_samples: int, scale: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dbscan_rule(eps, min_samples, scale)


def test_other_neighbourhoods_are_refused() -> None:
    with pytest.raises(ValueError, match=r"6 or 26 .* got 18"):
        component_rule(18)
