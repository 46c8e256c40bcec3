"""Translation: another crystal gets the latents of the one that a teacher knows, and is drawn from them."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
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
    BASAL,
    UNTURNED,
    CrystalTwins,
    Known,
    find_known_crystal,
    known_simulators,
    translated_conditions,
)
from microrun.training.vae.distil import DistilConfig
from microrun.training.vae.network import VAE
from microrun.training.vae.translate import TOGETHER, TranslateReport, TranslateTrainer, _missed

CONFIG = DistilConfig(batch=8, steps=9, learning_rate=2e-3, rate_warmup=1, decay=0.5, precision="f32", teacher="a")
KNOWN = Domain(("nickel",), (20.0, 20.0), ((0.4, 0.44), (0.77, 0.81), (0.48, 0.52)), (0.1, 0.7))
SPEC = ModelSpec("teacher", "encoder", 16, training=Training(licence="CC0"), domain=KNOWN)
QUARTER = (np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5))
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
    known = known_simulators(Known(NICKEL, (UNTURNED,)), new)
    first, *others = (PatternStream(one, CONFIG.batch, processes=0) for one in (new, *known))
    return CrystalTwins(first, others)


def teacher() -> VAE:
    torch.manual_seed(3)
    return VAE(16, -0.3, 0.4).eval()


def translate(folder: Path, stop_after: int | None = None, seed: int = 1) -> list[TranslateReport]:
    folder.mkdir(exist_ok=True)
    trainer = TranslateTrainer(CONFIG, make_twins(seed), folder, teacher(), SPEC)
    trainer.resume()
    return take(trainer.run(3), stop_after)


def test_encoder_and_decoder_learn_the_other_crystal(tmp_path: Path) -> None:
    reports = translate(tmp_path)
    assert [report.step for report in reports] == [3, 6, 9]
    assert all(np.isfinite(dataclasses.astuple(report)).all() for report in reports)
    assert reports[-1].latent_error < reports[0].latent_error
    assert reports[-1].held_out_r2 > reports[0].held_out_r2
    model, spec = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert not torch.equal(model.encoder.head.weight, teacher().encoder.head.weight)
    assert not torch.equal(model.decoder.head.weight, teacher().decoder.head.weight)
    assert spec.name == "vae16-silicon" and spec.preprocessing.scale_background and spec.training.licence == "CC0"
    assert spec.domain == Domain(("silicon",), (20.0, 20.0), ((0.5, 0.54), (0.82, 0.86), (0.47, 0.51)), (0.2, 0.3))
    said = "simulated patterns of silicon (20 kV), latents of nickel (20 kV) in the same orientation; taught by a"
    assert spec.training.data == said and spec.training.patterns == 9 * 8
    assert spec.training.metrics["held_out_r2"] == pytest.approx(reports[-1].held_out_r2, abs=1e-4)


def test_what_is_learned_includes_how_sure_a_latent_is(tmp_path: Path) -> None:
    trainer = TranslateTrainer(CONFIG, make_twins(), tmp_path, teacher(), SPEC)
    trainer.terms()[0].backward()  # type: ignore[no-untyped-call]
    means, log_variances = trainer.network.vae.encoder.head.bias.grad.split(16)
    assert means.abs().min() > 0 and log_variances.abs().min() > 0


def test_a_run_that_was_given_up_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = translate(tmp_path / "whole")
    translate(tmp_path / "parts", stop_after=2)  # in the part in which both learn together
    assert TOGETHER * CONFIG.steps < 6
    rest = translate(tmp_path / "parts")
    assert [(now.loss, now.latent_error) for now in rest] == [(now.loss, now.latent_error) for now in whole[2:]]
    with pytest.raises(MicrorunError, match="other data"):
        translate(tmp_path / "parts", seed=2)


def test_both_crystals_are_seen_in_the_same_orientation() -> None:
    made = make_twins()
    streams = (made._new, *made._known)
    new, known = (one.simulator.make(40, 6) for one in streams)
    np.testing.assert_allclose(new.rotations, known.rotations)
    np.testing.assert_allclose(new.centres, known.centres)
    views, of_new, of_known = made.batch(5)
    assert views.shape == of_new.shape == of_known[0].shape == (8, 1, 120, 120)
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
        ("alpha-titanium", ("nickel",), "nickel"),  # by two orientations
        ("magnesium", ("nickel", "alpha-titanium"), "alpha-titanium"),
        ("nickel", ("alpha-titanium",), None),
        ("silicon", ("something of a later version",), None),
    ],
)
def test_a_crystal_stands_for_another_of_its_symmetry(new: str, phases: tuple[str, ...], found: str | None) -> None:
    known = find_known_crystal(called(new), replace(SPEC, domain=replace(KNOWN, phases=phases)))
    assert (known and known.crystal.name) == found
    if known:
        assert known.turns == (BASAL if (new, found) == ("alpha-titanium", "nickel") else (UNTURNED,))
    assert find_known_crystal(called(new), replace(SPEC, domain=None)) is None


def test_cubic_twins_have_in_common_what_a_hexagonal_crystal_has() -> None:
    """Each rotation of the hexagonal crystal leaves the pair of cubic ones as it is, and no other rotation does."""
    cubic, hexagonal = (Rotation.create_group(name) for name in ("O", "D6"))
    twins_of = [Rotation.from_quat(turn, scalar_first=True) for turn in BASAL]

    def stands_as(rotation: Rotation) -> set[int]:
        """Number of the twin that each twin becomes, -1 if none."""
        return {number_of(twin * rotation) for twin in twins_of}

    def number_of(orientation: Rotation) -> int:
        alike = [np.any((cubic * orientation * twin.inv()).magnitude() < 1e-6) for twin in twins_of]
        return alike.index(True) if any(alike) else -1

    assert all(stands_as(rotation) == {0, 1} for rotation in hexagonal)
    others = [*Rotation.random(50, rng=np.random.default_rng(0)), Rotation.from_euler("z", 30, True)]
    assert all(stands_as(rotation) != {0, 1} for rotation in others)


def test_patterns_of_a_turned_simulator_are_those_of_the_turned_orientation() -> None:
    nickel, conditions = load_material("nickel", (20.0,)), Conditions(noise=(0.1, 0.1))
    plain = CameraSimulator([nickel], [1.0], conditions, 3)
    symmetric, other = (CameraSimulator([nickel], [1.0], conditions, 3, turn) for turn in (QUARTER, BASAL[1]))
    first, same, turned = (one.make(0, 3) for one in (plain, symmetric, other))
    assert np.abs(first.bands - same.bands).max() < 1e-3  # a quarter turn is one of nickel's own
    assert np.abs(first.bands - turned.bands).mean() > 0.05
    found = Rotation.from_quat(turned.rotations, scalar_first=True)
    wanted = Rotation.from_quat(BASAL[1], scalar_first=True) * Rotation.from_quat(first.rotations, scalar_first=True)
    assert (found * wanted.inv()).magnitude().max() < 1e-6
    assert len({one.identity for one in (plain, symmetric, other)}) == 3


def test_what_is_missed_is_a_share_of_each_patterns_own_variance() -> None:
    bands = torch.tensor([[0.0, 2.0, 4.0], [0.0, 0.2, 0.4]])
    assert float(_missed(bands, bands)) == 0
    assert float(_missed(bands.mean(dim=1, keepdim=True).expand(2, 3), bands)) == pytest.approx(1)
    assert float(_missed(torch.stack([bands[0], bands[1].mean().expand(3)]), bands)) == pytest.approx(0.5)


def test_a_teacher_of_other_patterns_is_refused(tmp_path: Path) -> None:
    spec = replace(SPEC, preprocessing=Preprocessing(mask_radius=-1))
    with pytest.raises(SpecError, match="teacher: takes patterns of"):
        TranslateTrainer(CONFIG, make_twins(), tmp_path, teacher(), spec)
