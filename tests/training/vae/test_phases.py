"""The convolutions on phases against the plain ones, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from microrun.training.vae.network import LATENT_SIZES, LastStage, count_parameters
from microrun.training.vae.phases import SIDE, grow_kernel, grow_padding, pointwise_kernel, same_kernel

channels = st.integers(1, 4)
halves = st.integers(1, 8)
seeds = st.integers(0, 2**31)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(found: Tensor, expected: Tensor) -> bool:
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=1e-11)


@given(channels, channels, halves, halves, seeds)
def test_same_kernel_is_the_convolution(inputs: int, outputs: int, rows: int, cols: int, seed: int) -> None:
    image, weight = draw(seed, 2, inputs, 2 * rows, 2 * cols), draw(seed + 1, outputs, inputs, SIDE, SIDE)
    phases = functional.conv2d(functional.pixel_unshuffle(image, 2), same_kernel(weight), padding=2)
    assert close(functional.pixel_shuffle(phases, 2), functional.conv2d(image, weight, padding=4))


@given(channels, channels, st.integers(5, 12), st.integers(5, 12), st.integers(0, 8), seeds)
def test_grow_kernel_is_the_transposed_convolution(
    inputs: int, outputs: int, rows: int, cols: int, padding: int, seed: int
) -> None:
    image, weight = draw(seed, 2, inputs, rows, cols), draw(seed + 1, inputs, outputs, SIDE, SIDE)
    phases = functional.conv2d(functional.pad(image, grow_padding(padding)), grow_kernel(weight, padding))
    expected = functional.conv_transpose2d(image, weight, stride=2, padding=padding, output_padding=1)
    assert close(functional.pixel_shuffle(phases, 2), expected)


@given(channels, channels, halves, seeds)
def test_pointwise_kernel_is_the_convolution(inputs: int, outputs: int, rows: int, seed: int) -> None:
    image, weight = draw(seed, 2, inputs, 2 * rows, 4), draw(seed + 1, outputs, inputs, 1, 1)
    phases = functional.conv2d(functional.pixel_unshuffle(image, 2), pointwise_kernel(weight))
    assert close(functional.pixel_shuffle(phases, 2), functional.conv2d(image, weight))


@pytest.mark.parametrize("channels", [2, 8])
def test_the_last_stage_and_its_gradients_are_those_of_the_plain_layers(channels: int) -> None:
    torch.manual_seed(channels)
    stage, features = LastStage(channels).double(), draw(0, 2, channels, 61, 61).requires_grad_()
    target = draw(1, 2, 1, 120, 120)
    results = []
    for forward in (stage.forward, stage.plain):
        patterns = forward(features)
        (patterns - target).square().sum().backward()  # type: ignore[no-untyped-call]
        results.append([patterns, features.grad, *(parameter.grad for parameter in stage.parameters())])
        features.grad = None
        stage.zero_grad()
    for found, expected in zip(*results, strict=True):
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("latent_size", LATENT_SIZES)
def test_the_last_stage_has_the_layers_of_the_paper(latent_size: int) -> None:
    before, after = latent_size // 4, latent_size // 8
    grow, shortcut, project = 81 * before * after + after, 81 * after**2 + after, after + 1
    assert count_parameters(LastStage(before)) == grow + shortcut + project
