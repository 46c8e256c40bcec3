"""Networks read back out of their ONNX files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from make_denoisers import (
    COLOUR_CHANNELS,
    SCHEDULE,
    TINY,
    a_unet,
    block_unet,
    traced,
    write_block_denoiser,
    write_denoiser,
)
from make_models import write_encoder

from microrun.export.denoiser_from_onnx import read_denoiser, undouble
from microrun.export.denoiser_to_onnx import measure_denoiser_parity
from microrun.export.graph import save_model
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import SpecError
from microrun.runtime.generation.overlaps import BLOCK
from microrun.training.diffusion.layers import doubling_kernel
from microrun.training.diffusion.unet_config import GRAIN_UNET


@pytest.mark.parametrize("dims", [2, 3])
def test_a_convolution_after_doubling_is_found_again(dims: int) -> None:
    weight = torch.randn(5, 4, *[3] * dims, dtype=torch.float64)
    torch.testing.assert_close(undouble(doubling_kernel(weight)), weight)


@pytest.mark.parametrize(("known_inputs", "sizes"), [(False, None), (True, (6.0, 14.0))])
def test_a_network_is_read_back_with_what_it_is_told(
    tmp_path: Path, known_inputs: bool, sizes: tuple[float, float] | None
) -> None:
    path = write_block_denoiser(tmp_path / "blocks.onnx", known_inputs=known_inputs, sizes=sizes, grain_voxels=8)
    made = a_unet(block_unet(COLOUR_CHANNELS, known_inputs, int(sizes is not None)))
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():  # equal ones would be kept once only
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    step = traced(made, (BLOCK, BLOCK, BLOCK), SCHEDULE, "f32")
    save_model(step, read_model_spec(path), path)
    unet, _ = read_denoiser(path, block_unet(COLOUR_CHANNELS, known_inputs=False))
    assert unet.config == made.config
    for (name, weight), (other, expected) in zip(unet.state_dict().items(), made.state_dict().items(), strict=True):
        assert name == other
        torch.testing.assert_close(weight, expected)


@pytest.mark.slow
def test_the_built_in_denoiser_is_read_back() -> None:
    path = find_model("grains")
    unet, spec = read_denoiser(path, GRAIN_UNET)
    assert spec.name == "grains" and measure_denoiser_parity(unet, path) < 1e-3


def test_what_is_no_denoiser_of_this_shape_is_one_line(tmp_path: Path) -> None:
    path = write_denoiser(tmp_path / "tiny.onnx")
    with pytest.raises(SpecError, match="its weights are not those of this network") as error:
        read_denoiser(path, dataclasses.replace(TINY, channels=(8, 8)))
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    with pytest.raises(SpecError, match="is an encoder; reading a U-Net needs a denoiser"):
        read_denoiser(write_encoder(tmp_path / "encoder.onnx"), TINY)
