"""Engines on tiny real models: they agree, they refuse what does not fit, and never depend on the batch."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import hide_library
from installed import leave_installed, offer_cuda
from make_models import LATENT_SIZE, decoder_graph, encoder_graph, save_model, tiny_spec, write_decoder, write_encoder
from numpy.typing import NDArray

from microrun.runtime.cores import count_cores
from microrun.runtime.engines.catalogue import MODELS, find_model, list_models
from microrun.runtime.engines.engine import Engine, EngineRequest, EngineWarning
from microrun.runtime.engines.libraries import offers_cuda
from microrun.runtime.engines.onnx_cpu import OnnxEngine, read_spec
from microrun.runtime.engines.open import find_decoder_of, open_engine, read_model_spec
from microrun.runtime.engines.openvino_cpu import OpenvinoEngine
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.files.extras import install_command
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.spec import Preprocessing

F32 = EngineRequest("f32", lanes=1, batch=5)
OPENERS: dict[str, Callable[[Path, EngineRequest], Engine]] = {
    "OpenVINO": lambda path, request: OpenvinoEngine(path, request),
    "ONNX Runtime": lambda path, request: OnnxEngine(path, request),
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_decoder(tmp_path_factory.mktemp("models") / "tiny.decoder.onnx")


@pytest.fixture(params=list(OPENERS.values()), ids=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Any:
    """Each of the engines on the CPU."""
    return request.param


def inputs(n: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (n, 1, 120, 120)).astype(np.float32)


def run_all(engine: Engine, patterns: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    lane = engine.lane()
    return np.concatenate([lane.run(patterns[n : n + step]).copy() for n in range(0, len(patterns), step)])


def one_line(error: pytest.ExceptionInfo[Exception], *parts: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


# --- results


def test_engines_agree(encoder: Path, decoder: Path) -> None:
    latents = np.random.default_rng(1).standard_normal((5, LATENT_SIZE)).astype(np.float32)
    for path, given in ((encoder, inputs(5)), (decoder, latents)):
        results = []
        for opener in OPENERS.values():
            with opener(path, F32) as engine:
                results.append(engine.lane().run(given).copy())
                assert results[-1].shape == (5, *engine.spec.output_shape)
                assert results[-1].dtype == np.float32
        assert np.ptp(results[0]) > 0.1
        np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4, 7])
def test_a_shorter_batch_gives_the_same_bits(opener: Any, encoder: Path, batch: int) -> None:
    patterns = inputs(7)
    with opener(encoder, EngineRequest("f32", 1, batch)) as engine:
        whole = run_all(engine, patterns, batch)
        for step in range(1, batch):
            np.testing.assert_array_equal(run_all(engine, patterns, step), whole)


def test_batch_sizes_agree(opener: Any, encoder: Path) -> None:
    patterns, results = inputs(7), []
    for batch in (1, 4, 7):
        with opener(encoder, EngineRequest("f32", 1, batch)) as engine:
            results.append(run_all(engine, patterns, batch))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-5, atol=1e-6)


def test_lanes_run_at_once_with_their_own_buffers(opener: Any, encoder: Path) -> None:
    with opener(encoder, EngineRequest("f32", lanes=3, batch=4)) as engine:
        work = [inputs(40, seed) for seed in range(3)]
        expected = [run_all(engine, patterns, 4) for patterns in work]
        found: dict[int, NDArray[np.float32]] = {}

        def run(number: int) -> None:
            found[number] = run_all(engine, work[number], 4)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(3):
        np.testing.assert_array_equal(found[number], expected[number])


def test_the_built_in_model_runs() -> None:
    with open_engine(device="cpu", request=F32) as engine:
        assert (engine.spec.kind, engine.spec.latent_size) == ("encoder", 32)
        latents = engine.lane().run(inputs(2))
        assert latents.shape == (2, 32)
        assert np.isfinite(latents).all()
    assert engine.info.path == MODELS / "vae32.onnx"


# --- what was chosen


def test_info_says_what_was_opened(opener: Any, encoder: Path) -> None:
    with opener(encoder, EngineRequest("f32", lanes=3, batch=9)) as engine:
        info = engine.info
    assert (info.path, info.device, info.precision, info.lanes, info.batch) == (encoder, "cpu", "f32", 3, 9)
    assert info.sha256 == hash_file(encoder)
    assert len(info.sha256) == 64
    assert info.library.split()[-1][0].isdigit()
    for part in (encoder.name, info.library, "cpu", "f32", "3 workers with 9 patterns at a time"):
        assert part in str(info)


def test_left_open_the_engine_takes_all_cores(opener: Any, encoder: Path) -> None:
    with opener(encoder, EngineRequest("f32")) as engine:
        assert count_cores() <= engine.info.lanes <= count_cores() + 1
        assert engine.info.batch > 1


def test_openvino_comes_first_on_the_cpu(encoder: Path) -> None:
    with open_engine(encoder, "cpu", F32) as engine:
        assert isinstance(engine, OpenvinoEngine)


def test_without_openvino_onnx_runtime_is_taken(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_installed(monkeypatch, "onnxruntime")
    with open_engine(encoder, "cpu", F32) as engine:
        assert isinstance(engine, OnnxEngine)
    assert read_model_spec(encoder) == tiny_spec()


def test_with_nothing_installed_the_extra_is_named(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_installed(monkeypatch)
    for work in (open_engine, read_model_spec):
        with pytest.raises(EngineError, match=re.escape(install_command("cpu"))) as error:
            work(encoder)
        one_line(error, encoder.name)


def test_auto_falls_back_to_the_cpu_and_says_so(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_cuda(monkeypatch)
    hide_library(monkeypatch, "cuda")
    with (
        pytest.warns(EngineWarning, match="taking the CPU: cuda-bindings"),
        open_engine(encoder, "auto", F32) as engine,
    ):
        assert engine.info.device == "cpu"


@pytest.mark.skipif(offers_cuda(), reason="ONNX Runtime is built for CUDA here")
def test_cuda_is_refused_without_onnx_runtime_for_it(encoder: Path) -> None:
    with pytest.raises(EngineError, match=r"no CUDA; pip uninstall onnxruntime, then pip install .*\[gpu\]") as error:
        open_engine(encoder, "cuda")
    one_line(error)


# --- precision


class FakeCore:
    """A CPU with chosen instructions."""

    def __init__(self, *capabilities: str) -> None:
        self.capabilities = list(capabilities)

    def get_property(self, device: str, name: str) -> list[str]:
        assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
        return self.capabilities


def test_auto_precision_is_what_the_cpu_has() -> None:
    from microrun.runtime.engines.openvino_cpu import choose_precision

    assert choose_precision(FakeCore("FP32", "INT8"), EngineRequest()) == "f32"
    assert choose_precision(FakeCore("FP32", "BF16"), EngineRequest()) == "bf16"
    assert choose_precision(FakeCore("FP32", "BF16"), EngineRequest("f32")) == "f32"


def test_a_precision_that_the_cpu_lacks_is_refused() -> None:
    from microrun.runtime.engines.openvino_cpu import choose_precision

    with pytest.raises(EngineError, match="does not compute in bf16; it does in f32, f16") as error:
        choose_precision(FakeCore("FP32", "FP16"), EngineRequest("bf16"))
    one_line(error)


def test_openvino_computes_in_the_precision_that_it_states(encoder: Path) -> None:
    for precision in ("auto", "f32"):
        with OpenvinoEngine(encoder, EngineRequest(precision, 1, 2)) as engine:
            hint = engine._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
            assert hint == engine.info.precision


def test_onnx_runtime_computes_in_the_models_own_precision(encoder: Path) -> None:
    with OnnxEngine(encoder) as engine:
        assert engine.info.precision == "f32"
    with pytest.raises(EngineError, match="the model's own f32; bf16 was asked for") as error:
        OnnxEngine(encoder, EngineRequest("bf16"))
    one_line(error, encoder)


# --- what is refused


@pytest.mark.parametrize("wrong", [{"precision": "f8"}, {"lanes": 0}, {"lanes": -1}, {"batch": 0}, {"batch": 5000}])
def test_requests_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match=next(iter(wrong))) as error:
        EngineRequest(**wrong)
    one_line(error, next(iter(wrong.values())))


def test_devices_that_do_not_exist(encoder: Path) -> None:
    with pytest.raises(EngineError, match="device must be one of auto, cpu, cuda; got 'tpu'"):
        open_engine(encoder, "tpu")  # type: ignore[arg-type]


def test_names_of_built_in_models() -> None:
    assert find_model("vae32") == MODELS / "vae32.onnx"
    assert find_model("vae32.decoder") == MODELS / "vae32.decoder.onnx"
    assert read_model_spec(find_model("vae32.decoder")).kind == "decoder"


def test_a_model_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    for name in (tmp_path / "none.onnx", "vae33"):
        with pytest.raises(EngineError, match=r"no such file, and no built-in model \(.*vae32.*\)") as error:
            open_engine(name)
        one_line(error, name)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    for path in (tmp_path, tmp_path / "folder.onnx"):
        with pytest.raises(EngineError, match=r"expected an \.onnx or \.plan file, got a directory") as error:
            open_engine(path)
        one_line(error, path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.pt", "is the state of a training, not a model"),
        ("model.txt", "is a text file, not a model"),
        ("model.bin", "this version opens .onnx and .plan files; got '.bin'"),
        ("model", "got 'no ending'"),
    ],
)
def test_another_ending_is_no_model(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"weights\0")
    with pytest.raises(EngineError) as error:
        open_engine(tmp_path / name)
    one_line(error, tmp_path / name, said)


def truncated(path: Path) -> None:
    whole = write_encoder(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("this is no model\n" * 100),
    "bytes": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "truncated": truncated,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_refused(opener: Any, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = tmp_path / "damaged.onnx"
    damage(path)
    with pytest.raises(EngineError) as error:
        opener(path, F32)
    one_line(error, path)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (None, "carries no spec"),
        ("", "its spec is damaged"),
        ("vae32", "its spec is damaged"),
        ("[1, 2]", "its spec is damaged"),
        ('{"spec_version": 1}', "its spec is damaged"),
        (tiny_spec().to_json().replace('"spec_version": 1', '"spec_version": 2'), "spec version must be 1; got 2"),
        (tiny_spec().to_json().replace('"encoder"', '"segmenter"'), "kind must be one of"),
        (tiny_spec().to_json().replace('"name"', '"title"'), "its spec is damaged"),
    ],
)
def test_a_spec_that_is_missing_or_damaged(opener: Any, tmp_path: Path, spec: str | None, text: str) -> None:
    path = save_model(tmp_path / "model.onnx", encoder_graph(), spec)
    with pytest.raises(SpecError, match=text) as error:
        opener(path, F32)
    one_line(error, path)


@pytest.mark.parametrize(
    "spec",
    [
        tiny_spec("encoder", LATENT_SIZE + 1),
        tiny_spec("decoder"),
        dataclasses.replace(tiny_spec(), preprocessing=Preprocessing((60, 60))),
    ],
    ids=["latent size", "kind", "input"],
)
def test_a_spec_of_another_graph(opener: Any, tmp_path: Path, spec: Any) -> None:
    path = save_model(tmp_path / "model.onnx", encoder_graph(), spec)
    with pytest.raises(SpecError, match="Export the model again") as error:
        opener(path, F32)
    one_line(error, path, f"D = {spec.latent_size}", "(1, 120, 120) → (8,)")


def test_both_libraries_read_the_same_spec(encoder: Path, decoder: Path) -> None:
    for path, kind in ((encoder, "encoder"), (decoder, "decoder")):
        assert read_model_spec(path) == read_spec(path) == tiny_spec(kind)  # type: ignore[arg-type]


def test_a_graph_of_another_size_runs_with_its_own_spec(opener: Any, tmp_path: Path) -> None:
    spec = dataclasses.replace(tiny_spec("decoder", 3), preprocessing=Preprocessing((64, 64)))
    path = save_model(tmp_path / "small.onnx", decoder_graph(3, side=64), spec)
    with opener(path, F32) as engine:
        assert engine.lane().run(np.zeros((2, 3), np.float32)).shape == (2, 1, 64, 64)


# --- built-in models and decoders


def test_built_in_encoders_are_listed_the_smallest_first() -> None:
    models = list_models()
    assert MODELS / "vae32.onnx" in models
    sizes = [path.stat().st_size for path in models]
    assert sizes == sorted(sizes)
    for path in models:
        spec = read_model_spec(path)
        assert (spec.kind, spec.name) == ("encoder", path.stem)
        assert read_model_spec(find_decoder_of(path.stem)).belongs_to(spec)


def test_the_decoder_lies_beside_the_encoder(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "tiny.v2.onnx")
    decoder = write_decoder(tmp_path / "tiny.v2.decoder.onnx")
    assert find_decoder_of(encoder) == find_decoder_of(str(encoder)) == decoder
    assert find_decoder_of(decoder) == decoder
    other = write_decoder(tmp_path / "of another name.onnx")
    assert find_decoder_of(other) == other


def test_an_encoder_without_its_decoder_is_refused(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="export encoder and decoder together") as error:
        find_decoder_of(encoder)
    one_line(error, encoder.with_name("tiny.decoder.onnx"))
    with pytest.raises(EngineError, match="no such file"):
        find_decoder_of(tmp_path / "none.onnx")
