"""The schedule against products of whole fractions, the gamma function and diffusers."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from math import exp, lgamma, log, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from microrun.runtime.errors import MicrorunError, SpecError
from microrun.runtime.schedule import Schedule


@pytest.mark.parametrize("steps", [50, 250, 1000])
def test_what_is_left_is_the_product_of_the_scaled_variances(steps: int) -> None:
    scale, last = Fraction(1000, steps), Fraction(2, 100)
    betas = [scale * (Fraction(1, 10000) + (last - Fraction(1, 10000)) * t / (steps - 1)) for t in range(steps)]
    schedule = Schedule(steps)
    assert schedule.alphas_cumprod.dtype == np.float64
    expected = [float(prod(1 - beta for beta in betas[: t + 1])) for t in (0, 1, steps // 2, steps - 1)]
    assert_allclose(schedule.alphas_cumprod[[0, 1, steps // 2, steps - 1]], expected, rtol=1e-11)


def test_the_end_agrees_with_the_gamma_function() -> None:
    rise = (0.02 - 1e-4) / 999
    first = (1 - 1e-4) / rise
    closed = exp(1000 * log(rise) + lgamma(first + 1) - lgamma(first - 999))
    assert_allclose(Schedule(1000).alphas_cumprod[-1], closed, rtol=1e-8)
    assert_allclose(closed, 4.0358e-5, rtol=1e-4)


@pytest.mark.parametrize("steps", [50, 100, 250, 500])
def test_any_number_of_training_steps_ends_in_as_much_noise(steps: int) -> None:
    ends = np.sqrt(Schedule(steps).alphas_cumprod[-1]), np.sqrt(Schedule(1000).alphas_cumprod[-1])
    assert 0 < ends[0] < 1.2 * ends[1] < 0.008


def test_zero_terminal_snr_ends_in_pure_noise_and_starts_as_before() -> None:
    plain, zero = Schedule(250, prediction="v"), Schedule(250, zero_terminal_snr=True, prediction="v")
    assert zero.alphas_cumprod[-1] == 0
    assert_allclose(zero.alphas_cumprod[0], plain.alphas_cumprod[0])
    assert (np.diff(zero.alphas_cumprod) < 0).all()
    roots = np.sqrt(np.array([plain.alphas_cumprod, zero.alphas_cumprod]))
    assert_allclose(np.diff(roots[1]) / np.diff(roots[0]), roots[0, 0] / (roots[0, 0] - roots[0, -1]))


@pytest.mark.parametrize("zero", [False, True])
def test_it_is_the_schedule_of_diffusers(zero: bool) -> None:
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDPMScheduler(1000, rescale_betas_zero_snr=zero).alphas_cumprod.numpy()
    ours = Schedule(1000, zero_terminal_snr=zero, prediction="v").alphas_cumprod
    assert_allclose(np.sqrt(ours), np.sqrt(theirs), atol=2e-5)


@given(st.integers(21, 1000), st.data())
def test_trailing_timesteps_start_at_the_noise_and_descend(steps: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, steps))
    timesteps = Schedule(steps).timesteps(count)
    assert timesteps.dtype == np.int64
    assert len(timesteps) == count
    assert timesteps[0] == steps - 1
    assert timesteps[-1] >= 0
    gaps = -np.diff(timesteps, append=-1)
    assert (gaps >= steps // count - (steps % count > 0)).all()
    assert (gaps <= -(-steps // count) + 1).all()
    assert (gaps > 0).all()


@pytest.mark.parametrize(("count", "spacing"), [(20, "leading"), (50, "leading"), (20, "trailing"), (37, "trailing")])
def test_timesteps_are_those_of_diffusers(count: int, spacing: str) -> None:
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDIMScheduler(250 if spacing == "trailing" else 1000, timestep_spacing=spacing)
    theirs.set_timesteps(count)
    ours = Schedule(theirs.config.num_train_timesteps).timesteps(count, spacing)  # type: ignore[arg-type]
    assert_array_equal(ours, theirs.timesteps.numpy())


def test_all_timesteps_are_the_same_either_way() -> None:
    schedule = Schedule(250)
    assert_array_equal(schedule.timesteps(250), np.arange(249, -1, -1))
    assert_array_equal(schedule.timesteps(250, "leading"), np.arange(249, -1, -1))


def test_timesteps_that_do_not_fit_are_refused() -> None:
    schedule = Schedule(250)
    for count in (0, -3, 251):
        with pytest.raises(MicrorunError, match=f"must be 1 to 250, as in training; got {count}"):
            schedule.timesteps(count)
    with pytest.raises(MicrorunError, match="100 timesteps with leading spacing must divide the 250 of training"):
        schedule.timesteps(100, "leading")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training_steps": 1}, "training_steps must be 2 to 1,000,000, a whole number; got 1"),
        ({"training_steps": 1 << 40}, "training_steps must be 2 to 1,000,000"),
        ({"training_steps": 20}, "betas must rise from above 0 to below 0.02"),
        ({"beta_start": 0.0}, "betas must rise"),
        ({"beta_start": 0.03}, "betas must rise"),
        ({"prediction": "x0"}, "prediction must be one of eps, v, bits; got 'x0'"),
        ({"zero_terminal_snr": True}, "needs prediction 'v' or 'bits'"),
        ({"steps": 5}, "a schedule is not readable: .*steps"),
    ],
)
def test_values_that_make_no_schedule_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Schedule.from_dict(values)


def test_a_schedule_survives_json() -> None:
    schedule = Schedule(300, 2e-4, 0.03, True, "v")
    assert Schedule.from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule


def test_a_schedule_cannot_be_changed() -> None:
    schedule = Schedule()
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.training_steps = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        schedule.alphas_cumprod[0] = 1
