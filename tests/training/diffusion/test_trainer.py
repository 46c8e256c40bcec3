"""Training of denoisers: what a batch is, that it learns, resumes exactly and refuses what it cannot."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import norm
from training_runs import run_script, take

from microrun.runtime.errors import MicrorunError, SpecError
from microrun.runtime.schedule import Prediction, Schedule
from microrun.runtime.spec import Training
from microrun.training.diffusion.batches import Batches, Noised, add_noise
from microrun.training.diffusion.blocks import Blocks, BlockSettings
from microrun.training.diffusion.checkpoint import load_denoiser
from microrun.training.diffusion.config import GRAIN_SCHEDULE, DiffusionConfig
from microrun.training.diffusion.denoiser_trainer import unet_flops
from microrun.training.diffusion.trainer import DiffusionReport, DiffusionTrainer
from microrun.training.diffusion.unet_config import GRAIN_UNET, UnetConfig
from microrun.training.loop.distributed import Processes
from microrun.training.simulate.potts import Growth, grow_potts
from microrun.training.simulate.volumes import SimulatedVolume, label_volume
from microrun.training.vae.checkpoint import load_checkpoint

TINY = UnetConfig(dims=3, channels=(8, 8), in_channels=7, out_channels=7, blocks=1, head_size=8, groups=4, patch=2)
CONFIG = DiffusionConfig(batch=4, steps=6, side=8, unet=TINY, precision="f32", seed=3)
SOURCE = Training(data="grains", licence="none")
DRAWING = Path(__file__).parents[2] / "help" / "draw_blocks.py"


@pytest.fixture(scope="module")
def volumes() -> list[SimulatedVolume]:
    growth = Growth((16, 16, 16), 3)
    return [label_volume(list(grow_potts(growth, seed))[-1], growth) for seed in range(3)]


def train(
    volumes: list[SimulatedVolume], folder: Path, config: DiffusionConfig = CONFIG, stop_after: int | None = None
) -> list[DiffusionReport]:
    """Train with a report after every second step; give it up after so many."""
    folder.mkdir(exist_ok=True)
    trainer = DiffusionTrainer(config, volumes, folder, SOURCE)
    trainer.resume()
    return take(trainer.run(2), stop_after)


@pytest.mark.parametrize("prediction", get_args(Prediction))
@pytest.mark.parametrize("zero", [False, True])
def test_noised_samples_are_those_of_diffusers(zero: bool, prediction: Any) -> None:
    from diffusers import DDPMScheduler  # takes seconds, which one worker alone need spend

    schedule = Schedule(250, zero_terminal_snr=zero and prediction != "eps", prediction=prediction)
    clean, noise = np.random.default_rng(0).standard_normal((2, 5, 1, 4, 4, 4)).astype(np.float32)
    timestep = np.array([0, 3, 100, 248, 249])
    theirs = DDPMScheduler(num_train_timesteps=250)
    theirs.alphas_cumprod = torch.from_numpy(schedule.alphas_cumprod.copy())
    tensors = torch.from_numpy(clean), torch.from_numpy(noise), torch.from_numpy(timestep)
    made = add_noise(*tensors, schedule)
    torch.testing.assert_close(made.x, theirs.add_noise(*tensors), rtol=1e-5, atol=1e-6)
    targets = {"v": theirs.get_velocity(*tensors), "bits": tensors[0], "eps": tensors[1]}
    torch.testing.assert_close(made.target, targets[prediction], rtol=1e-5, atol=1e-6)


def test_batches_are_functions_of_step_and_place(volumes: list[SimulatedVolume]) -> None:
    blocks = Blocks(volumes, BlockSettings(side=8, seed=3))
    whole, *parts = (Batches(blocks, 250, 4, rows) for rows in (slice(None), slice(0, 2), slice(2, 4)))
    for ours, *theirs in zip(whole[5], *(part[5] for part in parts), strict=True):
        assert torch.equal(ours, torch.cat(theirs))
    assert not torch.equal(whole[5].values, whole[6].values)


def test_batches_come_in_their_order_whoever_draws_them() -> None:
    """In a process of its own: this one has threads, which workers that are forked would miss."""
    ran = run_script(DRAWING)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["True"] * 7 + ["no more samples can be drawn: 2 colours do not suffice"]


def test_blocks_that_cannot_be_drawn_are_one_line(volumes: list[SimulatedVolume]) -> None:
    batches = Batches(Blocks(volumes, BlockSettings(side=8, n_colours=2)), 250, 4)
    with pytest.raises(MicrorunError, match="no more samples can be drawn: 2 colours do not suffice") as error:
        next(batches.load(range(3)))
    assert "\n" not in str(error.value)


def test_timesteps_of_a_batch_are_spread_over_all(volumes: list[SimulatedVolume]) -> None:
    batches = Batches(Blocks(volumes, BlockSettings(side=8)), 250, 5)
    drawn = np.array([batches[step].timestep.numpy() for step in range(60)])
    assert (np.sort(drawn // 50, axis=1) == np.arange(5)).all()
    assert 100 < drawn.mean() < 150 and len(np.unique(drawn)) > 150
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.5  # no place of the batch has timesteps of its own


def test_noise_is_a_function_of_seed_and_step(volumes: list[SimulatedVolume], tmp_path: Path) -> None:
    trainer, again = (DiffusionTrainer(CONFIG, volumes, tmp_path, SOURCE) for _ in range(2))
    other = DiffusionTrainer(dataclasses.replace(CONFIG, seed=4), volumes, tmp_path, SOURCE)
    noise = trainer._draw_noise((0, 5), 4)
    assert torch.equal(noise, again._draw_noise((0, 5), 4))
    assert not any(
        torch.equal(noise, else_) for else_ in (trainer._draw_noise((0, 6), 4), other._draw_noise((0, 5), 4))
    )
    assert noise.shape == (4, 7, 8, 8, 8) and noise.std() == pytest.approx(1, abs=0.05)


def test_a_run_leaves_its_folder(volumes: list[SimulatedVolume], tmp_path: Path) -> None:
    reports = train(volumes, tmp_path)
    assert [report.step for report in reports] == [2, 4, 6]
    assert all(np.isfinite(dataclasses.astuple(report)).all() for report in reports)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "state.pt",
        "metrics.csv",
        "checkpoint.safetensors",
    }
    assert DiffusionConfig.load(tmp_path / "config.json") == CONFIG
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert [float(row["held_out_loss"]) for row in csv.DictReader(file)] == pytest.approx(
            [report.held_out_loss for report in reports], rel=1e-5
        )
    unet, spec = load_denoiser(tmp_path / "checkpoint.safetensors")
    assert unet.config == TINY and spec.diffusion is not None
    assert spec.diffusion.sample_shape == (7, 8, 8, 8) and spec.diffusion.n_colours == 128
    assert spec.diffusion.schedule == GRAIN_SCHEDULE
    assert (spec.training.patterns, spec.training.steps, spec.training.data) == (24, 6, "grains")


def first_batch(trainer: DiffusionTrainer) -> Noised:
    blocks, _, timestep, _ = trainer._batches[0]
    return add_noise(
        trainer._values(blocks), trainer._draw_noise((0, 0), len(blocks)), timestep, trainer.config.schedule
    )


def test_the_first_loss_is_that_of_zeros(volumes: list[SimulatedVolume], tmp_path: Path) -> None:
    """A new network returns zeros: of bits it knows what their own values say, of v nothing."""
    v = dataclasses.replace(CONFIG, schedule=dataclasses.replace(GRAIN_SCHEDULE, prediction="v"))
    trainer = DiffusionTrainer(v, volumes, tmp_path / "v", SOURCE)
    expected = float(first_batch(trainer).target.square().mean())
    assert float(trainer.train_step()[0]) == pytest.approx(expected, rel=1e-5)
    trainer = DiffusionTrainer(CONFIG, volumes, tmp_path / "bits", SOURCE)
    first = first_batch(trainer)
    kept = GRAIN_SCHEDULE.alphas_cumprod[first.timestep.numpy()].reshape(-1, 1, 1, 1, 1)
    means = np.sqrt(kept) * first.target.numpy()
    right, wrong = (norm.logpdf(first.x, mean, np.sqrt(1 - kept)) for mean in (means, -means))
    expected = float(np.logaddexp(0, wrong - right).mean())
    assert float(trainer.train_step()[0]) == pytest.approx(expected, rel=1e-5)


def test_training_learns(tmp_path: Path) -> None:
    halves = np.repeat(np.arange(2, dtype=np.int32), 8 * 16 * 16).reshape(16, 16, 16)
    config = dataclasses.replace(CONFIG, steps=100, batch=8, rate_warmup=10, learning_rate=5e-3)
    trainer = DiffusionTrainer(config, [SimulatedVolume(halves, "potts", True)] * 2, tmp_path, SOURCE)
    before = trainer.evaluate()
    for _ in range(config.steps):
        trainer.train_step()
    assert trainer.evaluate() < 0.9 * before


@pytest.mark.parametrize(("side", "expected"), [(4, "f32"), (8, "f32"), (16, "bf16")])
def test_blocks_whose_gradients_would_be_garbage_in_bf16_are_trained_in_f32(
    volumes: list[SimulatedVolume], tmp_path: Path, side: int, expected: str
) -> None:
    config = dataclasses.replace(CONFIG, side=side, precision="bf16")
    assert DiffusionTrainer(config, volumes, tmp_path, SOURCE).precision == expected


def test_a_gradient_that_is_not_finite_stops_the_run_and_its_state_is_kept(
    volumes: list[SimulatedVolume], tmp_path: Path
) -> None:
    trainer = DiffusionTrainer(CONFIG, volumes, tmp_path, SOURCE)

    def ruin(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float("nan") if trainer.step == CONFIG.steps - 1 else gradient  # no loss comes after it

    next(trainer.network.parameters()).register_hook(ruin)
    run = trainer.run(2)
    assert [report.step for report in itertools.islice(run, 2)] == [2, 4]
    with pytest.raises(MicrorunError, match=r"diverged before step 6 .*weights are not finite.*--learning-rate"):
        next(run)
    assert train(volumes, tmp_path)[-1].step == 6


def test_interrupted_training_ends_as_an_uninterrupted_one(volumes: list[SimulatedVolume], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = train(volumes, whole)
    train(volumes, parts, stop_after=1)
    rest = train(volumes, parts)
    assert [(r.step, r.loss, r.held_out_loss) for r in rest] == [
        (r.step, r.loss, r.held_out_loss) for r in expected[1:]
    ]
    ours, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (whole, parts))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_other_settings_or_volumes_are_refused(volumes: list[SimulatedVolume], tmp_path: Path) -> None:
    train(volumes, tmp_path)
    with pytest.raises(MicrorunError, match=r"other settings \(seed 4 instead of 3\)"):
        train(volumes, tmp_path, dataclasses.replace(CONFIG, seed=4))
    with pytest.raises(MicrorunError, match="started on other data"):
        train(volumes[1:], tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "must be positive"),
        ({"side": 11}, "multiples of 2"),
        ({"n_colours": 1}, "2 to 128 colours"),
        ({"n_colours": 12}, "2, 4, 8, … colours"),
        ({"n_colours": 8}, "8 bits need a network of 3 dimensions and 3 channels"),
        ({"labels": "names"}, "bits, colours, ids; got 'names'"),
        ({"unet": dataclasses.replace(TINY, dims=2)}, "3 dimensions"),
    ],
)
def test_senseless_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiffusionConfig(**{"unet": GRAIN_UNET, **values})  # type: ignore[arg-type]


def test_damaged_settings_are_refused(tmp_path: Path) -> None:
    CONFIG.save(tmp_path / "config.json")
    text = (tmp_path / "config.json").read_text()
    for damaged in (text.replace('"dims"', '"rooms"'), text.replace('"unet"', '"net"'), "[]", text[:50]):
        (tmp_path / "config.json").write_text(damaged)
        with pytest.raises(MicrorunError, match="expected the settings of a training run"):
            DiffusionConfig.load(tmp_path / "config.json")


def test_too_few_volumes_are_refused(volumes: list[SimulatedVolume], tmp_path: Path) -> None:
    with pytest.raises(MicrorunError, match="1 volumes are too few"):
        DiffusionTrainer(CONFIG, volumes[:1], tmp_path, SOURCE)


def test_processes_must_share_a_batch(volumes: list[SimulatedVolume], tmp_path: Path) -> None:
    with pytest.raises(MicrorunError, match="batch of 4 cannot be shared by 3"):
        DiffusionTrainer(CONFIG, volumes, tmp_path, SOURCE, Processes(0, 3, torch.device("cpu")))


@pytest.fixture(scope="module")
def denoiser(volumes: list[SimulatedVolume], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("denoiser")
    train(volumes, folder)
    yield folder / "checkpoint.safetensors"


def test_a_denoiser_is_no_autoencoder(denoiser: Path) -> None:
    with pytest.raises(SpecError, match=r"\.safetensors: is a denoiser; loading an autoencoder needs an encoder"):
        load_checkpoint(denoiser)


def test_weights_of_another_network_are_refused(denoiser: Path, tmp_path: Path) -> None:
    from microrun.training.diffusion.checkpoint import save_denoiser

    unet, spec = load_denoiser(denoiser)
    other = dataclasses.replace(TINY, channels=(8, 16))
    save_denoiser(tmp_path / "wrong.safetensors", unet.state_dict(), other, spec)
    with pytest.raises(SpecError, match=r"wrong\.safetensors: its weights are not those of its network"):
        load_denoiser(tmp_path / "wrong.safetensors")


def test_operations_are_counted() -> None:
    assert unet_flops(GRAIN_UNET, (32, 32, 32)) == pytest.approx(3 * 6.74e9, rel=0.02)
