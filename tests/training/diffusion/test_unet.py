from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from microrun.training.diffusion.layers import (
    FOURIER_SCALE,
    Attention,
    FourierFeatures,
    Sinusoid,
    Upsample,
    doubling_kernel,
    gather_patches,
    spread_patches,
)
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import (
    GRAIN_UNET,
    PUBLISHED_SECTION_UNET,
    SMALL_SECTION_UNET,
    UnetConfig,
    section_unet,
)
from microrun.training.vae.network import count_parameters

SIM_TO_REAL = dataclasses.replace(PUBLISHED_SECTION_UNET, condition_size=0)
TINY = UnetConfig(dims=3, channels=(8, 16), blocks=1, attention_levels=(1,), head_size=4, groups=4, patch=2)
RENAMED = {
    "conv_in.": "stem.",
    "time_embedding.linear_1.": "time.0.",
    "time_embedding.linear_2.": "time.2.",
    "down_blocks.": "down.",
    "up_blocks.": "up.",
    "mid_block.resnets.0.": "middle.first.",
    "mid_block.resnets.1.": "middle.second.",
    "mid_block.attentions.0.": "middle.attention.",
    "resnets.": "blocks.",
    "downsamplers.0.conv.": "resample.",
    "upsamplers.0.": "resample.",
    "time_emb_proj.": "shift.",
    "conv_shortcut.": "shortcut.",
    "group_norm.": "norm.",
    "to_out.0.": "project.",
    "conv_norm_out.": "norm.",
    "conv_out.": "head.",
}


def diffusers_unet(config: UnetConfig, **settings: Any) -> Any:
    diffusers = pytest.importorskip("diffusers")
    kinds = ["Attn" * (level in config.attention_levels) for level in range(len(config.channels))]
    return diffusers.UNet2DModel(
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=config.channels,
        layers_per_block=config.blocks,
        down_block_types=[f"{kind}DownBlock2D" for kind in kinds],
        up_block_types=[f"{kind}UpBlock2D" for kind in reversed(kinds)],
        attention_head_dim=config.head_size,
        norm_num_groups=config.groups,
        **settings,
    ).eval()


def copy_from_diffusers(theirs: nn.Module, ours: UNet) -> None:
    """Copy weights; its queries, keys and values have a linear layer each, ours one convolution together."""
    weights: dict[str, Tensor] = theirs.state_dict()
    copied = ours.state_dict() if ours.condition else {}  # theirs has no part for the condition
    for name, value in weights.items():
        if ".to_k." in name or ".to_v." in name:
            continue
        if ".to_q." in name:
            value = torch.cat([weights[name.replace("to_q", part)] for part in ("to_q", "to_k", "to_v")])
            name = name.replace("to_q", "qkv")
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        if re.search(r"(qkv|project)\.weight", name):
            value = value[..., None, None]
        copied[name] = value
    ours.load_state_dict(copied)


def randomise(unet: UNet) -> UNet:
    """Give the layers that begin as zeros something to say."""
    for parameter in unet.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return unet


def sample(config: UnetConfig, side: int, batch: int = 2) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, config.in_channels, *[side] * config.dims), torch.randint(1000, (batch,))


# --- against diffusers


@pytest.mark.parametrize(
    ("config", "side"),
    [
        (SIM_TO_REAL, 64),
        (UnetConfig(dims=2, channels=(16, 32), blocks=1, groups=8), 8),
        (UnetConfig(dims=2, channels=(8, 24, 16), blocks=3, attention_levels=(0, 2), head_size=4, groups=4), 12),
        (UnetConfig(dims=2, channels=(32,), in_channels=2, out_channels=1, attention_levels=(0,), head_size=32), 6),
    ],
)
def test_it_equals_diffusers(config: UnetConfig, side: int) -> None:
    torch.manual_seed(0)
    theirs, ours = diffusers_unet(config), UNet(config).eval()
    copy_from_diffusers(theirs, ours)
    x, timestep = sample(config, side)
    with torch.no_grad():
        expected, found = theirs(x, timestep).sample, ours(x, timestep)
    assert float(expected.std()) > 0.05
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("small", [UnetConfig(dims=2, channels=(16, 32), blocks=1, groups=8), SIM_TO_REAL])
@pytest.mark.parametrize("embedding", ["perceptron", "fourier"])
def test_a_condition_is_added_as_diffusers_adds_its_class_embedding(small: UnetConfig, embedding: Any) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(small, condition_size=2, condition_embedding=embedding)
    theirs, ours = diffusers_unet(config, class_embed_type="identity"), UNet(config).eval()
    copy_from_diffusers(theirs, ours)
    (x, timestep), condition = sample(config, 16), torch.rand(2, 2)
    assert ours.condition is not None
    with torch.no_grad():
        expected = theirs(x, timestep, class_labels=ours.condition(ours.features(condition))).sample
        found = ours(x, timestep, condition)
        other = ours(x, timestep, 1 - condition)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert float((found - other).abs().max()) > 1e-3


def test_the_sim_to_real_network_has_the_papers_size() -> None:
    with torch.device("meta"):
        assert count_parameters(UNet(SIM_TO_REAL)) == 57_335_235


# --- networks for sections


def test_the_small_network_for_sections_fits_into_12_mb() -> None:
    with torch.device("meta"):
        unet = UNet(SMALL_SECTION_UNET)
        x, given = torch.zeros(1, 5, 100, 100), (torch.zeros(1), torch.zeros(1, 2))
    with FlopCounterMode(display=False) as counter:
        assert unet(x, *given).shape == x.shape
    assert count_parameters(unet) < 3e6 and counter.get_total_flops() < 1.6e9


@pytest.mark.parametrize("size", ["small", "published"])
def test_networks_take_sections_of_either_plane(size: str) -> None:
    for sides in ((100, 100), (64, 64)):
        with torch.device("meta"):
            x = torch.zeros(1, 5, *sides)
            assert UNet(section_unet(size, 5))(x, torch.zeros(1), torch.zeros(1, 2)).shape == x.shape


def test_odd_sides_are_rounded_up_on_the_way_down_and_cut_on_the_way_up() -> None:
    """Of 10 cells 5 and 3 places: as PyTorch's own layers, put together by hand."""
    torch.manual_seed(0)
    config = UnetConfig(dims=2, channels=(8, 8, 8), blocks=1, head_size=4, groups=4)
    unet = randomise(UNet(config)).eval()
    x, timestep = sample(config, 10)
    with torch.no_grad():
        embedding = functional.silu(unet.time(unet.sinusoid(timestep)))
        kept = [unet.stem(x)]
        for level in unet.down:
            kept.append(level.blocks[0](kept[-1], embedding))
            kept += [level.resample(kept[-1])] if level.resample is not None else []
        assert [one.shape[-1] for one in kept] == [10, 10, 5, 5, 3, 3]
        h = unet.middle(kept[-1], embedding)
        for level in unet.up:
            for block in level.blocks:
                side = kept[-1].shape[-1]
                h = block(torch.cat((h[:, :, :side, :side], kept.pop()), 1), embedding)
            h = level.resample(h)
        expected = unet.head(functional.silu(unet.norm(h)))
        torch.testing.assert_close(unet(x, timestep), expected, rtol=0, atol=1e-6)


def test_fourier_features_are_alike_as_the_distance_of_conditions_says() -> None:
    """The mean cosine over random frequencies is exp(−2π²·scale²·distance²): half the window apart 0.64."""
    torch.manual_seed(0)
    features = FourierFeatures(2, 20_000)(torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 1.0]])) / 100
    for other, distance in ((1, 0.5), (2, 1.0)):
        expected = float(np.exp(-2 * (np.pi * FOURIER_SCALE * distance) ** 2))
        assert float(features[0] @ features[other]) == pytest.approx(expected, abs=0.02)


def test_a_size_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="size of a network must be small or published; got 'huge'"):
        section_unet("huge", 5)


# --- the network for grains


def test_the_grain_network_costs_28_percent_of_grain_paints_small_one_and_fits_into_12_mb() -> None:
    with torch.device("meta"):
        unet = UNet(GRAIN_UNET)
        x, timestep = torch.zeros(1, 7, 32, 32, 32), torch.zeros(1)
    with FlopCounterMode(display=False) as counter:
        assert unet(x, timestep).shape == x.shape
    assert counter.get_total_flops() < 24.7e9 * 0.283
    assert 2 * count_parameters(unet) < 11e6  # bytes in half


@pytest.mark.parametrize("detail", [0, 4])
def test_a_new_network_returns_zeros_and_learns(detail: int) -> None:
    torch.manual_seed(0)
    unet = UNet(dataclasses.replace(TINY, detail=detail))
    x, timestep = sample(TINY, 8)
    assert not unet(x, timestep).any()
    optimiser = torch.optim.Adam(unet.parameters(), lr=3e-3)
    for _ in range(60):
        loss = (unet(x, timestep) - x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.5 * float(x.square().mean())
    assert all(parameter.grad is not None and parameter.any() for parameter in unet.parameters())


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        dataclasses.replace(TINY, dims=2, patch=1, condition_size=2),
        dataclasses.replace(TINY, dims=2, patch=1, condition_size=2, condition_embedding="fourier"),
        dataclasses.replace(TINY, dims=2, patch=4, detail=3),
    ],
)
def test_every_weight_counts(config: UnetConfig) -> None:
    torch.manual_seed(0)
    unet = randomise(UNet(config))
    x, timestep = sample(config, 8)
    condition = (torch.rand(2, 2),) if config.condition_size else ()
    unet(x, timestep, *condition).square().sum().backward()
    for name, parameter in unet.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_the_last_layer_sees_every_place_of_the_input() -> None:
    """A place is seen two places away, even if the levels tell nothing."""
    torch.manual_seed(0)
    unet = randomise(UNet(dataclasses.replace(TINY, dims=2, patch=4, detail=4))).eval()
    assert unet.detail is not None
    x, found = torch.randn(1, 1, 8, 8), torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        mixed = functional.conv2d(torch.cat((found, x), 1), unet.detail.mix.weight, unet.detail.mix.bias, padding=1)
        expected = functional.conv2d(
            mixed * torch.sigmoid(mixed), unet.detail.head.weight, unet.detail.head.bias, padding=1
        )
        torch.testing.assert_close(unet.detail(found, x), expected)
        unet.head.weight.zero_()
        unet.head.bias.zero_()
        changed = x.clone()
        changed[..., 3, 3] += 1
        moved = (unet(changed, torch.zeros(1)) - unet(x, torch.zeros(1)))[0, 0] != 0
    assert moved[1:6, 1:6].any() and not moved[6:].any() and not moved[:, 6:].any()


def test_samples_of_a_batch_do_not_know_of_each_other() -> None:
    torch.manual_seed(0)
    unet = randomise(UNet(TINY)).double().eval()
    x, timestep = sample(TINY, 8, batch=3)
    with torch.no_grad():
        together = unet(x.double(), timestep)
        alone = torch.cat([unet(x[i : i + 1].double(), timestep[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-10)


def test_a_state_dict_restores_the_network() -> None:
    torch.manual_seed(0)
    unet, again = randomise(UNet(TINY)), UNet(TINY)
    again.load_state_dict(unet.state_dict())
    x, timestep = sample(TINY, 8)
    with torch.no_grad():
        torch.testing.assert_close(unet(x, timestep), again(x, timestep), rtol=0, atol=0)


# --- its parts


@pytest.mark.parametrize("dims", [2, 3])
def test_upsampling_doubles_and_convolves(dims: int) -> None:
    torch.manual_seed(0)
    layer = Upsample(dims, 3).double()
    x = torch.randn(2, 3, *range(4, 4 + dims), dtype=torch.float64)
    with torch.no_grad():
        plain = layer.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        torch.testing.assert_close(layer(x), plain, rtol=1e-12, atol=1e-12)
    assert doubling_kernel(torch.zeros(5, 7, *[3] * dims)).shape == (7, 5, *[4] * dims)


def test_patches_of_images_are_pytorchs() -> None:
    x = torch.randn(2, 3, 8, 4)
    torch.testing.assert_close(gather_patches(x, 2), functional.pixel_unshuffle(x, 2), rtol=0, atol=0)
    torch.testing.assert_close(spread_patches(gather_patches(x, 2), 2), x, rtol=0, atol=0)


def test_patches_of_volumes_hold_their_neighbours() -> None:
    x = torch.randn(2, 3, 4, 8, 12)
    gathered = gather_patches(x, 4)
    assert gathered.shape == (2, 3 * 64, 1, 2, 3)
    torch.testing.assert_close(gathered[1, 64:128, 0, 1, 2], x[1, 1, 0:4, 4:8, 8:12].flatten(), rtol=0, atol=0)
    torch.testing.assert_close(spread_patches(gathered, 4), x, rtol=0, atol=0)


def test_attention_is_a_weighted_mean_over_all_places() -> None:
    torch.manual_seed(0)
    layer = Attention(UnetConfig(dims=3, channels=(8,), head_size=4, groups=2), 8).double()
    nn.init.normal_(layer.project.weight)
    x = torch.randn(1, 8, 2, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        found = layer(x)
        q, k, v = layer.qkv(layer.norm(x)).reshape(3, 2, 4, 8).transpose(2, 3)  # head, place, channel
        expected = torch.empty(2, 8, 4, dtype=torch.float64)
        for head in range(2):
            for place in range(8):
                weights = torch.stack([(q[head, place] @ k[head, other]) / 2 for other in range(8)]).exp()
                expected[head, place] = (weights[:, None] * v[head]).sum(0) / weights.sum()
        expected = layer.project(expected.transpose(1, 2).reshape(1, 8, 2, 2, 2))
    torch.testing.assert_close(found, x + expected, rtol=1e-10, atol=1e-10)


def test_timesteps_that_differ_have_sinusoids_that_differ() -> None:
    features = Sinusoid(32)(torch.arange(1000))
    assert features.dtype == torch.float32
    distances = torch.cdist(features, features) + torch.eye(1000)
    assert float(distances.min()) > 0.1
    half = Sinusoid(32).half()(torch.tensor([999], dtype=torch.int32))
    torch.testing.assert_close(half, features[999:], rtol=0, atol=0)  # also in a network that is in half


# --- what cannot be


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"dims": 4}, "dims must be 2 or 3"),
        ({"channels": ()}, "at least one level"),
        ({"blocks": 0}, "at least one level"),
        ({"patch": 0}, "patches of 1 up"),
        ({"channels": (8, 18)}, "multiples of the 4 groups"),
        ({"channels": (3, 9), "groups": 3, "head_size": 1}, "even multiples"),
        ({"attention_levels": (2,)}, "from 0 to 1"),
        ({"head_size": 5}, "multiples of head_size 5"),
        ({"condition_size": -1}, "condition_size"),
        ({"condition_embedding": "hash"}, "perceptron or fourier"),
    ],
)
def test_networks_that_cannot_be(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        dataclasses.replace(TINY, **settings)


def test_inputs_that_do_not_fit() -> None:
    unet = UNet(TINY)
    timestep = torch.zeros(1)
    with pytest.raises(ValueError, match="expected 3 sides that are multiples of 2"):
        unet(torch.zeros(1, 1, 8, 8, 7), timestep)
    with pytest.raises(ValueError, match="expected 3 sides"):
        unet(torch.zeros(1, 1, 8, 8), timestep)
    with pytest.raises(ValueError, match="expected no numbers as the condition"):
        unet(torch.zeros(1, 1, 8, 8, 8), timestep, torch.zeros(1, 2))
    with pytest.raises(ValueError, match="expected 2 numbers"):
        UNet(dataclasses.replace(TINY, condition_size=2))(torch.zeros(1, 1, 8, 8, 8), timestep)
