"""Translation: another crystal gets the latents of the one that a teacher knows, and is drawn from them."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from training_runs import take

from microrun.runtime.domain import Domain
from microrun.runtime.errors import MicrorunError, SpecError
from microrun.runtime.spec import ModelSpec, Preprocessing, Training
from microrun.training.loop import trainer as loop
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.materials import Material, load_material
from microrun.training.simulate.camera.patterns import CameraSimulator
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.simulate.masters.crystal import CRYSTALS, Crystal
from microrun.training.vae import twins
from microrun.training.vae.checkpoint import load_checkpoint
from microrun.training.vae.crystal_twins import (
    CrystalTwins,
    find_known_crystal,
    known_simulator,
    translated_conditions,
)
from microrun.training.vae.distil import DistilConfig
from microrun.training.vae.network import VAE
from microrun.training.vae.translate import TOGETHER, TranslateReport, TranslateTrainer, _missed

CONFIG = DistilConfig(batch=8, steps=15, learning_rate=2e-3, rate_warmup=1, decay=0.5, precision="f32", teacher="a")
KNOWN = Domain(("nickel",), (20.0, 20.0), ((0.4, 0.44), (0.77, 0.81), (0.48, 0.52)), (0.1, 0.7))
SPEC = ModelSpec("teacher", "encoder", 16, training=Training(licence="CC0"), domain=KNOWN)
NICKEL = next(crystal for crystal in CRYSTALS if crystal.name == "nickel")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "matmul_peak", lambda device, dtype: 1e12)
    monkeypatch.setattr(twins, "TESTED", 24)
    monkeypatch.delenv("MICRORUN_MASTERS", raising=False)


def called(name: str) -> Crystal:
    return next(crystal for crystal in CRYSTALS if crystal.name == name)


@cache
def new_material() -> Material:
    """What stands for silicon: nickel's patterns with the signs changed, which no decoder of nickel draws."""
    nickel = load_material("nickel", (20.0,))
    return nickel._replace(crystal=called("silicon"), masters=-nickel.masters)


def make_twins(seed: int = 1) -> CrystalTwins:
    asked = replace(Conditions(), pattern_centre=((0.5, 0.54), (0.82, 0.86), (0.47, 0.51)), noise=(0.2, 0.3))
    new = CameraSimulator([new_material()], [1.0], translated_conditions(asked, SPEC, given=True), seed)
    known = known_simulator(NICKEL, new, SPEC)
    return CrystalTwins(*(PatternStream(one, CONFIG.batch, processes=0) for one in (new, known)))


def teacher() -> VAE:
    torch.manual_seed(3)
    return VAE(16, -0.3, 0.4).eval()


def translate(folder: Path, stop_after: int | None = None, seed: int = 1) -> list[TranslateReport]:
    folder.mkdir(exist_ok=True)
    trainer = TranslateTrainer(CONFIG, make_twins(seed), folder, teacher(), SPEC)
    trainer.resume()
    return take(trainer.run(5), stop_after)


def test_encoder_and_decoder_learn_the_other_crystal(tmp_path: Path) -> None:
    reports = translate(tmp_path)
    assert [report.step for report in reports] == [5, 10, 15]
    assert all(np.isfinite(dataclasses.astuple(report)).all() for report in reports)
    assert reports[-1].latent_error < 0.95 * reports[0].latent_error
    assert reports[-1].held_out_r2 > reports[0].held_out_r2
    model, spec = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert not torch.equal(model.encoder.head.weight, teacher().encoder.head.weight)
    assert not torch.equal(model.decoder.head.weight, teacher().decoder.head.weight)
    assert spec.name == "vae16-silicon" and spec.preprocessing.scale_background and spec.training.licence == "CC0"
    assert spec.domain == Domain(("silicon",), (20.0, 20.0), ((0.5, 0.54), (0.82, 0.86), (0.47, 0.51)), (0.2, 0.3))
    said = "simulated patterns of silicon (20 kV), latents of nickel (20 kV) in the same orientation; taught by a"
    assert spec.training.data == said and spec.training.patterns == 15 * 8
    assert spec.training.metrics["held_out_r2"] == pytest.approx(reports[-1].held_out_r2, abs=1e-4)


def test_a_run_that_was_given_up_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = translate(tmp_path / "whole")
    translate(tmp_path / "parts", stop_after=2)  # in the part in which both learn together
    assert TOGETHER * CONFIG.steps < 10
    rest = translate(tmp_path / "parts")
    assert [(now.loss, now.latent_error) for now in rest] == [(now.loss, now.latent_error) for now in whole[2:]]
    with pytest.raises(MicrorunError, match="other data"):
        translate(tmp_path / "parts", seed=2)


def test_both_crystals_are_seen_in_the_same_orientation() -> None:
    made = make_twins()
    streams = (made._new.simulator, made._known.simulator)
    new, known = (one.make(40, 6) for one in streams)
    np.testing.assert_allclose(new.rotations, known.rotations)
    np.testing.assert_allclose(new.centres - known.centres, np.tile([0.1, 0.05, -0.01], (6, 1)), atol=1e-12)
    views, of_known, of_new = made.batch(5)
    assert views.shape == of_known.shape == of_new.shape == (8, 1, 120, 120)
    assert not any(torch.equal(views, made.batch(step)[0]) for step in (0, 4))
    assert len(made.held_out()[0]) == 24


def test_pattern_centres_that_were_not_asked_for_are_those_that_the_teacher_knows() -> None:
    assert translated_conditions(Conditions(), SPEC, given=False).pattern_centre == KNOWN.pattern_centre
    assert translated_conditions(Conditions(), SPEC, given=True).pattern_centre == Conditions().pattern_centre


@pytest.mark.parametrize(
    ("new", "phases", "found"),
    [
        ("silicon", ("nickel", "copper"), "nickel"),
        ("alpha-iron", ("copper",), "copper"),
        ("nickel", ("nickel",), None),  # it is known
        ("alpha-titanium", ("nickel",), None),  # of another symmetry
        ("magnesium", ("nickel", "alpha-titanium"), "alpha-titanium"),
        ("silicon", ("something of a later version",), None),
    ],
)
def test_a_crystal_stands_for_another_of_its_symmetry(new: str, phases: tuple[str, ...], found: str | None) -> None:
    known = find_known_crystal(called(new), replace(SPEC, domain=replace(KNOWN, phases=phases)))
    assert (known and known.name) == found
    assert find_known_crystal(called(new), replace(SPEC, domain=None)) is None


def test_what_is_missed_is_a_share_of_each_patterns_own_variance() -> None:
    bands = torch.tensor([[0.0, 2.0, 4.0], [0.0, 0.2, 0.4]])
    assert float(_missed(bands, bands)) == 0
    assert float(_missed(bands.mean(dim=1, keepdim=True).expand(2, 3), bands)) == pytest.approx(1)
    assert float(_missed(torch.stack([bands[0], bands[1].mean().expand(3)]), bands)) == pytest.approx(0.5)


def test_a_teacher_of_other_patterns_is_refused(tmp_path: Path) -> None:
    spec = replace(SPEC, preprocessing=Preprocessing(mask_radius=-1))
    with pytest.raises(SpecError, match="teacher: takes patterns of"):
        TranslateTrainer(CONFIG, make_twins(), tmp_path, teacher(), spec)
