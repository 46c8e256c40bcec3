"""Autoencoders read back out of their ONNX files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import pytest
import torch
from make_models import write_pair

from microrun.export.vae_from_onnx import read_autoencoder, undo_phases
from microrun.export.vae_to_onnx import export_checkpoint, fold_standardisation
from microrun.runtime.engines.catalogue import decoder_beside, list_models
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.spec import ModelSpec
from microrun.training.vae.checkpoint import save_checkpoint
from microrun.training.vae.network import VAE
from microrun.training.vae.phases import pointwise_kernel, same_kernel


def export(folder: Path, model: VAE, precision: Literal["f32", "f16"], name: str = "vae16") -> Path:
    path = folder / f"{name}.safetensors"
    save_checkpoint(path, model.state_dict(), ModelSpec(name, "encoder", 16, network=model.network))
    return export_checkpoint(path, path.with_suffix(".onnx"), precision)[0].path


@pytest.mark.parametrize(("precision", "network"), [("f32", "published"), ("f16", "published"), ("f32", "fast")])
def test_what_was_exported_is_read_back(
    tmp_path: Path, precision: Literal["f32", "f16"], network: Literal["published", "fast"]
) -> None:
    torch.manual_seed(0)
    made = VAE(16, -0.4, 0.25, network)
    for weights in made.parameters():  # biases of 0 would not tell one from another
        weights.data += 0.05 * torch.randn_like(weights)
    found, spec = read_autoencoder(export(tmp_path, made, precision))
    assert spec == ModelSpec("vae16", "encoder", 16, network=network) and not found.training
    fold_standardisation(made.encoder)
    made.encoder.standardise.mean, made.encoder.standardise.std = torch.tensor(0.0), torch.tensor(1.0)
    exact = torch.float16 if precision == "f16" else torch.float32
    for (name, weights), (other, expected) in zip(
        found.state_dict().items(), made.state_dict().items(), strict=True
    ):  # fmt: skip
        assert name == other
        torch.testing.assert_close(weights, expected.to(exact).float(), rtol=0, atol=0)


def test_built_in_models_can_be_trained_further() -> None:
    for path in list_models():
        model, spec = read_autoencoder(path)
        assert model.encoder.head.out_features == 2 * spec.latent_size
        assert (spec.training, spec.known) == (read_model_spec(path).training, read_model_spec(path).known)


def test_a_kernel_of_other_weights_is_refused() -> None:
    weight = torch.randn(3, 2, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(undo_phases(same_kernel, same_kernel(weight), weight.shape), weight)
    with pytest.raises(IndexError, match="expected a kernel of"):
        undo_phases(pointwise_kernel, same_kernel(weight), torch.Size([3, 2, 1, 1]))


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"tiny\.onnx: holds no weights that can be trained"):
        read_autoencoder(write_pair(tmp_path))
    with pytest.raises(SpecError, match="is a decoder"):
        read_autoencoder(tmp_path / "tiny.decoder.onnx")
    alone = shutil.copy(tmp_path / "tiny.onnx", tmp_path / "alone.onnx")
    with pytest.raises(EngineError, match=r"alone\.decoder\.onnx: no such file"):
        read_autoencoder(alone)
    path = export(tmp_path, VAE(16), "f32", "other")
    shutil.copy(tmp_path / "tiny.decoder.onnx", decoder_beside(path))
    with pytest.raises(SpecError, match="belongs to another encoder"):
        read_autoencoder(path)
