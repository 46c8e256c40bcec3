from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from microrun.training.vae.contrastive import Network, Projection, nt_xent
from microrun.training.vae.network import VAE


def slow_nt_xent(first: Tensor, second: Tensor, temperature: float) -> float:
    """Chen et al., equation 1, written out."""
    views = [*first.tolist(), *second.tolist()]
    n = len(first)

    def likeness(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b) / temperature

    total = 0.0
    for i, view in enumerate(views):
        partner = views[(i + n) % (2 * n)]
        others = sum(math.exp(likeness(view, views[k])) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(likeness(view, partner)) / others)
    return total / (2 * n)


@given(st.integers(1, 6), st.integers(2, 5), st.floats(0.1, 2), st.integers(0, 1000))
def test_nt_xent_is_the_papers(n: int, size: int, temperature: float, seed: int) -> None:
    pair = torch.randn(2, n, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert float(nt_xent(*pair, temperature)) == pytest.approx(slow_nt_xent(*pair, temperature), rel=1e-9)


def test_nt_xent_falls_as_partners_become_alike() -> None:
    first, other = torch.eye(8), torch.eye(8).roll(1, dims=0)
    alike, swapped = nt_xent(first, first, 0.5), nt_xent(first, other, 0.5)
    nothing = nt_xent(torch.ones(8, 3), torch.ones(8, 3), 0.5)
    assert alike < nothing < swapped
    assert float(nothing) == pytest.approx(math.log(15))
    assert torch.equal(nt_xent(3 * first, first, 0.5), alike)  # only directions count


def test_the_network_projects_the_mean_only_in_the_contrastive_variant() -> None:
    torch.manual_seed(0)
    vae, views, eps = VAE(16), torch.rand(2, 1, 120, 120), torch.randn(2, 16)
    projection = Projection(16)
    with torch.no_grad():
        *plain, nothing = Network(vae, None)(views, eps)
        *outputs, projected = Network(vae, projection)(views, eps)
        assert nothing is None
        assert all(torch.equal(a, b) for a, b in zip(plain, outputs, strict=True))
        assert torch.equal(projected, projection(outputs[1])) and projected.shape == (2, 16)
