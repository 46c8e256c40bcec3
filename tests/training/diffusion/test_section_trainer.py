"""Training on sections: that it learns conditions, resumes exactly, holds on to what it began from, refuses."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from make_denoisers import TINY_SECTIONS, a_unet
from make_sections import make_sections
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from training_runs import take

from microrun.runtime.errors import MicrorunError
from microrun.runtime.sections.orientations import TABLE_1, ipf_colours
from microrun.runtime.sections.section_set import SectionSet
from microrun.runtime.spec import ModelSpec, Training
from microrun.training.diffusion.checkpoint import load_denoiser, save_denoiser
from microrun.training.diffusion.denoiser_trainer import distance
from microrun.training.diffusion.section_config import SCHEDULES, SectionConfig
from microrun.training.diffusion.section_trainer import SectionReport, SectionTrainer
from microrun.training.diffusion.start import Start, free_weights, read_start

CONFIG = SectionConfig(
    batch=4, steps=6, unet=TINY_SECTIONS, sides=(10, 10), held_out=1, precision="f32", seed=3, rate_warmup=2
)
RGB = dataclasses.replace(
    CONFIG, representation="rgb", schedule=SCHEDULES["rgb"],
    unet=dataclasses.replace(TINY_SECTIONS, in_channels=3, out_channels=3),
)  # fmt: skip
SOURCE = Training(data="mosaics", licence="none")


@pytest.fixture(scope="module")
def sections() -> SectionSet:
    return make_sections(4, 3, side=10)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """A model to begin from, of random weights."""
    path = tmp_path_factory.mktemp("start") / "first.safetensors"
    spec = ModelSpec("sections", "denoiser", training=Training("simulations"), diffusion=CONFIG.diffusion)
    save_denoiser(path, a_unet(TINY_SECTIONS).state_dict(), TINY_SECTIONS, spec)
    return read_start(path)


def tuned(start: Start, **changes: Any) -> SectionConfig:
    return dataclasses.replace(CONFIG, fine_tuned_from=start.origin, **changes)


def train(
    sections: SectionSet, folder: Path, config: SectionConfig = CONFIG, start: Start | None = None,
    stop_after: int | None = None,
) -> list[SectionReport]:  # fmt: skip
    folder.mkdir(exist_ok=True)
    trainer = SectionTrainer(config, sections, folder, SOURCE, start=start)
    trainer.resume()
    return take(trainer.run(2), stop_after)


@pytest.mark.parametrize("config", [CONFIG, RGB], ids=["codes", "rgb"])
def test_a_run_leaves_a_checkpoint_that_tells_all(sections: SectionSet, tmp_path: Path, config: SectionConfig) -> None:
    reports = train(sections, tmp_path, config)
    assert [report.step for report in reports] == [2, 4, 6]
    assert SectionConfig.load(tmp_path / "config.json") == config
    unet, spec = load_denoiser(tmp_path / "checkpoint.safetensors")
    diffusion = spec.diffusion
    assert unet.config == config.unet and diffusion is not None and diffusion == config.diffusion
    assert (diffusion.plane, diffusion.step_um, diffusion.n_colours) == ("across", 2.0, 20)
    assert [(one.name, one.low, one.high) for one in diffusion.conditions] == [
        ("power_w", 100, 200), ("speed_m_s", 0.5, 1.0),
    ]  # fmt: skip
    if config is RGB:
        assert diffusion.codes == pytest.approx(2 * ipf_colours(TABLE_1) - 1, abs=1e-6)
    assert spec.training.data == "mosaics"


def test_interrupted_training_ends_as_an_uninterrupted_one(sections: SectionSet, start: Start, tmp_path: Path) -> None:
    config = tuned(start, free="1", distil=0.2, patience=100)
    expected = train(sections, tmp_path / "whole", config, start)
    train(sections, tmp_path / "parts", config, start, stop_after=1)
    rest = train(sections, tmp_path / "parts", config, start)
    assert [(r.step, r.loss, r.held_out_loss) for r in rest] == [
        (r.step, r.loss, r.held_out_loss) for r in expected[1:]
    ]
    ours, theirs = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_checkpoint_is_that_of_the_best_weights(sections: SectionSet, tmp_path: Path) -> None:
    trainer = SectionTrainer(dataclasses.replace(CONFIG, patience=4, steps=20), sections, tmp_path, SOURCE)
    losses = iter([0.5, 0.4, 0.45, 0.41, 0.39])
    trainer.evaluate = lambda: next(losses)  # type: ignore[method-assign]
    kept = {}
    for report in trainer.run(2):
        kept[report.step] = load_file(tmp_path / "checkpoint.safetensors")
    assert list(kept) == [2, 4, 6, 8]  # two reports without a lower loss: four steps
    assert load_denoiser(tmp_path / "checkpoint.safetensors")[1].training.steps == 4
    assert all(torch.equal(kept[8][name], kept[4][name]) for name in kept[4])
    again = SectionTrainer(dataclasses.replace(CONFIG, patience=4, steps=20), sections, tmp_path, SOURCE)
    again.resume()
    assert again.enough and list(again.run(2)) == []
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4", "6", "8"]


# --- beginning from a model


@pytest.mark.parametrize(
    ("free", "parts"),
    [
        ("last", {"norm", "head", "detail"}),
        ("1", {"up.1", "norm", "head", "detail"}),
        ("2", {"up.0", "up.1", "norm", "head", "detail"}),
        ("up", {"up.0", "up.1", "norm", "head", "detail"}),
        ("all", {"time", "condition", "stem", "down", "middle", "up.0", "up.1", "norm", "head", "detail"}),
    ],
)
def test_frozen_weights_stay_to_the_last_bit_and_free_ones_do_not(
    sections: SectionSet, start: Start, tmp_path: Path, free: str, parts: set[str]
) -> None:
    train(sections, tmp_path, tuned(start, free=free), start)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for name, first in start.unet.state_dict().items():
        is_free = any(name.startswith(f"{part}.") for part in parts)
        for held in (state["network"], state["average"]):
            assert torch.equal(held[name], first) != is_free, name


def test_fine_tuning_goes_on_as_it_began_without_the_model_that_it_began_from(
    sections: SectionSet, start: Start, tmp_path: Path
) -> None:
    config = tuned(start, free="last")
    train(sections, tmp_path / "whole", config, start)
    train(sections, tmp_path / "parts", config, start, stop_after=1)
    rest = train(sections, tmp_path / "parts", config, start=None)
    assert [report.step for report in rest] == [4, 6]
    whole, parts = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "parts"))
    for name, first in start.unet.state_dict().items():
        for kind in ("network", "average"):
            assert torch.equal(parts[kind][name], whole[kind][name]), name
            assert torch.equal(parts[kind][name], first) != name.startswith(("norm.", "head.", "detail.")), name


def test_what_is_free_must_be_known(start: Start) -> None:
    for free in ("none", "0", "3", "-1", ""):
        with pytest.raises(ValueError, match="all, up, last, or 1 to 2 up blocks"):
            free_weights(start.unet, free)


def test_distillation_of_bits_is_the_cross_entropy_of_both_in_shares(
    sections: SectionSet, start: Start, tmp_path: Path
) -> None:
    """Eq. 31 with the loss of bits in the place of squared errors, from probabilities."""
    config = tuned(start, distil=0.3)
    trainer = SectionTrainer(config, sections, tmp_path, SOURCE, start=start)
    with torch.no_grad():
        trainer.network.head.weight.mul_(0.5)  # the student is no more its teacher
    plain = SectionTrainer(tuned(start), sections, tmp_path, SOURCE, start=start)
    plain.network.load_state_dict(trainer.network.state_dict())
    drawn = trainer._batches[0]
    noise = trainer._draw_noise((0, 0), 4)
    of_data, both = float(plain.train_step()[0]), float(trainer.train_step()[0])
    signal = torch.from_numpy(config.schedule.alphas_cumprod.copy())[drawn.timestep].reshape(-1, 1, 1, 1)
    clean = torch.from_numpy(config.diffusion.codes)[drawn.values.long()].movedim(-1, 1)
    x = signal.sqrt().float() * clean + (1 - signal).sqrt().float() * noise
    own = (signal.sqrt() / (1 - signal)).float() * x
    with torch.no_grad():
        teacher = torch.sigmoid(2 * (start.unet(x, drawn.timestep, drawn.condition) + own)).double()
    student_net = a_unet(TINY_SECTIONS)
    with torch.no_grad():
        student_net.head.weight.mul_(0.5)
        student = torch.sigmoid(2 * (student_net(x, drawn.timestep, drawn.condition) + own).double())
    entropy = functional.binary_cross_entropy(student, teacher)
    assert both == pytest.approx(0.7 * of_data + 0.3 * float(entropy), rel=1e-4)
    assert of_data == pytest.approx(float(functional.binary_cross_entropy(student, (clean.double() + 1) / 2)), rel=1e-4)


def test_distillation_of_colours_is_that_of_squared_errors(sections: SectionSet, tmp_path: Path) -> None:
    torch.manual_seed(0)
    told, learned, target = torch.randn(3, 2, 3, 4, 4).unbind(0)
    mixed = 0.8 * functional.mse_loss(told, target) + 0.2 * distance(told, learned, is_bits=False)
    expected = (0.8 * (told - target).square() + 0.2 * (told - learned).square()).mean()
    assert float(mixed) == pytest.approx(float(expected), rel=1e-6)


def test_the_distance_of_bits_is_least_where_both_agree() -> None:
    learned = torch.tensor([-3.0, 0.0, 0.7])
    told = learned.clone().requires_grad_()
    distance(told, learned, is_bits=True).backward()  # type: ignore[no-untyped-call]
    assert isinstance(told.grad, Tensor) and float(told.grad.abs().max()) < 1e-6
    assert float(distance(learned + 0.5, learned, True)) > float(distance(learned, learned, True))


# --- what does not belong together


def test_another_model_is_refused(sections: SectionSet, start: Start, tmp_path: Path) -> None:
    wrong: list[tuple[SectionConfig, str]] = [
        (dataclasses.replace(CONFIG, plane="along"), "samples are sections across the tracks, not sections along the"),
        (dataclasses.replace(CONFIG, step_um=1.0), "cells are 2 µm, not 1 µm"),
        (dataclasses.replace(CONFIG, sides=(12, 12)), "sides are 10×10 cells, not 12×12 cells"),
        (RGB, "20 orientations as bits in 5 channels, not 20 orientations as colours in 3"),
    ]
    for config, message in wrong:
        given = dataclasses.replace(make_sections(4, 3, config.sides[0], config.plane), step_um=config.step_um)
        with pytest.raises(MicrorunError, match=message):
            SectionTrainer(config, given, tmp_path, SOURCE, start=start)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"power_w": np.full(12, 210.0)}, "power_w of the sections is 210 to 210, outside the window of training, 100"),
        ({"speed_m_s": np.linspace(0.4, 1, 12)}, "speed_m_s of the sections is 0.4 to 1"),
        ({"plane": "along"}, "sections across the tracks of .* were expected; got sections along them"),
        ({"case": np.zeros(12, np.int32)}, "1 cases are too few"),
    ],
)
def test_sections_that_do_not_fit_are_refused(
    sections: SectionSet, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(MicrorunError, match=message):
        SectionTrainer(CONFIG, dataclasses.replace(sections, **change), tmp_path, SOURCE)


def test_another_number_of_orientations_is_refused(sections: SectionSet, tmp_path: Path) -> None:
    few = dataclasses.replace(sections, orientation=sections.orientation % 4, grain=None, euler=TABLE_1[:4].copy())
    with pytest.raises(MicrorunError, match="sections must have 20 orientations; got 4"):
        SectionTrainer(CONFIG, few, tmp_path, SOURCE)


def test_other_settings_or_sections_are_not_gone_on_with(sections: SectionSet, tmp_path: Path) -> None:
    train(sections, tmp_path)
    with pytest.raises(MicrorunError, match=r"other settings \(learning_rate 0.5 instead of 0.001\)"):
        train(sections, tmp_path, dataclasses.replace(CONFIG, learning_rate=0.5))
    with pytest.raises(MicrorunError, match="started on other data"):
        train(make_sections(4, 3, side=10, seed=1), tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "must be positive"),
        ({"representation": "names"}, "codes or rgb; got 'names'"),
        ({"schedule": SCHEDULES["rgb"]}, "codes and the prediction of v do not go together"),
        ({"unet": RGB.unet}, "codes need a network of 2 dimensions, 5 channels, 2 conditions"),
        ({"sides": (11, 10)}, "multiples of 2"),
        ({"distil": 1.0, "fine_tuned_from": "x"}, "from 0 to below 1"),
        ({"distil": 0.2}, "need a model to begin from"),
        ({"free": "up"}, "need a model to begin from"),
        ({"free": "9", "fine_tuned_from": "x"}, "1 to 2 up blocks; got '9'"),
    ],
)
def test_senseless_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **values)
