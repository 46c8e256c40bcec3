"""Which models are opened, in which ways."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from make_denoisers import write_denoiser
from make_models import write_encoder

from microrun.cli.bench.models import (
    Ask,
    Model,
    Subject,
    given_encoder,
    given_model,
    open_models,
    parse_asks,
    random_denoiser,
    random_encoder,
)
from microrun.runtime.engines.engine import Engine
from microrun.runtime.engines.open import open_denoiser, open_engine, read_model_spec
from microrun.runtime.errors import EngineError
from microrun.runtime.progress import finish
from microrun.training.diffusion import unet_config
from microrun.training.diffusion.unet_config import UnetConfig


def open_all(models: list[Model], asks: list[Ask]) -> tuple[list[Subject[Engine]], list[str]]:
    with ExitStack() as held:
        return finish(open_models(models, asks, open_engine, held))


def test_every_combination_is_opened_once(engine: Path) -> None:
    other = write_encoder(engine.with_name("other.onnx"), seed=1)
    models = [given_encoder(str(path)) for path in (engine, other)]
    subjects, refused = open_all(models, parse_asks(["cpu", "cpu"], ["f32"], None, None))
    assert [subject.engine.info.path for subject in subjects] == [engine, other]
    assert refused == []
    for subject in subjects:
        with subject.open_single() as single:
            info = subject.engine.info
            assert single.info == dataclasses.replace(info, lanes=1, batch=1)
        table = subject.table()
        assert table.title == f"{subject.model.name}, f32 on cpu"
        assert table.detail.startswith(f"{info.library}, {info.lanes} lane")
        assert table.facts == {"model": subject.model.name, **dataclasses.asdict(info)}


def test_denoisers_are_opened_in_every_precision_once(tmp_path: Path) -> None:
    model = given_model(str(write_denoiser(tmp_path / "small.onnx")))
    with ExitStack() as held:
        asks = parse_asks(["cpu", "auto"], ["f32", "f16"], 1, 2)
        subjects, _ = finish(open_models([model], asks, open_denoiser, held))
        precisions = [subject.engine.info.precision for subject in subjects]
        assert "f32" in precisions and len(set(precisions)) == len(precisions)
        assert all(subject.model == model and subject.engine.info.batch == 2 for subject in subjects)


def test_what_is_being_opened_is_told(engine: Path) -> None:
    asks = parse_asks(["cpu"], ["f32", "auto"], None, None)
    with ExitStack() as held:
        told = list(open_models([given_model(str(engine))], asks, open_engine, held))
    assert [(now.done, now.total) for now in told] == [(0, 2), (1, 2)]
    assert told[1].phase == f"{engine}: opening in auto on cpu"


def test_what_cannot_run_here_is_told_and_the_rest_is_opened(engine: Path, plan: Path) -> None:
    models = [given_encoder(str(path)) for path in (plan, engine)]
    subjects, refused = open_all(models, parse_asks(["cpu"], ["f32"], None, None))
    assert [subject.engine.info.path for subject in subjects] == [engine]
    assert len(refused) == 1
    assert refused[0].startswith(f"{plan}, f32 on cpu: ")
    assert "a plan runs on NVIDIA cards only" in refused[0]


def test_where_nothing_can_run_all_reasons_are_given(plan: Path) -> None:
    with pytest.raises(EngineError, match=r", f32 on cpu: .*; .*, f16 on cpu: ") as error:
        open_all([given_encoder(str(plan))], parse_asks(["cpu"], ["f32", "f16"], None, None))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_random_encoders_are_made_in_the_precision_asked_for(tmp_path: Path) -> None:
    model = random_encoder(16, tmp_path)
    assert model.file("auto") == model.file("bf16") == model.file("f32")
    for precision, weights in (("f32", "f32"), ("f16", "f16"), ("int8", "int8")):
        path = model.file(precision)  # type: ignore[arg-type]
        assert read_model_spec(path).precision == weights
        written = path.stat().st_mtime_ns
        assert model.file(precision) == path and path.stat().st_mtime_ns == written  # type: ignore[arg-type]


@pytest.mark.slow
def test_random_denoisers_are_made_in_the_precision_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = UnetConfig(dims=3, channels=(8, 8), in_channels=2, out_channels=2, blocks=1, head_size=4, groups=4, patch=4)
    monkeypatch.setattr(unet_config, "GRAIN_UNET", tiny)
    model = random_denoiser(tmp_path)
    assert model.name == "random weights"
    assert model.file("auto") == model.file("bf16") == model.file("f16") != model.file("f32")
    for precision in ("f16", "f32"):
        path = model.file(precision)  # type: ignore[arg-type]
        assert read_model_spec(path).precision == precision
        written = path.stat().st_mtime_ns
        assert model.file(precision) == path and path.stat().st_mtime_ns == written  # type: ignore[arg-type]


def test_what_random_models_lack_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError) as error:
        random_denoiser(tmp_path)
    assert error.value.name == "torch"
