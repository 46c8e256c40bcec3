from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from microrun.runtime.errors import MicrorunError, SpecError
from microrun.runtime.file_sources import FileSource
from microrun.runtime.scan import Scan
from microrun.runtime.spec import SPEC_KEY, ModelSpec, Preprocessing, Training
from microrun.runtime.up2 import UpWriter
from microrun.training.checkpoint import load_checkpoint, save_checkpoint
from microrun.training.config import VaeConfig
from microrun.training.curves import draw_loss
from microrun.training.data import Prepared, prepare_scans
from microrun.training.ema import Average
from microrun.training.evaluate import reconstruct, reconstruction_correlation, reconstruction_r2
from microrun.training.loop import Report, VaeTrainer
from microrun.training.vae import VAE

CONFIG = VaeConfig(latent_size=16, batch=8, epochs=2, held_out=0.2, seed=3)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[FileSource]:
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :120] / 120
    sources = []
    for number in range(2):
        scan = Scan((3, 8), (120, 120), "uint16")
        path = folder / f"{number}.up2"
        with UpWriter(path, scan) as writer:
            for _ in range(scan.total):
                angle = rng.uniform(0, np.pi)
                band = 2000 * np.exp(-(((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)) ** 2) * 200)
                writer.write((band + 5000 + rng.normal(0, 50, band.shape)).astype(np.uint16)[None])
        sources.append(FileSource(path))
    return sources


def prepare(scans: list[FileSource], folder: Path, config: VaeConfig = CONFIG) -> Prepared:
    return prepare_scans(
        scans,
        Preprocessing(),
        folder / "prepared.npy",
        patterns_per_scan=config.patterns_per_scan,
        held_out=config.held_out,
        seed=config.seed,
    )


def train(scans: list[FileSource], folder: Path, stop_after: int | None = None) -> list[Report]:
    """Train; with ``stop_after``, until an interruption after so many reports."""
    reports: list[Report] = []

    def report(now: Report) -> None:
        reports.append(now)
        if stop_after is not None and len(reports) == stop_after:
            raise KeyboardInterrupt

    trainer = VaeTrainer(CONFIG, prepare(scans, folder), folder, Training(data="bands", licence="CC0"))
    trainer.resume()
    try:
        trainer.run(2, report)
    except KeyboardInterrupt:
        assert stop_after is not None
    return reports


def test_prepared_patterns_split_every_scan(scans: list[FileSource], tmp_path: Path) -> None:
    data = prepare(scans, tmp_path)
    assert data.patterns.shape == (48, 120, 120) and data.patterns.dtype == np.float16
    assert len(data.held_out) == 10 and len(data.training) == 38
    assert not np.intersect1d(data.training, data.held_out).size
    assert (data.patterns[:, ~data.pixel_keep] == 0).all()
    inside = data.patterns[:, data.pixel_keep]
    assert (inside.min(axis=1) == -1).all() and (inside.max(axis=1) == 1).all()
    mean, std = data.moments()
    assert mean == pytest.approx(inside[data.training].astype(float).mean(), abs=1e-6) and std > 0


def test_training_learns_and_leaves_a_run_folder(scans: list[FileSource], tmp_path: Path) -> None:
    reports = train(scans, tmp_path)
    assert [report.step for report in reports] == [2, 4, 6, 8]
    assert all(np.isfinite(dataclasses.astuple(report)).all() for report in reports)
    assert VaeConfig.load(tmp_path / "config.json") == CONFIG
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 5
    draw_loss(tmp_path / "metrics.csv", tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    _, spec = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert (spec.kind, spec.latent_size, spec.training.steps) == ("encoder", 16, 8)
    assert spec.training.data == "bands" and spec.training.patterns == 38


def test_interrupted_training_ends_as_an_uninterrupted_one(scans: list[FileSource], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    train(scans, whole)
    train(scans, parts, stop_after=2)
    train(scans, parts)
    expected, found = (load_file(folder / "checkpoint.safetensors") for folder in (whole, parts))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_resuming_with_other_settings_is_refused(scans: list[FileSource], tmp_path: Path) -> None:
    train(scans, tmp_path, stop_after=1)
    other = dataclasses.replace(CONFIG, beta=2.0)
    with pytest.raises(MicrorunError, match="other settings"):
        VaeTrainer(other, prepare(scans, tmp_path), tmp_path, Training()).resume()


def test_fewer_patterns_than_a_batch(scans: list[FileSource], tmp_path: Path) -> None:
    with pytest.raises(MicrorunError, match="38 patterns to train on are fewer than a batch of 64"):
        VaeTrainer(dataclasses.replace(CONFIG, batch=64), prepare(scans, tmp_path), tmp_path, Training())


def test_overfitting_a_few_patterns_reduces_the_error(scans: list[FileSource], tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, epochs=40, decay=0.0)
    data = prepare(scans, tmp_path, config)
    few = dataclasses.replace(data, training=data.training[:8])
    reports: list[Report] = []
    VaeTrainer(config, few, tmp_path, Training()).run(20, reports.append)
    assert reports[-1].l2_per_pixel < 0.8 * reports[0].l2_per_pixel


@pytest.mark.parametrize("change", [{"latent_size": 33}, {"batch": 0}, {"held_out": 1.0}, {"learning_rate": 0.0}])
def test_settings_that_make_no_sense(change: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        VaeConfig(**change)  # type: ignore[arg-type]


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    model, path = VAE(16, -0.4, 0.3), tmp_path / "model.safetensors"
    spec = ModelSpec("vae16", "encoder", 16, training=Training(data="nothing", metrics={"r2": 0.5}))
    save_checkpoint(path, model.state_dict(), spec)
    loaded, found = load_checkpoint(path)
    assert found == spec
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert list(tmp_path.iterdir()) == [path]


def test_bad_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(SpecError, match="cannot be read"):
        load_checkpoint(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(SpecError, match="cannot be read"):
        load_checkpoint(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(SpecError, match="carries no spec"):
        load_checkpoint(path)
    save_file({"x": torch.zeros(1)}, path, {SPEC_KEY: ModelSpec("vae16", "encoder", 16).to_json()})
    with pytest.raises(SpecError, match="weights are not those"):
        load_checkpoint(path)
    save_file({"x": torch.zeros(1)}, path, {SPEC_KEY: json.dumps({"spec_version": 99})})
    with pytest.raises(SpecError, match="spec version must be 1; got 99"):
        load_checkpoint(path)


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
    assert reconstruction_correlation(patterns, 3 * patterns + 1, keep) == pytest.approx(1, abs=1e-6)
    model = VAE(16).eval()
    with torch.no_grad():
        assert torch.allclose(reconstruct(model, patterns), model(patterns, torch.zeros(6, 16))[0], atol=1e-5)
