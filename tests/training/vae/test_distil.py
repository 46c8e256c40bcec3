"""Latent distillation: students learn their teacher's latents, and nothing else of the model changes."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from training_runs import take

from microrun.export.vae_to_onnx import export_checkpoint
from microrun.runtime import known_latents
from microrun.runtime.domain import Domain
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import MicrorunError, SpecError
from microrun.runtime.known_latents import KnownLatents
from microrun.runtime.patterns.bands import high_pass
from microrun.runtime.spec import ModelSpec, Preprocessing, Training
from microrun.training.loop import trainer as loop
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.matched import Matched
from microrun.training.simulate.camera.materials import Material, load_material
from microrun.training.simulate.camera.patterns import KEEP, CameraSimulator
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.vae import twins as pairs
from microrun.training.vae.checkpoint import load_checkpoint
from microrun.training.vae.data import Prepared
from microrun.training.vae.distil import DistilConfig, DistilReport, DistilTrainer, distil_flops
from microrun.training.vae.network import VAE
from microrun.training.vae.twins import ScanTwins, SimulatedTwins, Twins

CONFIG = DistilConfig(batch=8, steps=12, learning_rate=2e-3, rate_warmup=1, decay=0.5, precision="f32", seed=1)
KNOWN = Domain(("nickel",), (20.0, 20.0), ((0.4, 0.44), (0.77, 0.81), (0.48, 0.52)), (0.1, 0.7))
SPEC = ModelSpec("teacher", "encoder", 16, training=Training(licence="CC0"), domain=KNOWN)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "matmul_peak", lambda device, dtype: 1e12)
    monkeypatch.setattr(pairs, "TESTED", 24)


@cache
def simulator() -> CameraSimulator:
    return CameraSimulator([load_material("nickel", (20,))], [1], Conditions(noise=(0.5, 1.0)), 1)


def simulated() -> SimulatedTwins:
    return SimulatedTwins(PatternStream(simulator(), CONFIG.batch, processes=0))


def teacher() -> VAE:
    torch.manual_seed(3)
    return VAE(16, -0.3, 0.4).eval()


def teach(
    folder: Path, config: DistilConfig = CONFIG, twins: Twins | None = None, stop_after: int | None = None
) -> list[DistilReport]:
    folder.mkdir(exist_ok=True)
    trainer = DistilTrainer(config, twins or simulated(), folder, teacher(), SPEC)
    trainer.resume()
    return take(trainer.run(4), stop_after)


def test_a_student_comes_nearer_and_the_decoder_stays(tmp_path: Path) -> None:
    reports = teach(tmp_path)
    assert [report.step for report in reports] == [4, 8, 12]
    assert all(np.isfinite(dataclasses.astuple(report)).all() for report in reports)
    assert reports[-1].latent_error < 0.9 * reports[-1].before
    student, spec = load_checkpoint(tmp_path / "checkpoint.safetensors")
    for name, value in teacher().decoder.state_dict().items():
        assert torch.equal(value, student.decoder.state_dict()[name])
    assert not torch.equal(student.encoder.head.weight, teacher().encoder.head.weight)
    assert spec.name == "teacher" and spec.latent_size == 16 and spec.preprocessing.scale_background
    assert spec.training.data.startswith("simulated patterns of nickel (20 kV); latents taught by")
    assert spec.training.patterns == 96 and spec.training.licence == "CC0"
    assert spec.training.metrics["latent_error"] == pytest.approx(reports[-1].latent_error, abs=1e-4)


def test_a_student_says_what_it_knows_not_what_its_teacher_knew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = KnownLatents.of(np.random.default_rng(0).standard_normal((200, 16)))
    monkeypatch.setattr(known_latents, "LEAST_PER_FEATURE", 1)
    trainer = DistilTrainer(CONFIG, simulated(), tmp_path, teacher(), replace(SPEC, known=before))
    take(trainer.run(4), 1)
    student, spec = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert spec.known is not None and spec.known.patterns == 24
    with torch.no_grad():
        mean = student.eval().encoder(simulated().held_out()[0])[0].mean(dim=0)
    assert spec.known.centre == pytest.approx(mean.numpy(), abs=1e-3)


def test_a_run_that_was_given_up_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = teach(tmp_path / "whole")
    teach(tmp_path / "parts", stop_after=1)
    rest = teach(tmp_path / "parts")
    assert [(now.loss, now.latent_error) for now in rest] == [(now.loss, now.latent_error) for now in whole[1:]]
    other = SimulatedTwins(PatternStream(CameraSimulator(simulator().materials, [1], Conditions(), 9), 8, processes=0))
    with pytest.raises(MicrorunError, match="other data"):
        teach(tmp_path / "parts", twins=other)


def test_the_error_is_that_of_the_teachers_latents(tmp_path: Path) -> None:
    report = teach(tmp_path, stop_after=1)[0]
    views, clean = simulated().held_out()
    with torch.no_grad():  # a student that is a copy begins as its teacher
        wanted, found = teacher().encoder(clean)[0], teacher().encoder(views)[0]
    expected = ((found - wanted) ** 2).sum() / ((wanted - wanted.mean(dim=0)) ** 2).sum()
    assert report.before == pytest.approx(float(expected.sqrt()), rel=1e-4)


def test_clean_twins_are_the_bands_without_brightness() -> None:
    views, clean = simulated().batch(2)
    made = simulator().make(16, 8)
    assert_array_equal(views[:, 0].numpy(), made.patterns)
    passed = high_pass(made.bands, KEEP)[:, KEEP]
    stretched = clean[:, 0].numpy()[:, KEEP]
    for mine, theirs in zip(stretched, passed, strict=True):
        assert np.corrcoef(mine, theirs)[0, 1] > 0.99999
        assert mine.min() == pytest.approx(-1) and mine.max() == pytest.approx(1)
    assert not clean[:, 0].numpy()[:, ~KEEP].any()


def test_no_step_trains_on_what_is_tested_on() -> None:
    views, _ = simulated().held_out()
    assert len(views) == 24
    assert not any(torch.equal(views[:8], simulated().batch(step)[0]) for step in range(3))


def test_a_student_learns_from_scans_too(data: Prepared, tmp_path: Path) -> None:
    scans = ScanTwins(data, CONFIG.batch, 1, "bands.up2")
    views, clean = scans.batch(0)
    assert views.shape == clean.shape == (8, 1, 120, 120) and not torch.equal(views, clean)
    assert len({tuple(scans.batch(step)[1][:, 0, 60, 60].tolist()) for step in range(4)}) == 4
    reports = teach(tmp_path, twins=scans)
    assert reports[-1].latent_error < reports[-1].before
    _, spec = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert spec.training.data.startswith("patterns of bands.up2; ") and spec.domain == KNOWN
    with pytest.raises(MicrorunError, match="batch of 99"):
        ScanTwins(data, 99, 1, "bands.up2")


def test_a_student_knows_its_simulations_where_the_decoder_draws_best(tmp_path: Path) -> None:
    teach(tmp_path / "usual", stop_after=1)
    _, spec = load_checkpoint(tmp_path / "usual" / "checkpoint.safetensors")
    assert spec.domain == replace(KNOWN, noise=(0.5, 1.0))
    iron = CameraSimulator([_as_iron()], [1], Conditions(), 1)
    teach(tmp_path / "iron", twins=SimulatedTwins(PatternStream(iron, CONFIG.batch, processes=0)), stop_after=1)
    assert load_checkpoint(tmp_path / "iron" / "checkpoint.safetensors")[1].domain is None  # the decoder cannot draw it


def _as_iron() -> Material:
    found = load_material("nickel", (20,))
    return found._replace(crystal=dataclasses.replace(found.crystal, name="alpha-iron"))


def test_a_fast_student_is_taught_exported_and_taught_further(tmp_path: Path) -> None:
    folder = tmp_path / "fast"
    reports = teach(folder, replace(CONFIG, student="fast"))
    assert reports[-1].loss < 0.8 * reports[0].loss
    student, spec = load_checkpoint(folder / "checkpoint.safetensors")
    assert spec.name == "teacher-fast" and spec.network == student.network == "fast"
    assert torch.equal(student.decoder.head.weight, teacher().decoder.head.weight)
    exported = export_checkpoint(folder / "checkpoint.safetensors", tmp_path / "fast.onnx", "f16")
    assert [one.spec.network for one in exported] == ["fast", "fast"]
    views, _ = simulated().held_out()
    with open_engine(tmp_path / "fast.onnx", "cpu", EngineRequest("f32")) as engine, torch.no_grad():
        latents = run_all(engine, views.numpy())
        assert np.abs(latents - student.encoder(views)[0].numpy()).max() < 0.02 * latents.std()
    further = tmp_path / "further"
    further.mkdir()
    trainer = DistilTrainer(replace(CONFIG, steps=1), simulated(), further, student, spec)
    next(trainer.run(1))
    assert load_checkpoint(further / "checkpoint.safetensors")[1].name == "teacher-fast"


def test_a_fast_network_takes_a_fifth_of_the_operations() -> None:
    published, fast = (distil_flops(64, "published", student) for student in ("published", "fast"))
    teaching = published / 4
    assert (published - teaching) / (fast - teaching) == pytest.approx(5.1, rel=0.1)


@pytest.mark.parametrize("other", [{"input_shape": (60, 60)}, {"mask_radius": -1}])
def test_a_teacher_of_other_patterns_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    spec = replace(SPEC, preprocessing=Preprocessing(**other))
    with pytest.raises(SpecError, match="teacher: takes patterns of"):
        DistilTrainer(CONFIG, simulated(), tmp_path, teacher(), spec)


def test_settings_survive_a_file(tmp_path: Path) -> None:
    config = replace(CONFIG, matched=Matched(("ferrite", "austenite"), (15.0, 20.0), (0.5, 0.7, 0.6)), teacher="vae32")
    config.save(tmp_path / "config.json")
    assert DistilConfig.load(tmp_path / "config.json") == config
    with pytest.raises(ValueError, match="steps"):
        DistilConfig(steps=0)


def test_a_step_costs_the_teacher_once_and_the_student_three_times() -> None:
    assert distil_flops(32) == pytest.approx(4 * 85.7e6, rel=0.1)
