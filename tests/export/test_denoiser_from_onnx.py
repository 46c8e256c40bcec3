"""Networks read back out of their ONNX files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from make_denoisers import TINY, write_denoiser
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
