"""The chain that makes the built-in models, on a tiny scale."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from microrun.export.builtin import distilled, ship
from microrun.export.builtin import encoders as builtin
from microrun.export.builtin.encoders import EVEN, UNEVEN, Stage, main
from microrun.export.vae_from_onnx import read_autoencoder
from microrun.runtime.engines.catalogue import find_model, list_models
from microrun.runtime.engines.open import find_decoder_of, open_engine, read_model_spec
from microrun.training.vae import mixed, twins
from microrun.training.vae.checkpoint import load_checkpoint, save_checkpoint
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.data import Selection
from microrun.training.vae.distil import DistilConfig


@pytest.mark.slow
def test_the_chain_trains_widens_judges_and_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = VaeConfig(latent_size=16, batch=8, epochs=1, seed=1)
    small = {"random_scans": 1, "grain_scans": 1}
    stages = (
        Stage("first", config, replace(EVEN, **small)),  # type: ignore[arg-type]
        Stage("vae32", replace(config, latent_size=32), replace(UNEVEN, **small)),  # type: ignore[arg-type]
    )
    monkeypatch.setattr(builtin, "STAGES", stages)
    for module in (builtin, ship):
        monkeypatch.setattr(module, "NAV_SHAPE", (6, 6))
    monkeypatch.setattr(builtin, "SELECTION", Selection(patterns_per_scan=36, held_out=0.1, seed=1))
    main(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scan*.up2")}
    assert len(before) == 4
    for name, size in (("first", 16), ("vae32", 32)):
        model, spec = load_checkpoint(tmp_path / name / f"{name}.safetensors")
        assert (spec.name, spec.latent_size, spec.training.licence) == (name, size, "CC BY 4.0")
        assert {
            "held_out_r2", "nickel_bands", "bands", "right", "indexed", "misorientation_deg", "correlation",
        } <= set(spec.training.metrics)  # fmt: skip
        assert model.encoder.head.out_features == 2 * size
        with open_engine(tmp_path / name / f"{name}.onnx") as engine:
            assert engine.spec.training.metrics == spec.training.metrics
    assert "fine-tuned from first" in spec.training.data
    main(tmp_path)  # goes on: nothing is simulated again
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scan*.up2")}


@pytest.mark.slow
def test_students_are_taught_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MICRORUN_MASTERS", raising=False)
    monkeypatch.setattr(ship, "NAV_SHAPE", (6, 6))
    monkeypatch.setattr(twins, "TESTED", 8)
    monkeypatch.setattr(distilled, "MATERIALS", (("nickel", (20.0,), 0.5),))
    monkeypatch.setattr(distilled, "STAGES", {"vae32": DistilConfig(batch=4, steps=2, seed=1)})
    monkeypatch.setattr(mixed, "TESTED", 8)
    monkeypatch.setattr(distilled, "NEAR_SHARES", (0.5, 0.5))
    monkeypatch.setattr(distilled, "WIDE", VaeConfig(batch=4, seed=1))
    monkeypatch.setattr(distilled, "WIDE_STEPS", (1, 2))
    monkeypatch.setattr(distilled, "WIDE_SIZE", 64)
    (tmp_path / "vae32").mkdir()
    teacher, spec = read_autoencoder(find_model("vae32"))
    save_checkpoint(tmp_path / "vae32" / "vae32.safetensors", teacher.state_dict(), spec)
    distilled.main(tmp_path)
    student, spec = load_checkpoint(tmp_path / "distilled-vae32" / "vae32.safetensors")
    assert spec.training.steps == 2 and "latents taught by vae32 (sha256 " in spec.training.data
    assert {"latent_error", "nickel_bands", "right"} <= set(spec.training.metrics)
    assert spec.domain is not None and spec.domain == distilled.KNOWN
    assert (tmp_path / "distilled-vae32" / "vae32.decoder.onnx").exists()
    assert torch.equal(student.decoder.head.weight, teacher.decoder.head.weight)
    wide, spec = load_checkpoint(tmp_path / "wide-2" / "vae64.safetensors")
    assert (spec.name, spec.latent_size, spec.training.steps) == ("vae64", 64, 2)
    assert wide.encoder.head.out_features == 128 and "right" in spec.training.metrics


def test_rounded_weights_are_near_and_pack_better() -> None:
    weights = torch.randn(4096, generator=torch.Generator().manual_seed(0)).half()
    rounded = ship.round_mantissa(weights, 7)
    assert ((rounded - weights).abs() <= weights.abs() * 2.0**-8 * 1.01).all()
    assert (rounded.view(torch.int16) & 0b111 == 0).all() and torch.equal(ship.round_mantissa(rounded, 7), rounded)
    assert len(zlib.compress(rounded.numpy().tobytes())) < 0.9 * len(zlib.compress(weights.numpy().tobytes()))


def test_what_ships_is_small_free_and_judged() -> None:
    models = list_models()
    assert [path.stem for path in models] == ["vae32", "vae32-ferrite", "vae32-silicon", "vae64", "vae128"]
    packed = [len(zlib.compress(file.read_bytes())) for file in models[0].parent.iterdir()]
    assert sum(packed) < 38.5e6  # of a wheel that may have 40
    for path in models:
        spec = read_model_spec(path)
        assert read_model_spec(find_decoder_of(path)).belongs_to(spec)
        assert spec.precision == "f16" and spec.training.licence == "CC BY 4.0"
        assert spec.training.metrics["indexed"] > 0.95 and spec.training.metrics["misorientation_deg"] < 0.65
