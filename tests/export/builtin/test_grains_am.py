"""What makes a denoiser of printed metal, on a tiny scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from microrun.export.builtin import grains_am
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.generation.recipe import find_usual
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.training.diffusion.checkpoint import load_denoiser
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.simulate.potts import Build, MeltPool

TINY = UnetConfig(3, (16, 16), 15, 7, blocks=1, head_size=8, groups=4, patch=4)
CONFIG = DiffusionConfig(batch=2, steps=2, unet=TINY, known_inputs=True, precision="f32")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where all is made; volumes, network and run are small."""
    monkeypatch.setattr("microrun.training.diffusion.denoiser_trainer.TESTED", 2)
    build = Build((32, 32, 32), MeltPool(12, 8, 6, 4), speed=3, hatch=6, layer=3, inside=True)
    begun = ModelSpec("grains", "denoiser", diffusion=Diffusion((7, 32, 32, 32), CONFIG.schedule, 128))
    for name, value in {"BUILD": build, "VOLUMES": 2, "CONFIG": CONFIG}.items():
        monkeypatch.setattr(grains_am, name, value)
    torch.manual_seed(0)
    unet = UNet(replace(TINY, in_channels=7))
    monkeypatch.setattr(grains_am, "read_denoiser", lambda file, config: (unet, begun))
    return tmp_path / "made"


@pytest.mark.slow
def test_it_simulates_trains_and_exports_weights_of_few_levels(folder: Path) -> None:
    grains_am.main(folder)
    _, spec = load_denoiser(folder / "grains-am.safetensors")
    assert "1 volumes of 32×32×32 voxels from inside a build" in spec.training.data
    assert "begun from grains" in spec.training.data and spec.name == "grains-am"
    assert spec.diffusion is not None and find_usual(spec.diffusion).order == "anisotropic"
    kinds = [tensor.data_type for tensor in onnx.load(folder / "grains-am.onnx").graph.initializer]
    assert kinds.count(onnx.TensorProto.INT8) > 5
    with open_denoiser(folder / "grains-am.onnx", "cpu") as denoiser:
        assert denoiser.spec.training == spec.training
        assert np.isclose(denoiser.diffusion.hatch_voxels, 6) and denoiser.diffusion.known_inputs
