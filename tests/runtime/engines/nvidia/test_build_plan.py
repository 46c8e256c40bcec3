"""Plans by TensorRT-RTX, which builds on machines without a card."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from make_denoisers import write_denoiser, write_section_denoiser
from make_models import decoder_graph, encoder_graph, save_model, tiny_spec, write_decoder, write_encoder

from microrun.runtime.engines.catalogue import MODELS, find_model, list_models
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.known_answers import check_inputs, run_check, sample_outputs
from microrun.runtime.engines.nvidia import build_plan as build_plan_module
from microrun.runtime.engines.nvidia.build_plan import BuildRequest, build_cached, build_plan, cache_folder
from microrun.runtime.engines.nvidia.cuda import Card
from microrun.runtime.engines.nvidia.plan import Profile, read_record, sidecar_of
from microrun.runtime.engines.nvidia.tensorrt_library import RTX_CARDS, choose_library, covers, import_library
from microrun.runtime.engines.open import find_decoder_of, open_denoiser, open_engine, read_model_spec
from microrun.runtime.errors import EngineError, OutputError, SpecError
from microrun.runtime.files.hashes import hash_file

rtx = pytest.importorskip("tensorrt_rtx")
RTX = BuildRequest("tensorrt_rtx", batch=32)


def opens_with(error: float | None) -> Callable[[Path], Any]:
    """A card that opens plans, and finds this error against the model; None if it is too large."""

    @contextmanager
    def open_plan(plan: Path) -> Iterator[Any]:
        assert read_record(plan).plan_sha256
        if error is None:
            raise EngineError(f"{plan}: computes something else")
        yield SimpleNamespace(check_error=error)

    return open_plan


def a_card(major: int, minor: int) -> Card:
    return Card(0, "a card", (major, minor), 8 << 30, 7 << 30)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "tiny.plan"


# --- what is built


@pytest.mark.parametrize("name", [file.name for path in list_models() for file in (path, find_decoder_of(path))])
def test_every_built_in_model_becomes_a_plan(name: str, out: Path) -> None:
    phases = []
    record = build_plan(MODELS / name, out, RTX, lambda phase, done, total: phases.append((done, total)))
    assert read_record(out) == record
    assert record.spec.precision == "f16" and record.parity_error is None
    assert record.compute_capabilities == RTX_CARDS and record.version == rtx.__version__
    assert record.profile == Profile(1, 32, 32) and record.build_s > 0
    assert (record.plan_sha256, record.onnx_sha256) == (hash_file(out), hash_file(MODELS / name))
    assert phases[0][0] == 0 and any(done == total for done, total in phases)
    with open_engine(MODELS / name, "cpu", EngineRequest("f32", batch=2)) as reference:
        expected = sample_outputs(reference.lane().run(check_inputs(reference.spec)))
    np.testing.assert_allclose(record.check_outputs, expected, rtol=1e-5, atol=1e-6)
    assert sorted(path.name for path in out.parent.iterdir()) == ["tiny.plan", "tiny.plan.json"]


def test_a_listener_s_error_ends_the_build_and_is_raised(encoder: Path, out: Path) -> None:
    def leave(phase: str, done: int, total: int) -> None:
        raise KeyboardInterrupt(phase)

    with pytest.raises(KeyboardInterrupt):
        build_plan(encoder, out, RTX, leave)
    assert not list(out.parent.iterdir())


def test_the_precision_is_the_graph_s_own(encoder: Path, out: Path, tmp_path: Path) -> None:
    assert build_plan(encoder, out, RTX).spec.precision == "f32"
    # A spec that promises more than its graph holds is not believed.
    boasting = save_model(tmp_path / "f16.onnx", encoder_graph(), dataclasses.replace(tiny_spec(), precision="f16"))
    assert build_plan(boasting, out, RTX).spec.precision == "f32"


def test_a_decoder(out: Path, tmp_path: Path) -> None:
    record = build_plan(write_decoder(tmp_path / "tiny.decoder.onnx"), out, RTX)
    assert record.spec.kind == "decoder" and len(record.check_outputs) == 256


@pytest.mark.parametrize("write", [write_denoiser, write_section_denoiser], ids=["volumes", "sections"])
def test_a_denoiser(write: Callable[[Path], Path], out: Path, tmp_path: Path) -> None:
    onnx_file = write(tmp_path / "drawn.onnx")
    record = build_plan(onnx_file, out, BuildRequest("tensorrt_rtx"))
    assert record.spec == read_model_spec(onnx_file) and record.profile == Profile(1, 16, 16)
    with open_denoiser(onnx_file, "cpu", EngineRequest("f32", batch=3)) as reference:
        expected = sample_outputs(run_check(reference.lane(), reference.diffusion))
    np.testing.assert_allclose(record.check_outputs, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(EngineError, match="no card"):
        open_denoiser(out)


def test_turing_wants_half(encoder: Path, out: Path) -> None:
    request = dataclasses.replace(RTX, compute_capabilities=("7.5",))
    refused(encoder, out, "tiny.onnx", "is in f32", "export it in f16", request=request)


def test_lanes_can_capture_what_is_built(encoder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = []

    class WatchedBuilder(rtx.Builder):  # type: ignore[name-defined, misc]
        def build_serialized_network(self, network: Any, config: Any) -> Any:
            flags.append(config.get_flag(rtx.BuilderFlag.REQUIRE_USER_ALLOCATION))
            return super().build_serialized_network(network, config)

    watched = ModuleType("watched")
    vars(watched).update(vars(rtx), Builder=WatchedBuilder)
    monkeypatch.setattr(build_plan_module, "import_library", lambda library: watched)
    build_plan(encoder, out, RTX)
    assert flags == [True]


def test_turing_is_built_for_by_itself(out: Path) -> None:
    record = build_plan(find_model("vae32"), out, dataclasses.replace(RTX, compute_capabilities=("7.5",)))
    assert record.compute_capabilities == ("7.5",)


class Timings:
    """What of a builder's configuration is about timings; it knows caches that begin with "mine"."""

    def __init__(self) -> None:
        self.used: bytes | None = None

    def create_timing_cache(self, kept: bytes) -> bytes | None:
        return kept if kept in (b"", b"mine") or kept.startswith(b"other") else None

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        if cache.startswith(b"other"):
            return False
        self.used = cache
        return True


@pytest.mark.parametrize(("kept", "used"), [(None, b""), (b"mine", b"mine"), (b"other card", b""), (b"damaged", b"")])
def test_timings_are_used_if_they_fit(kept: bytes | None, used: bytes, tmp_path: Path) -> None:
    path, config = tmp_path / "timings", Timings()
    if kept is not None:
        path.write_bytes(kept)
    build_plan_module._load_timings(config, path)
    assert config.used == used


def test_a_workspace_is_respected(encoder: Path, out: Path) -> None:
    assert build_plan(encoder, out, dataclasses.replace(RTX, workspace_mb=64)).spec.latent_size == 8


def test_a_plan_is_replaced_whole(encoder: Path, out: Path) -> None:
    build_plan(encoder, out, RTX)
    first = read_record(out)
    build_plan(encoder, out, dataclasses.replace(RTX, batch=8))
    assert read_record(out).profile != first.profile


# --- what is refused


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"library": "tensorrt_rtx", "batch": 0}, "batch must be 1 to 4096; got 0"),
        ({"library": "tensorrt_rtx", "workspace_mb": 0}, "at least 1 MB; got 0"),
        ({"library": "tensorrt", "compute_capabilities": ("8.6",)}, "for TensorRT-RTX"),
        ({"library": "tensorrt_rtx", "version_compatible": True}, "TensorRT's own"),
        ({"library": "tensorrt_rtx", "hardware_compatible": True}, "TensorRT's own"),
        ({"library": "tensorrt_rtx", "timing_cache": Path("timings")}, "TensorRT's own"),
    ],
)
def test_senseless_requests(values: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        BuildRequest(**values)


def refused(onnx_file: Path, out: Path, *parts: str, request: BuildRequest = RTX) -> None:
    with pytest.raises(EngineError) as error:
        build_plan(onnx_file, out, request)
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text
    assert not list(out.parent.glob("*.plan*"))


def test_what_is_no_model(out: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"no model" * 99)
    refused(path, out, "bad.onnx", "is not an ONNX model")


def test_a_model_without_a_spec(out: Path, tmp_path: Path) -> None:
    path = save_model(tmp_path / "bare.onnx", encoder_graph(), None)
    with pytest.raises(SpecError, match=r"bare.onnx: carries no spec"):
        build_plan(path, out, RTX)


def test_a_spec_of_another_graph(out: Path, tmp_path: Path) -> None:
    path = save_model(tmp_path / "mixed.onnx", decoder_graph(), tiny_spec())
    refused(path, out, "mixed.onnx")


def test_an_operator_that_tensorrt_does_not_know(out: Path, tmp_path: Path) -> None:
    graph = encoder_graph()
    graph.graph.node[1].op_type, graph.graph.node[1].domain = "QuickGelu", "com.microsoft"
    graph.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    path = save_model(tmp_path / "odd.onnx", graph, tiny_spec())
    refused(path, out, "odd.onnx", "TensorRT-RTX cannot read it", "QuickGelu")


def test_cards_that_it_does_not_know(encoder: Path, out: Path) -> None:
    request = dataclasses.replace(RTX, compute_capabilities=("9.0",))
    refused(encoder, out, "8.6", "'9.0'", request=request)


def test_a_folder_that_is_not_there(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"tiny\.plan"):
        build_plan(encoder, tmp_path / "none" / "tiny.plan", RTX)


def test_a_plan_that_computes_something_else_is_not_kept(
    encoder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_plan_module, "find_card", lambda: a_card(8, 6))
    monkeypatch.setattr(build_plan_module, "TensorrtEngine", opens_with(None))
    with pytest.raises(EngineError, match=r"tiny.plan: computes something else"):
        build_plan(encoder, out, RTX)
    assert not list(out.parent.iterdir())
    monkeypatch.setattr(build_plan_module, "TensorrtEngine", opens_with(0.004))
    assert build_plan(encoder, out, RTX).parity_error == read_record(out).parity_error == 0.004


def test_tensorrt_without_a_card(encoder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_plan_module, "import_library", lambda library: rtx)
    refused(encoder, out, "no card", "tensorrt_rtx", request=BuildRequest("tensorrt"))


# --- the library


def test_tensorrt_that_is_not_installed() -> None:
    with pytest.raises(EngineError, match=r"TensorRT is not installed; pip install .*\[tensorrt\]"):
        import_library("tensorrt")


def test_bindings_without_their_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.11: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineError, match=r"bindings are installed, but not the library.*libnvinfer.so.11"):
        import_library("tensorrt")


@pytest.mark.parametrize(
    ("capabilities", "capability", "covered"),
    [
        (("8.6",), (8, 6), True),
        (("8.6",), (8, 9), False),
        (("8.0+",), (9, 0), True),
        (("8.0+",), (7, 5), False),
        (("8.0", "12.0+"), (12, 1), True),
        ((), (8, 6), False),
    ],
)
def test_cards_that_a_plan_covers(capabilities: tuple[str, ...], capability: tuple[int, int], covered: bool) -> None:
    assert covers(capabilities, capability) is covered


@pytest.mark.parametrize(
    ("capability", "library"),
    [((7, 5), "tensorrt_rtx"), ((8, 6), "tensorrt_rtx"), ((9, 0), "tensorrt"), ((12, 0), "tensorrt_rtx")],
)
def test_the_library_for_a_card(capability: tuple[int, int], library: str) -> None:
    assert choose_library(a_card(*capability)) == library


# --- the cache


def test_a_plan_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICRORUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build_plan_module, "find_card", lambda: a_card(7, 5))
    monkeypatch.setattr(build_plan_module, "TensorrtEngine", opens_with(0.0))
    encoder = find_model("vae32")
    plan = build_cached(encoder, 16)
    assert plan.parent == cache_folder() == tmp_path / "cache"
    assert read_record(plan).compute_capabilities == ("7.5",) and read_record(plan).profile.max == 16
    built = plan.stat().st_mtime_ns
    assert build_cached(encoder, 16) == plan and plan.stat().st_mtime_ns == built
    assert build_cached(encoder, 8) != plan
    sidecar_of(plan).unlink()
    assert build_cached(encoder, 16) == plan and sidecar_of(plan).is_file()
    plan.write_bytes(b"damaged")
    assert build_cached(encoder, 16) == plan and read_record(plan).spec.precision == "f16"


def test_without_a_card_nothing_is_built(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICRORUN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(EngineError, match="no card"):
        open_engine(encoder, request=EngineRequest(build=True))
    assert not (tmp_path / "cache").exists()


def test_a_plan_is_not_for_the_cpu(encoder: Path, out: Path) -> None:
    build_plan(encoder, out, RTX)
    with pytest.raises(EngineError, match="NVIDIA cards only"):
        open_engine(out, "cpu")
    with pytest.raises(EngineError, match="no card"):
        open_engine(out)


def test_a_kept_plan_that_does_not_run_is_built_anew_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICRORUN_CACHE", str(tmp_path))
    monkeypatch.setattr(build_plan_module, "find_card", lambda: a_card(8, 6))
    monkeypatch.setattr(build_plan_module, "TensorrtEngine", opens_with(0.0))
    plan = build_cached(find_model("vae32"))
    with pytest.raises(EngineError, match="no card"):  # the one above is not there when the plan is opened
        open_engine("vae32", request=EngineRequest(build=True))
    assert not plan.exists()
