"""Networks read back out of their ONNX files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from make_denoisers import (
    COLOUR_CHANNELS,
    TINY,
    a_unet,
    block_unet,
    denoiser_spec,
    write_block_denoiser,
    write_denoiser,
)
from make_models import write_encoder

from microrun.export.denoiser_from_onnx import read_denoiser, undouble
from microrun.export.denoiser_to_onnx import measure_denoiser_parity
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.errors import SpecError
from microrun.training.diffusion.layers import doubling_kernel
from microrun.training.diffusion.unet_config import GRAIN_UNET


@pytest.mark.parametrize("dims", [2, 3])
def test_a_convolution_after_doubling_is_found_again(dims: int) -> None:
    weight = torch.randn(5, 4, *[3] * dims, dtype=torch.float64)
    torch.testing.assert_close(undouble(doubling_kernel(weight)), weight)


def test_a_network_is_read_back_with_all_its_weights(tmp_path: Path) -> None:
    unet, spec = read_denoiser(write_denoiser(tmp_path / "tiny.onnx"), TINY)
    assert spec == denoiser_spec()
    for name, expected in a_unet().state_dict().items():
        torch.testing.assert_close(unet.state_dict()[name], expected, rtol=1e-5, atol=1e-6)


def test_a_network_with_known_inputs_is_read_back(tmp_path: Path) -> None:
    path = write_block_denoiser(tmp_path / "seeing.onnx", known_inputs=True)
    unet, spec = read_denoiser(path, block_unet(COLOUR_CHANNELS, False))
    assert unet.config == block_unet(COLOUR_CHANNELS, True) and spec.diffusion is not None
    assert measure_denoiser_parity(unet, path) < 1e-5


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
