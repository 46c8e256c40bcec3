from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_runs import CONFIG, SOURCE, prepare, train, write_bands

from microrun.runtime.errors import MicrorunError
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Training
from microrun.training.loop import trainer
from microrun.training.loop.distributed import Processes
from microrun.training.loop.ema import Average
from microrun.training.vae import trainer as loop
from microrun.training.vae.checkpoint import load_checkpoint
from microrun.training.vae.config import Contrastive, VaeConfig
from microrun.training.vae.data import Prepared
from microrun.training.vae.evaluate import reconstruct, reconstruction_r2
from microrun.training.vae.fine_tune import fine_tune, read_start
from microrun.training.vae.network import VAE, Encoder, count_parameters
from microrun.training.vae.trainer import VaeTrainer, fit_epochs

CPU = Processes(0, 1, torch.device("cpu"))
CONTRASTIVE = dataclasses.replace(CONFIG, contrastive=Contrastive())


@pytest.fixture(autouse=True)
def known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring it takes half a second."""
    monkeypatch.setattr(trainer, "matmul_peak", lambda device, dtype: 1e12)


@pytest.fixture(scope="module")
def checkpoint(data: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of training."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "matmul_peak", lambda device, dtype: 1e12)
        train(data, folder)
    return folder / "checkpoint.safetensors"


@pytest.mark.parametrize("config", [CONFIG, CONTRASTIVE], ids=["plain", "contrastive"])
def test_training_leaves_a_run_folder(data: Prepared, tmp_path: Path, config: VaeConfig) -> None:
    reports = train(data, tmp_path, config)
    assert [report.step for report in reports] == [2, 4, 6, 8]
    assert all(np.isfinite(dataclasses.astuple(report)).all() for report in reports)
    assert (reports[-1].contrastive > 0) == (config.contrastive is not None)
    views, flops = (2 if config.contrastive else 1), 207_000_000 * 0.95
    assert reports[0].peak_share == pytest.approx(views * reports[0].patterns_per_s * flops / 1e12, rel=0.05)
    assert VaeConfig.load(tmp_path / "config.json") == config
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    assert [float(row["kl"]) for row in rows] == pytest.approx([report.kl for report in reports], rel=1e-4)
    model, spec = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert (spec.kind, spec.latent_size, spec.training.steps) == ("encoder", 16, 8)
    assert spec.training.data == "bands" and spec.training.patterns == 38
    assert count_parameters(model.encoder) == count_parameters(Encoder(16))  # no projection in the checkpoint
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"config.json", "state.pt", "metrics.csv", "checkpoint.safetensors"}


@pytest.mark.parametrize("config", [CONFIG, CONTRASTIVE], ids=["plain", "contrastive"])
def test_interrupted_training_ends_as_an_uninterrupted_one(data: Prepared, tmp_path: Path, config: VaeConfig) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(data, whole, config)
    train(data, parts, config, stop_after=2)
    rest = train(data, parts, config)
    assert [report.step for report in rest] == [6, 8]
    expected, found = (load_file(folder / "checkpoint.safetensors") for folder in (whole, parts))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    states = [torch.load(folder / "state.pt", weights_only=True) for folder in (whole, parts)]
    for name, weights in states[0]["network"].items():
        assert torch.equal(weights, states[1]["network"][name])
    projected = [name for name in states[0]["network"] if name.startswith("projection")]
    assert bool(projected) == (config.contrastive is not None)


def test_a_finished_run_stays_as_it_is(data: Prepared, tmp_path: Path) -> None:
    train(data, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert train(data, tmp_path) == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_metrics_of_a_run_that_was_given_up_are_dropped(data: Prepared, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n2,0.5\n100,0.1\n")
    train(data, tmp_path)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "4", "6", "8"]


def test_reports_do_not_come_too_often(data: Prepared, tmp_path: Path) -> None:
    for epochs, expected in ((2, 9), (2000, 160), (4000, 200)):  # tests of 10 patterns; 2 % of the run; the limit
        assert VaeTrainer(dataclasses.replace(CONFIG, epochs=epochs), data, tmp_path, SOURCE).report_every == expected


def test_resuming_with_other_settings_or_scans_is_refused(
    banded_scans: list[FileSource], data: Prepared, tmp_path: Path
) -> None:
    train(data, tmp_path, stop_after=1)
    with pytest.raises(MicrorunError, match=r"other settings \(beta 2\.0 instead of 1\.0\)"):
        train(data, tmp_path, dataclasses.replace(CONFIG, beta=2.0))
    with pytest.raises(MicrorunError, match="other settings"):
        train(data, tmp_path, CONTRASTIVE)
    other = prepare(banded_scans[::-1], tmp_path)
    with pytest.raises(MicrorunError, match="started on other data"):
        train(other, tmp_path)


def test_training_learns(data: Prepared, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, epochs=40, decay=0.0)
    few = dataclasses.replace(data, training=(data.training[0][:8],))
    reports = list(VaeTrainer(config, few, tmp_path, SOURCE).run(20))
    assert reports[-1].l2_per_pixel < 0.8 * reports[0].l2_per_pixel


def test_contrastive_training_tells_patterns_apart(data: Prepared, tmp_path: Path) -> None:
    contrastive = Contrastive(weight=1000.0, temperature=0.2)
    config = dataclasses.replace(CONFIG, epochs=60, decay=0.0, rate_warmup=10, contrastive=contrastive)
    few = dataclasses.replace(data, training=(data.training[0][:8],))
    reports = list(VaeTrainer(config, few, tmp_path, SOURCE).run(15))
    assert reports[-1].contrastive < 0.7 * math.log(15)


def test_data_that_does_not_suffice(data: Prepared, tmp_path: Path) -> None:
    with pytest.raises(MicrorunError, match="38 patterns to train on are fewer than a batch of 64"):
        train(data, tmp_path, dataclasses.replace(CONFIG, batch=64))
    with pytest.raises(MicrorunError, match="1 patterns to test on are too few, expected at least 2"):
        train(dataclasses.replace(data, held_out=data.held_out[:1]), tmp_path)


def test_scans_have_equal_shares(data: Prepared, tmp_path: Path) -> None:
    uneven = dataclasses.replace(data, training=(data.training[0][:5], data.training[1]))
    trainer = VaeTrainer(CONFIG, uneven, tmp_path, SOURCE)
    assert len(trainer.batches) == 24 // 8
    taken = [trainer.batches.batch(step).targets for step in range(3)]
    known = {scan: trainer.batches.take(numbers) for scan, numbers in enumerate(uneven.training)}
    counts = [sum(bool((pattern == other).all()) for pattern in torch.cat(taken) for other in known[scan])
              for scan in (0, 1)]  # fmt: skip
    assert counts == [12, 12]


def test_diverged_training_stops_and_keeps_its_state(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(data, tmp_path, stop_after=2)
    before = (tmp_path / "state.pt").read_bytes()
    plain = loop.kl_divergence
    monkeypatch.setattr(loop, "kl_divergence", lambda mean, variance: plain(mean, variance) * math.inf)
    with pytest.raises(MicrorunError, match=r"diverged before step 6 .*smaller --learning-rate"):
        train(data, tmp_path)
    assert (tmp_path / "state.pt").read_bytes() == before


def test_hours_stop_a_run_and_resuming_ends_it(data: Prepared, tmp_path: Path) -> None:
    trainer = VaeTrainer(CONFIG, data, tmp_path, SOURCE)
    reports = list(trainer.run(100, hours=0.0))
    assert [report.step for report in reports] == [1]
    assert train(data, tmp_path)[-1].step == 8


def test_as_many_epochs_as_fit_at_the_speed(data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def step(trainer: VaeTrainer) -> torch.Tensor:
        now[0] += 3.0
        return torch.zeros(4)

    monkeypatch.setattr(VaeTrainer, "train_step", step)
    monkeypatch.setattr(trainer.time, "monotonic", lambda: now[0])
    timed = VaeTrainer(CONFIG, data, tmp_path, SOURCE)
    for hours, steps in ((0.1, 0.9 * 360 / 3), (1e-9, 1)):
        fitting = dataclasses.replace(CONFIG, epochs=fit_epochs(timed, hours))
        assert VaeTrainer(fitting, data, tmp_path, SOURCE).steps == steps


def test_fine_tuning_starts_from_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    other = prepare([FileSource(write_bands(tmp_path / "other.up2", (4, 8), seed=7))], tmp_path)
    first = read_start(checkpoint)
    config, model = fine_tune(dataclasses.replace(CONFIG, latent_size=32, epochs=1), first)
    assert config.latent_size == 16 and config.kl_warmup == 0 and config.rate_warmup < CONFIG.rate_warmup
    start = {name: weights.clone() for name, weights in model.state_dict().items()}
    trainer = VaeTrainer(config, other, tmp_path, Training(data="other bands"), model)
    assert all(torch.equal(start[name], weights) for name, weights in trainer.average.weights.items())
    list(trainer.run(1))
    tuned, found = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert torch.equal(tuned.encoder.standardise.mean, start["encoder.standardise.mean"])
    assert torch.equal(tuned.encoder.standardise.std, start["encoder.standardise.std"])
    moved = [float((weights - start[name]).abs().max()) for name, weights in tuned.state_dict().items()]
    assert 0 < max(moved) < 0.01
    assert found.training.data.startswith("other bands; fine-tuned from vae16 (sha256 ")
    assert found.training.data.endswith("; trained on: bands)")
    assert first.spec.training.data == "bands"


@pytest.mark.parametrize(
    "change",
    [{"latent_size": 33}, {"batch": 0}, {"epochs": 0}, {"held_out": 1.0}, {"learning_rate": 0.0}, {"beta": -1.0},
     {"precision": "f16"}, {"seed": -1}],
    ids=str,
)  # fmt: skip
def test_settings_that_make_no_sense(change: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        VaeConfig(**change)  # type: ignore[arg-type]


def test_damaged_settings_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in ("", "[]", "{}}", '{"no such": 1}', '{"batch": 0}', '{"contrastive": 3}'):
        path.write_text(text)
        with pytest.raises(MicrorunError, match=r"config\.json: expected the settings of a training run"):
            VaeConfig.load(path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
def test_a_gpu_trains_alike(data: Prepared, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, precision="f32")
    cuda, cpu = train(data, tmp_path / "cuda", config), train(data, tmp_path / "cpu", config, processes=CPU)
    assert [report.l2_per_pixel for report in cuda] == pytest.approx([report.l2_per_pixel for report in cpu], rel=0.1)
    assert len(train(data, tmp_path / "both", CONTRASTIVE, stop_after=2)) == 2
    assert [report.step for report in train(data, tmp_path / "both", CONTRASTIVE)] == [6, 8]


def test_average_follows_the_weights() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = Average(model, decay=0.5)
    start = model.weight.item()
    with torch.no_grad():
        model.weight.fill_(start + 1)
    average.update(model)
    assert average.weights["weight"].item() == pytest.approx(start + 1 - 2 / 11)


def test_measures_of_reconstruction() -> None:
    keep = np.ones((120, 120), bool)
    patterns = torch.randn(6, 1, 120, 120)
    assert reconstruction_r2(patterns, patterns, keep) == 1
    assert reconstruction_r2(patterns, patterns.mean(dim=0).expand_as(patterns), keep) == pytest.approx(0, abs=1e-6)
    model = VAE(16).eval()
    with torch.no_grad():
        assert torch.allclose(reconstruct(model, patterns), model(patterns, torch.zeros(6, 16))[0], atol=1e-5)
