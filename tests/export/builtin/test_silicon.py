"""The making of the built-in encoder of silicon, on a tiny scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from microrun.export.builtin import ship, silicon
from microrun.export.vae_from_onnx import read_autoencoder
from microrun.runtime.engines.catalogue import find_model
from microrun.training.simulate.masters.find import find_master
from microrun.training.vae import twins
from microrun.training.vae.checkpoint import load_checkpoint


@pytest.mark.slow
def test_silicon_is_translated_judged_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MICRORUN_MASTERS", raising=False)
    monkeypatch.setattr(ship, "NAV_SHAPE", (6, 6))
    monkeypatch.setattr(twins, "TESTED", 16)
    monkeypatch.setattr(silicon, "ENERGIES_KEV", (20.0,))
    config = replace(silicon.CONFIG, batch=4, steps=3)
    for _ in range(2):  # the second finds a run that has ended
        run = silicon.translate(tmp_path, config)
    ship.ship(run, silicon.NAME, ship.simulate_held_out(tmp_path, find_master("silicon", 20.0)), silicon.DOMAIN)
    model, spec = load_checkpoint(run / "vae32-silicon.safetensors")
    teacher, _ = read_autoencoder(find_model("vae32"))
    assert not torch.equal(model.decoder.head.weight, teacher.decoder.head.weight)
    assert spec.training.steps == 3 and "latents of nickel (20 kV) in the same orientation" in spec.training.data
    assert (spec.domain, spec.name) == (silicon.DOMAIN, "vae32-silicon")
    assert {"latent_error", "diamond_bands", "bands", "misorientation_deg"} <= set(spec.training.metrics)
    assert read_autoencoder(run / "vae32-silicon.onnx")[1].training == spec.training
