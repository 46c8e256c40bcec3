from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from microrun.kernels.masking import circular_keep
from microrun.training.vae.augment import Draw, add_salt_and_pepper, apply_gamma, augment, draw_view, stretch
from microrun.training.vae.config import Contrastive

LIMITS = Contrastive()
KEEP = torch.from_numpy(circular_keep((120, 120), 0).astype(np.float32))
INSIDE = KEEP > 0


@pytest.fixture(scope="module")
def patterns() -> Tensor:
    """Two crossing bands each, with noise, stretched to [−1, 1] inside the mask."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 120)] * 2, indexing="ij")
    angles = torch.pi * torch.rand(24, 2, 1, 1, generator=generator)
    bands = torch.exp(-((x * angles.cos() + y * angles.sin()) ** 2) / 0.005).sum(dim=1, keepdim=True)
    return stretch(bands + 0.05 * torch.randn(bands.shape, generator=generator), KEEP)


def draw(patterns: Tensor, seed: int = 0, limits: Contrastive = LIMITS) -> Draw:
    rows, channels, *sides = patterns.shape
    return draw_view(limits, (rows, channels, sides[0], sides[1]), torch.Generator().manual_seed(seed))


def only(drawn: Draw, **strengths: float) -> Draw:
    """A draw with the given strengths for all patterns and nothing else."""
    values = {"gamma": 1.0, "noise": 0.0, "salt_and_pepper": 0.0, **strengths}
    return replace(drawn, **{name: torch.full_like(drawn.gamma, value) for name, value in values.items()})


def test_views_are_prepared_patterns_again(patterns: Tensor) -> None:
    views = augment(patterns, KEEP, draw(patterns))
    assert (views[:, :, ~INSIDE] == 0).all()
    inside = views[:, 0, INSIDE]
    assert torch.allclose(inside.amin(dim=1), torch.tensor(-1.0), atol=1e-6)
    assert torch.allclose(inside.amax(dim=1), torch.tensor(1.0), atol=1e-6)


def test_without_strength_nothing_changes(patterns: Tensor) -> None:
    assert torch.allclose(augment(patterns, KEEP, only(draw(patterns))), patterns, atol=1e-6)


@pytest.mark.parametrize(
    "strengths",
    [
        {"gamma": LIMITS.gamma},
        {"gamma": 1 / LIMITS.gamma},
        {"noise": LIMITS.noise},
        {"salt_and_pepper": LIMITS.salt_and_pepper},
        {"gamma": LIMITS.gamma, "noise": LIMITS.noise, "salt_and_pepper": LIMITS.salt_and_pepper},
    ],
    ids=str,
)
def test_bands_stay_where_they_are(patterns: Tensor, strengths: dict[str, float]) -> None:
    views = augment(patterns, KEEP, only(draw(patterns), **strengths))
    assert not torch.equal(views, patterns)
    centred = [(images - images[:, :, INSIDE].mean()) * KEEP for images in (patterns, views)]
    before, after = (torch.fft.rfft2(images) for images in centred)
    correlation = torch.fft.irfft2(before.conj() * after).flatten(1)
    assert (correlation.argmax(dim=1) == 0).all()  # no displacement


@given(st.floats(0.2, 5), st.integers(0, 1000))
def test_gamma_keeps_order_and_range(gamma: float, seed: int) -> None:
    values = 2 * torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) - 1
    values[0, 0, 0, :2] = torch.tensor([-1.0, 1.0])
    changed = apply_gamma(values, torch.full((1, 1, 1, 1), gamma))
    order = values.flatten().argsort()
    assert (changed.flatten()[order].diff() >= 0).all()
    assert changed.min() == -1 and changed.max() == 1


def test_gamma_below_one_brightens(patterns: Tensor) -> None:
    brighter, darker = (apply_gamma(patterns, torch.full((24, 1, 1, 1), gamma)) for gamma in (0.5, 2.0))
    assert (brighter >= patterns).all() and (darker <= patterns).all()
    assert (brighter - patterns).mean() > 0.1


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.5])
def test_salt_and_pepper_changes_the_stated_share(share: float) -> None:
    generator = torch.Generator().manual_seed(1)
    flat = torch.zeros(40, 1, 120, 120)
    noisy = add_salt_and_pepper(flat, torch.full((40, 1, 1, 1), share), torch.rand(flat.shape, generator=generator))
    tolerance = 5 * (share / flat.numel()) ** 0.5
    assert set(noisy.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert float((noisy == 1).float().mean()) == pytest.approx(share / 2, abs=tolerance)
    assert float((noisy == -1).float().mean()) == pytest.approx(share / 2, abs=tolerance)


def test_noise_has_the_stated_deviation(patterns: Tensor) -> None:
    drawn = only(draw(patterns), noise=0.1)
    views = augment(patterns, KEEP, drawn)[:, 0, INSIDE]
    noise = (drawn.noise * drawn.normal)[:, 0, INSIDE]
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02)
    noisy = patterns[:, 0, INSIDE] + noise  # the view is that, stretched: an affine map of it
    for view, expected in zip(views, noisy, strict=True):
        assert float(torch.corrcoef(torch.stack([view, expected]))[0, 1]) == pytest.approx(1, abs=1e-5)


def test_strengths_are_each_patterns_own_in_any_combination() -> None:
    drawn = draw(torch.empty(4000, 1, 1, 1))
    used = torch.stack([drawn.gamma != 1, drawn.noise > 0, drawn.salt_and_pepper > 0]).flatten(1)
    assert torch.allclose(used.float().mean(dim=1), torch.tensor(0.5), atol=0.04)
    combinations = (used * torch.tensor([[4], [2], [1]])).sum(dim=0).bincount(minlength=8)
    assert (combinations > 400).all()  # 500 are expected
    assert drawn.gamma.min() >= 1 / LIMITS.gamma and drawn.gamma.max() <= LIMITS.gamma
    assert 0.95 * LIMITS.noise < drawn.noise.max() <= LIMITS.noise
    assert 0.95 * LIMITS.salt_and_pepper < drawn.salt_and_pepper.max() <= LIMITS.salt_and_pepper
    assert float(drawn.gamma.log().mean()) == pytest.approx(0, abs=0.03)


def test_a_part_of_a_draw_gives_the_same_views(patterns: Tensor) -> None:
    drawn, rows = draw(patterns), slice(5, 9)
    assert torch.equal(augment(patterns, KEEP, drawn)[rows], augment(patterns[rows], KEEP, drawn.part(rows)))


@pytest.mark.parametrize(
    "change", [{"weight": -1.0}, {"temperature": 0.0}, {"salt_and_pepper": 1.1}, {"noise": -0.1}, {"gamma": 0.5}]
)
def test_settings_that_make_no_sense(change: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Contrastive(**change)
