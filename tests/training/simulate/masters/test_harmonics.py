"""Spherical harmonics against SciPy's, their projection against kikuchipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from write_sht import make_coefficients, sum_harmonics

from microrun.training.simulate.masters.harmonics import evaluate_on_rings, project_lambert, square_lambert


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 24), st.integers(1, 6), st.integers(0, 15), st.integers(0, 5))
def test_rings_are_those_of_scipy(degrees: int, fold: int, symmetries: int, seed: int) -> None:
    coefficients = make_coefficients(degrees, fold, symmetries, seed)
    theta, phi = np.linspace(0, math.pi, 9), 2 * math.pi * np.arange(48) / 48
    expected = sum_harmonics(coefficients, theta[:, None], phi[None, :])
    assert_allclose(evaluate_on_rings(coefficients, theta, 48), expected, atol=1e-10)


def test_high_degrees_stay_exact_up_to_the_poles() -> None:
    coefficients = np.zeros((384, 384), complex)
    coefficients[[0, 3, 200, 383], [383, 382, 310, 383]] = 1
    theta = np.array([0, 1e-6, 0.01, 0.7, 1.5, math.pi - 1e-3, math.pi])
    expected = sum_harmonics(coefficients, theta[:, None], np.zeros((1, 1)))
    assert_allclose(evaluate_on_rings(coefficients, theta, 768)[:, :1], expected, atol=1e-10)


@pytest.mark.parametrize("side", [5, 21])
def test_the_square_is_that_of_kikuchipy(side: int) -> None:
    from kikuchipy.signals.util._master_pattern import _lambert2vector

    x, y = np.meshgrid(*[np.linspace(-1, 1, side)] * 2)
    expected = _lambert2vector(x.ravel(), y.ravel()).T.reshape(3, side, side)
    assert_allclose(np.stack(square_lambert(side)), expected, atol=1e-6)


def test_hemispheres_are_the_function_in_their_directions() -> None:
    coefficients = make_coefficients(12, 2, 0)
    x, y, z = square_lambert(31)
    phi = np.arctan2(y, x)
    for found, sign in zip(project_lambert(coefficients, 31), (1, -1), strict=True):
        expected = sum_harmonics(coefficients, np.arccos(np.clip(sign * z, -1, 1)), phi)
        assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
