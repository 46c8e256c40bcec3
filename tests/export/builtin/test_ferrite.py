"""The making of the built-in encoder of ferrite, on a tiny scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from microrun.export.builtin import ferrite, ship
from microrun.export.vae_from_onnx import read_autoencoder
from microrun.training.simulate.masters.find import find_master
from microrun.training.vae import mixed
from microrun.training.vae.checkpoint import load_checkpoint


@pytest.mark.slow
def test_ferrite_is_learned_judged_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MICRORUN_MASTERS", raising=False)
    monkeypatch.setattr(ship, "NAV_SHAPE", (6, 6))
    monkeypatch.setattr(mixed, "TESTED", 16)
    monkeypatch.setattr(ferrite, "ENERGIES_KEV", (20.0,))
    for _ in range(2):  # the second finds a run that has ended
        run = ferrite.train(tmp_path, steps=3, batch=4)
    ship.ship(run, ferrite.NAME, ship.simulate_held_out(tmp_path, find_master("ferrite", 20.0)), ferrite.DOMAIN)
    _, spec = load_checkpoint(run / "vae32-ferrite.safetensors")
    assert spec.training.steps == 3 and "fine-tuned from vae32 (sha256 " in spec.training.data
    assert (spec.domain, spec.name, spec.training.licence) == (ferrite.DOMAIN, "vae32-ferrite", "CC BY 4.0")
    assert read_autoencoder(run / "vae32-ferrite.onnx")[1].training == spec.training
