"""Opening denoisers: what is chosen, and what is refused in one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from installed import LIBRARIES, leave_installed, offer_cuda
from make_denoisers import SCHEDULE, SECTIONS, WINDOW, denoiser_spec, section_graph, write_denoiser
from make_models import encoder_graph, save_model, write_encoder

from microrun.runtime.cores import count_cores
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.libraries import offers_cuda
from microrun.runtime.engines.nvidia import onnx_cuda as denoiser_onnx_cuda
from microrun.runtime.engines.onnx_cpu import OnnxDenoiser, read_spec
from microrun.runtime.engines.open import open_denoiser, open_engine, read_model_spec
from microrun.runtime.engines.openvino_cpu import OpenvinoDenoiser
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.spec import Diffusion, ModelSpec

SHAPE = (1, 8, 8, 8)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_denoiser(tmp_path_factory.mktemp("denoisers") / "tiny.onnx")


def one_line(error: pytest.ExceptionInfo[Exception], *parts: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


# --- what was opened


@pytest.mark.parametrize("opener", [OpenvinoDenoiser, OnnxDenoiser])
def test_left_open_a_denoiser_takes_all_cores(opener: Callable[[Path], Denoiser], denoiser: Path) -> None:
    with opener(denoiser) as opened:
        info = opened.info
        assert (info.path, info.device, info.lanes, info.batch) == (denoiser, "cpu", count_cores(), 1)
        assert str(info).endswith(f"{count_cores()} workers with 1 sample at a time")
        assert opened.lane().batch == 1
        assert opened.diffusion == denoiser_spec().diffusion == opened.spec.diffusion


def test_openvino_comes_first_on_the_cpu(denoiser: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_denoiser(denoiser, "cpu") as opened:
        assert isinstance(opened, OpenvinoDenoiser)
        hint = opened._compiled.get_property("INFERENCE_PRECISION_HINT")
        assert hint.to_string() == opened.info.precision
    leave_installed(monkeypatch, "onnxruntime")
    with open_denoiser(denoiser, "cpu", EngineRequest(lanes=3, batch=5)) as opened:
        assert isinstance(opened, OnnxDenoiser)
        assert (opened.info.lanes, opened.info.batch, opened.lane().batch) == (3, 5, 5)
    leave_installed(monkeypatch)
    with pytest.raises(EngineError, match=r"nothing is installed that runs it; pip install .*cpu"):
        open_denoiser(denoiser)


def test_openvino_has_a_thread_for_each_lane_up_to_all_cores(denoiser: Path) -> None:
    for lanes in (1, count_cores(), count_cores() + 1):
        with OpenvinoDenoiser(denoiser, EngineRequest(lanes=lanes)) as opened:
            found = [opened._compiled.get_property(name) for name in ("NUM_STREAMS", "INFERENCE_NUM_THREADS")]
        assert found == [min(lanes, count_cores())] * 2


def test_both_libraries_read_the_spec(denoiser: Path) -> None:
    assert read_model_spec(denoiser) == read_spec(denoiser) == denoiser_spec()


# --- what is refused


def test_an_encoder_is_no_denoiser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_encoder(tmp_path / "tiny.onnx")
    for libraries in (LIBRARIES, ("onnxruntime",)):
        leave_installed(monkeypatch, *libraries)
        with pytest.raises(SpecError, match="is an encoder; generation needs a denoiser") as error:
            open_denoiser(path, "cpu")
        one_line(error, path)


def test_a_denoiser_is_no_encoder(denoiser: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for libraries in (LIBRARIES, ("onnxruntime",)):
        leave_installed(monkeypatch, *libraries)
        with pytest.raises(SpecError, match="is a denoiser; this needs an encoder or a decoder") as error:
            open_engine(denoiser, "cpu")
        one_line(error, denoiser)


@pytest.mark.parametrize("opener", [OpenvinoDenoiser, OnnxDenoiser])
def test_a_graph_of_another_shape_than_its_spec(opener: Callable[[Path], Denoiser], tmp_path: Path) -> None:
    path = write_denoiser(tmp_path / "wrong.onnx", spec=denoiser_spec(side=16))
    with pytest.raises(SpecError, match="Export the model again") as error:
        opener(path)
    one_line(error, path, "known (1, 16, 16, 16), mask", "the graph has known (1, 8, 8, 8), mask", "x_next (1, 8,")
    assert "coefficients" not in str(error.value)


@pytest.mark.parametrize("opener", [OpenvinoDenoiser, OnnxDenoiser])
def test_a_graph_without_the_inputs_of_a_step(opener: Callable[[Path], Denoiser], tmp_path: Path) -> None:
    spec = ModelSpec("tiny", "denoiser", diffusion=Diffusion((1, 120, 120), SCHEDULE))
    path = save_model(tmp_path / "tiny.onnx", encoder_graph(), spec)
    with pytest.raises(SpecError, match=r"means coefficients \(5,\), known") as error:
        opener(path)
    one_line(error, path, "no coefficients, no known", "latents (8,)", "patterns (1, 120, 120)", "no x_next")


@pytest.mark.parametrize("opener", [OpenvinoDenoiser, OnnxDenoiser])
def test_a_graph_of_another_condition(opener: Callable[[Path], Denoiser], tmp_path: Path) -> None:
    spec = ModelSpec("tiny", "denoiser", diffusion=dataclasses.replace(SECTIONS, conditions=WINDOW[:1]))
    path = save_model(tmp_path / "conditioned.onnx", section_graph(), spec)
    with pytest.raises(SpecError, match=r"means condition \(1,\) per sample; the graph has condition \(2,\)") as error:
        opener(path)
    one_line(error, path)


def test_plans_of_denoisers_run_on_cards_only(denoiser: Path, tmp_path: Path) -> None:
    plan = tmp_path / "tiny.plan"
    plan.write_bytes(b"plan")
    for path, request in ((plan, EngineRequest()), (denoiser, EngineRequest(build=True))):
        with pytest.raises(EngineError, match="a plan runs on NVIDIA cards only") as error:
            open_denoiser(path, "cpu", request)
        one_line(error, path)
    with pytest.raises(EngineError, match=r"tiny\.plan\.json is missing beside it"):
        open_denoiser(plan)
    with pytest.raises(EngineError, match="no card"):
        open_denoiser(denoiser, "auto", EngineRequest(build=True))


def test_a_denoiser_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no such file") as error:
        open_denoiser(tmp_path / "none.onnx")
    one_line(error, tmp_path)


def test_onnx_runtime_computes_in_the_models_own_precision(denoiser: Path) -> None:
    with pytest.raises(EngineError, match="the model's own f32; bf16 was asked for"):
        OnnxDenoiser(denoiser, EngineRequest("bf16"))


@pytest.mark.skipif(offers_cuda(), reason="ONNX Runtime is built for CUDA here")
def test_cuda_is_refused_without_onnx_runtime_for_it(denoiser: Path) -> None:
    with pytest.raises(EngineError, match=r"no CUDA; pip uninstall onnxruntime, then pip install .*\[gpu\]") as error:
        open_denoiser(denoiser, "cuda")
    one_line(error)


def test_on_a_card_a_fixed_batch_is_opened(denoiser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[Path, int]] = []
    monkeypatch.setattr(denoiser_onnx_cuda, "prepare_card", lambda: None)
    monkeypatch.setattr(denoiser_onnx_cuda, "open_on_card", lambda path, batch, settings: opened.append((path, batch)))
    offer_cuda(monkeypatch)
    for request, lanes, batch in ((EngineRequest(), 2, 16), (EngineRequest(lanes=3, batch=4), 3, 4)):
        info = open_denoiser(denoiser, "auto", request).info
        assert (info.device, info.precision, info.lanes, info.batch) == ("cuda", "f32", lanes, batch)
        assert opened[-1] == (denoiser, batch)
    with pytest.raises(SpecError, match="generation needs a denoiser"):
        open_denoiser(write_encoder(tmp_path / "tiny.onnx"))
