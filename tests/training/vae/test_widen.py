"""A wide autoencoder starts as the narrow one that it is made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from microrun.training.vae import widen as widen_module
from microrun.training.vae.network import VAE
from microrun.training.vae.widen import widen

SIZE = 16


@pytest.fixture(scope="module")
def trained() -> VAE:
    """An autoencoder whose every weight and bias differs from what it starts with."""
    torch.manual_seed(0)
    model = VAE(SIZE, mean=-0.2, std=0.4).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * parameter.std(correction=0).clamp(min=0.03) * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def patterns() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(3, 1, 120, 120) * 2 - 1


@torch.no_grad()
def run(model: VAE, patterns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstruction, mean, log-variance."""
    size = model.encoder.head.out_features // 2
    found: tuple[Tensor, Tensor, Tensor] = model.eval()(patterns, torch.zeros(len(patterns), size))
    return found


def test_without_noise_the_wide_model_computes_the_same(
    trained: VAE, patterns: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widen_module, "SYMMETRY_NOISE", 0.0)
    monkeypatch.setattr(widen_module, "NEW_LATENTS", 0.0)
    old, new = run(trained, patterns), run(widen(trained, seed=3), patterns)
    assert old[0].std() > 0.01
    torch.testing.assert_close(new[0], old[0], atol=1e-4, rtol=1e-4)
    for one, other in zip(new[1:], old[1:], strict=True):
        assert one.shape == (3, 2 * SIZE)
        assert other.std() > 0.01
        torch.testing.assert_close(one[:, :SIZE], other, atol=1e-4, rtol=1e-4)
    assert (new[1][:, SIZE:] == 0).all()


def test_with_noise_it_computes_nearly_the_same(trained: VAE, patterns: Tensor) -> None:
    old, new = run(trained, patterns), run(widen(trained, seed=3), patterns)
    correlation = torch.corrcoef(torch.stack([old[1].ravel(), new[1][:, :SIZE].ravel()]))[0, 1]
    assert 0.9 < correlation < 0.9999


def test_copies_of_a_channel_differ(trained: VAE) -> None:
    wide = widen(trained, seed=3)
    weight = wide.encoder.features[0].weight
    one, other = weight.chunk(2)
    assert weight.shape[0] == SIZE // 2
    assert (one != other).all()
    torch.testing.assert_close(one, trained.encoder.features[0].weight, rtol=0.6, atol=1e-6)


def test_new_latents_begin_with_little_influence(trained: VAE) -> None:
    head = widen(trained, seed=3).decoder.head.weight
    old, new = head[:, :SIZE].std(), head[:, SIZE:].std()
    assert 0 < new < 0.3 * old


def test_widening_is_a_function_of_the_seed(trained: VAE) -> None:
    states = [widen(trained, seed).state_dict() for seed in (3, 3, 4)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_the_narrow_model_stays_as_it_was(trained: VAE) -> None:
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    wide = widen(trained, seed=3)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    assert wide.encoder.standardise.mean.item() == pytest.approx(-0.2)
    assert wide.encoder.standardise.std.item() == pytest.approx(0.4)
    assert all(parameter.requires_grad for parameter in wide.parameters())


def test_the_largest_model_cannot_be_widened() -> None:
    with pytest.raises(ValueError, match="latent size must be one of"):
        widen(VAE(256), seed=0)
