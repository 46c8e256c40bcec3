"""Batches of scans and simulations."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from training_runs import CONFIG, SOURCE

from microrun.runtime.spec import Training
from microrun.training.loop import trainer as loop
from microrun.training.loop.distributed import Processes
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.matched import Matched
from microrun.training.simulate.camera.materials import load_material
from microrun.training.simulate.camera.patterns import CameraSimulator
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.vae import mixed as mixed_module
from microrun.training.vae.checkpoint import load_checkpoint
from microrun.training.vae.config import Contrastive, VaeConfig
from microrun.training.vae.data import Prepared
from microrun.training.vae.mixed import (
    FIRST_SHARE,
    LAST_SHARE,
    MixedBatches,
    SimulatedBatches,
    count_simulated,
    hold_out,
)  # fmt: skip
from microrun.training.vae.trainer import VaeTrainer
from microrun.training.vae.twins import HELD_OUT, pair

CPU = Processes(0, 1, torch.device("cpu"))
LONG = replace(CONFIG, epochs=25)  # 100 steps


@cache
def simulator() -> CameraSimulator:
    return CameraSimulator([load_material("nickel", (20,))], [1], Conditions(), 1)


def stream() -> PatternStream:
    return PatternStream(simulator(), count_simulated(CONFIG.batch), processes=0)


def mixed(data: Prepared, config: VaeConfig = LONG, processes: Processes = CPU) -> MixedBatches:
    return MixedBatches(config, data, processes, stream())


def test_the_scans_share_rises_at_the_end(data: Prepared) -> None:
    batches = mixed(data)
    shares = [batches.scan_share(step) for step in range(101)]
    assert shares[0] == shares[60] == FIRST_SHARE and shares[100] == pytest.approx(LAST_SHARE)
    assert (np.diff(shares) >= 0).all() and shares[80] == pytest.approx((FIRST_SHARE + LAST_SHARE) / 2)


def test_a_batch_is_part_scan_and_part_simulation(data: Prepared) -> None:
    batch = mixed(data).batch(5)
    made = simulator().make(5 * 5, 5)
    assert_array_equal(batch.views[3:, 0].numpy(), made.patterns[:5])  # a third of eight are the scan's
    assert torch.equal(batch.targets[3:], pair(made)[1])  # bands alone
    assert torch.equal(batch.views[:3], batch.targets[:3])
    known = {tuple(pattern[60].tolist()) for pattern in np.asarray(data.patterns, np.float32)}
    assert all(tuple(view[0, 60].tolist()) in known for view in batch.views[:3])


def test_two_processes_share_a_batch(data: Prepared) -> None:
    whole = mixed(data).batch(7)
    parts = [mixed(data, processes=Processes(rank, 2, torch.device("cpu"))).batch(7) for rank in (0, 1)]
    for name in ("views", "targets", "eps"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))


def test_contrastive_views_have_both_targets(data: Prepared) -> None:
    batch = mixed(data, replace(LONG, contrastive=Contrastive())).batch(5)
    plain = mixed(data).batch(5)
    assert torch.equal(batch.targets, torch.cat([plain.targets, plain.targets]))
    assert len(batch.views) == 16 and not torch.equal(batch.views[:8], batch.views[8:])


def test_a_mixed_run_says_what_it_learned_from(data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "matmul_peak", lambda device, dtype: 1e12)
    config = replace(CONFIG, matched=Matched(("nickel",), (20.0,), (0.46, 0.78, 0.53)))
    trainer = VaeTrainer(config, data, tmp_path, SOURCE, stream=stream())
    assert trainer.identity == data.identity + simulator().identity
    next(trainer.run(2))
    _, spec = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert spec.training.data == "bands, mixed with simulated patterns of nickel (20 kV)"
    assert spec.domain is not None and spec.domain.phases == ("nickel",)
    nowhere = VaeTrainer(replace(config, matched=Matched()), data, tmp_path, SOURCE, stream=stream())
    next(nowhere.run(2))
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")[1].domain is None  # where the scan is from is not known


def test_a_run_without_scans_learns_bands_from_simulations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "matmul_peak", lambda device, dtype: 1e12)
    monkeypatch.setattr(mixed_module, "TESTED", 16)
    config = replace(CONFIG, matched=Matched(("nickel",), (20.0,)))
    data = hold_out(simulator())
    alone = VaeTrainer(config, data, tmp_path, Training(), stream=PatternStream(simulator(), config.batch, processes=0))
    assert isinstance(alone.batches, SimulatedBatches)
    views, bands = pair(simulator().make(3 * config.batch, config.batch))
    batch = alone.batches.batch(3)
    assert torch.equal(batch.views, views) and torch.equal(batch.targets, bands)
    assert torch.equal(alone.batches.wanted(np.array([1, 4])), pair(simulator().make(HELD_OUT, 5))[1][[1, 4]])
    report = next(alone.run(2))
    _, spec = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert spec.training.data == "simulated patterns of nickel (20 kV)" and spec.training.patterns == 2 * config.batch
    assert spec.domain is not None and spec.domain.phases == ("nickel",) and report.held_out_r2 < 1
