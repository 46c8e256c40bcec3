"""What pools measure, on temperatures of known isotherms; what their readers are told."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microrun.training.simulate.melt_pool.depth_law import published_depth
from microrun.training.simulate.melt_pool.field import Balance, MovingField
from microrun.training.simulate.melt_pool.material import STEEL_316L
from microrun.training.simulate.melt_pool.measure import find_warnings, length_above, measure_pool
from microrun.training.simulate.melt_pool.process import Process

GRADIENT_K_UM = 20.0


def cone(radius_um: float, centre_um: float = 100.0, speed: float = 0.8, step: float = 2.0) -> MovingField:
    """Temperatures that fall by 20 K/µm from a point in the surface; at a radius they are the liquidus."""
    z, y, x = ((np.arange(side) + 0.5) * step for side in (40, 100, 110))
    z, y = z - 40 * step, y - 50 * step
    r = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + (x - centre_um) ** 2)
    kelvin = STEEL_316L.liquidus_k + GRADIENT_K_UM * (radius_um - r)
    return MovingField(
        np.maximum(kelvin, 300).astype(np.float32), step, 120.0, Process(100.0, speed), STEEL_316L, "conduction"
    )


def test_the_size_of_a_half_sphere() -> None:
    pool = measure_pool(cone(50.0))
    assert pool.width_um == pytest.approx(100, abs=0.2)
    assert pool.depth_um == pytest.approx(50, abs=0.2)
    assert pool.length_um == pytest.approx(100, abs=0.2)
    assert pool.peak_k == pytest.approx(1723 + 1000, abs=40)


def test_its_isotherm_gradient_and_growth() -> None:
    field = cone(50.0, speed=0.8)
    front = measure_pool(field).front
    z, y = (np.arange(40) + 0.5 - 40) * 2, (np.arange(100) + 0.5 - 50) * 2
    across = np.sqrt(z[:, None] ** 2 + y**2)
    half = np.sqrt(np.maximum(50**2 - across**2, 0))
    inner = across < 40
    np.testing.assert_allclose((front.fore_um - front.back_um)[inner], 2 * half[inner], atol=0.3)
    np.testing.assert_allclose(front.back_um[inner], (100 - 120 - half)[inner], atol=0.2)
    np.testing.assert_allclose(front.gradient_k_m[inner], GRADIENT_K_UM * 1e6, rtol=0.01)
    np.testing.assert_allclose(front.growth_m_s[inner], (0.8 * half / 50)[inner], rtol=0.02)
    np.testing.assert_allclose(front.cooling_k_s, front.gradient_k_m * front.growth_m_s)
    assert not front.melts[across > 52].any()


@settings(max_examples=20, deadline=None)
@given(st.floats(6, 70), st.floats(90, 130))
def test_sizes_follow_the_radius(radius: float, centre: float) -> None:
    pool = measure_pool(cone(radius, centre))
    assert pool.width_um == pytest.approx(2 * radius, abs=0.4)
    assert pool.depth_um == pytest.approx(radius, abs=0.4)
    assert pool.length_um == pytest.approx(2 * radius, abs=0.4)


def test_without_a_pool_all_is_zero_and_a_line_says_so() -> None:
    field = cone(-20.0)
    pool = measure_pool(field)
    assert (pool.width_um, pool.depth_um, pool.length_um) == (0, 0, 0)
    assert not pool.front.melts.any() and all(map(math.isnan, pool.averages()))
    (line,) = find_warnings(field, pool)
    assert "no metal melts at 100 W and 0.8 m/s" in line and "1,723 K" in line


def test_warnings_name_what_matters() -> None:
    def said(field: MovingField) -> str:
        return " | ".join(find_warnings(field, measure_pool(field)))

    assert said(cone(50.0)) == ""
    deep = cone(50.0)
    narrow = replace(deep, temperature=deep.temperature[:, 30:70].copy())
    assert "cuts what is above 1,200 K at its side" in said(narrow)
    tall = replace(deep, temperature=np.repeat(deep.temperature, 2, axis=0))
    assert "keyhole" in said(tall)
    hot = replace(deep, temperature=np.where(deep.temperature > 2100, np.float32(5000), deep.temperature))
    assert "5,000 K, is beyond boiling (3,090 K)" in said(hot)
    assert "cells deep" in said(cone(5.0))
    balance = Balance(40, 40, 0, 0, 0, 55.0, 300)
    assert "not steady" in said(replace(deep, balance=balance)) and "55 K" in said(replace(deep, balance=balance))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(1e-3, 0.999))
def test_a_length_lies_within_its_cells(line: list[float], level: float) -> None:
    length = length_above(np.array(line), level)
    above = [number for number, value in enumerate(line) if value >= level]
    assert (above[-1] + 0.5 <= length <= above[-1] + 1.5) if above else length == 0


@pytest.mark.parametrize(
    ("power", "speed", "depth"), [(150, 0.5, 111), (150, 0.8, 69), (200, 0.5, 179), (200, 0.8, 122)]
)
def test_the_depth_law_gives_what_was_published(power: float, speed: float, depth: float) -> None:
    assert published_depth(Process(power, speed)) == pytest.approx(depth, abs=1)
