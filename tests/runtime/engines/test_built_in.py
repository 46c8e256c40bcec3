"""Built-in models: encoders with their decoders, and denoisers, told apart by their files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from make_denoisers import denoiser_spec, write_denoiser
from make_models import write_decoder, write_encoder

from microrun.runtime.engines import catalogue
from microrun.runtime.engines.catalogue import find_model, list_denoisers, list_models
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import find_decoder_of, open_denoiser, open_engine
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.generation.generate import generate
from microrun.runtime.generation.recipe import PRESETS
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.progress import finish
from microrun.runtime.volumes.measure import measure_grains


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of built-in models: two encoders, the larger first by name, and a denoiser."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "MODELS", folder)
    for name, size in (("first", 9), ("second", 8)):
        write_encoder(folder / f"{name}.onnx", size)
        write_decoder(folder / f"{name}.decoder.onnx", size)
    write_denoiser(folder / "grains.onnx")
    return folder


def test_denoisers_are_not_among_the_encoders(models: Path) -> None:
    assert list_models() == [models / "second.onnx", models / "first.onnx"]
    assert list_denoisers() == [models / "grains.onnx"]
    shutil.copyfile(models / "grains.onnx", models / "smaller.onnx")
    with (models / "grains.onnx").open("ab") as file:
        file.write(b"\0")
    assert [path.stem for path in list_denoisers()] == ["smaller", "grains"]


def test_every_kind_is_found_by_its_name(models: Path) -> None:
    assert find_model("grains") == models / "grains.onnx"
    with open_denoiser("grains", "cpu", EngineRequest("f32", lanes=1)) as denoiser:
        assert (denoiser.spec, denoiser.info.path) == (denoiser_spec(), models / "grains.onnx")
    with open_engine("second", "cpu") as opened:
        assert opened.spec.latent_size == 8
    with pytest.raises(EngineError, match=r"none: no such file, and no built-in model \(first, grains, second\)"):
        find_model("none")


def test_what_is_taken_for_the_other_kind_is_refused(models: Path) -> None:
    with pytest.raises(SpecError, match=r"grains\.onnx: is a denoiser; this needs an encoder or a decoder"):
        open_engine("grains", "cpu")
    with pytest.raises(SpecError, match=r"grains\.onnx: is a denoiser; this needs an encoder or a decoder"):
        find_decoder_of("grains")
    with pytest.raises(SpecError, match=r"first\.onnx: is an encoder; generation needs a denoiser"):
        open_denoiser("first", "cpu")


def test_the_built_in_denoiser_grows_grains_as_large_as_simulated_ones(tmp_path: Path) -> None:
    request = GenerateRequest((32, 32, 32), seed=1, sampling=PRESETS["fast"], out=tmp_path / "grains.npy")
    with open_denoiser("grains", "cpu") as denoiser:
        assert denoiser.info.path.stat().st_size < 12e6
        assert denoiser.spec.training.metrics["default_kl_volume"] < 0.03 and denoiser.spec.training.data
        finish(generate(request, denoiser))
    grains = measure_grains(np.load(request.out))
    assert 60 < np.median(grains.volume_um3) < 350  # of simulated cubes of this size: 135
    assert np.median(grains.c_over_a) > 0.4  # 0.56
