"""Operations of networks."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest
import torch
from make_denoisers import a_unet, traced
from make_models import tiny_spec
from torch.utils.flop_counter import FlopCounterMode

from microrun.cli.bench.operations import encoder_operations, graph_operations
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import UnetConfig

SPEC = ModelSpec("vae32", "encoder", 32)
BLOCK_UNET = UnetConfig(dims=3, channels=(8, 8), blocks=1, head_size=4, groups=4, patch=4)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    onnx.save_model(traced(a_unet(BLOCK_UNET), (32, 32, 32), Schedule(), "f32"), path)
    return path


def test_operations_are_those_of_the_encoders_layers() -> None:
    # Outputs × terms of each, of convolutions of 9×9 but for the last, and of the matrix.
    d, k = 32, 81
    c = d // 4
    layers = [
        56**2 * c * k, 56**2 * c * c * k, 24**2 * 2 * c * c * k, 24**2 * 4 * c * c * k,
        8**2 * 8 * c * c * k, 8**2 * 16 * c * c * k, 2 * d * d * 64, 4 * d * d,
    ]  # fmt: skip
    assert encoder_operations(SPEC) == 2 * sum(layers)


def test_operations_of_other_networks_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert encoder_operations(tiny_spec()) is None
    assert encoder_operations(ModelSpec("small", "encoder", 32, Preprocessing((60, 60)))) is None
    monkeypatch.setitem(sys.modules, "torch", None)
    assert encoder_operations(SPEC) is None


def test_operations_of_a_graph_are_those_of_its_network(graph: Path) -> None:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        UNet(BLOCK_UNET)(torch.zeros(1, 1, 32, 32, 32), torch.zeros(1))
    assert graph_operations(graph) == counter.get_total_flops()


def test_where_operations_cannot_be_known_none_are_told(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert graph_operations(tmp_path / "some.plan") is None
    model = onnx.load(graph)
    del model.graph.value_info[:]
    onnx.save_model(model, tmp_path / "bare.onnx")
    assert graph_operations(tmp_path / "bare.onnx") is None
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert graph_operations(graph) is None
