"""What `--from` and `--distil` name: a run comes before a built-in model, and before an exported file of its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from microrun.cli.train.starts import read_autoencoder_start
from microrun.export.vae_to_onnx import export_checkpoint
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.errors import SpecError
from microrun.runtime.spec import ModelSpec
from microrun.training.vae.checkpoint import save_checkpoint
from microrun.training.vae.network import VAE


@pytest.mark.parametrize("name", ["vae32", "tuned"])
def test_a_run_comes_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / name
    run.mkdir()
    torch.manual_seed(0)
    made = VAE(16)
    for weights in made.parameters():  # equal ones would be kept once only
        weights.data += 0.01 * torch.randn_like(weights)
    save_checkpoint(run / "checkpoint.safetensors", made.state_dict(), ModelSpec("mine", "encoder", 16))
    export_checkpoint(run / "checkpoint.safetensors", tmp_path / f"{name}.onnx", "f16")
    for path in (Path(name), run):
        assert read_autoencoder_start(path).path == path / "checkpoint.safetensors"
    exported = read_autoencoder_start(tmp_path / f"{name}.onnx")
    assert (exported.path, exported.spec.name) == (tmp_path / f"{name}.onnx", "mine")


def test_a_built_in_model_is_named_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_autoencoder_start(Path("vae128")).path == MODELS / "vae128.onnx"
    with pytest.raises(SpecError, match="cannot be read"):
        read_autoencoder_start(MODELS / "vae128")
