"""ONNX Runtime on a fake card: sessions on the lanes' streams and addresses, and graphs that nothing breaks up."""

from __future__ import annotations

import gc
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from fake_cuda import REFUSED, FakeCuda, Kernel
from fake_cuda_engine import clean_card
from lanes import in_thread
from make_models import LATENT_SIZE, encoder_graph, save_model, tiny_spec, write_decoder, write_encoder
from onnx import TensorProto, helper

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.nvidia import onnx_cuda
from microrun.runtime.engines.nvidia.onnx_cuda import BATCH, MOST_LANES, OnnxCudaEngine
from microrun.runtime.engines.onnx_cpu import CUDA, OnnxEngine
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.files.extras import install_command
from microrun.runtime.files.hashes import hash_file

CPU = "CPUExecutionProvider"
SMALL = EngineRequest(lanes=2, batch=4)
ARENA_BYTES = 1024
Session = onnxruntime.InferenceSession


class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
    """Options that tell which dimensions they fix."""

    def __init__(self) -> None:
        super().__init__()
        self.fixed: dict[str, int] = {}

    def add_free_dimension_override_by_name(self, name: str, value: int) -> None:
        self.fixed[name] = value
        super().add_free_dimension_override_by_name(name, value)


class Binding:
    """Where a session finds its input on the card and leaves its output."""

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Any, buffer_ptr: int
    ) -> None:
        assert (device_type, device_id, element_type) == ("cuda", 0, np.float32)
        self.addresses[name], self.shapes[name] = buffer_ptr, tuple(shape)

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Any = None,
        buffer_ptr: int | None = None,
    ) -> None:
        assert buffer_ptr is not None
        self.bind_input(name, device_type, device_id, element_type, shape, buffer_ptr)


class CudaSession:
    """A session that computes what a real one computes on the CPU, from and to the fake's memory."""

    def __init__(self, library: Library, path: Path, options: Options, settings: dict[str, str]) -> None:
        self.options, self.settings, self._library = options, settings, library
        self.threads = {threading.get_ident()}
        own = onnxruntime.SessionOptions()
        for name, value in options.fixed.items():
            own.add_free_dimension_override_by_name(name, value)
        self._real = Session(path, own, providers=[CPU])
        self._arena = library.device.allocate(ARENA_BYTES)
        weakref.finalize(self, library.device.free, self._arena)

    def get_providers(self) -> list[str]:
        return self._library.providers

    def get_inputs(self) -> Any:
        return self._real.get_inputs()

    def get_outputs(self) -> Any:
        return self._real.get_outputs()

    def io_binding(self) -> Binding:
        return Binding()

    def run_with_iobinding(self, iobinding: Binding, run_options: Any = None) -> None:
        self.threads.add(threading.get_ident())
        assert run_options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        self._library.run()
        ports = [self._real.get_inputs()[0], self._real.get_outputs()[0]]
        assert [tuple(port.shape) for port in ports] == [iobinding.shapes[port.name] for port in ports]
        addresses, shapes = zip(*((iobinding.addresses[p.name], iobinding.shapes[p.name]) for p in ports), strict=True)
        real = self._real
        kernel = Kernel(lambda inputs: real.run(None, {ports[0].name: inputs})[0], addresses, shapes)
        self._library.device.compute(kernel, int(self.settings["user_compute_stream"]), self._arena)


class Library:
    """ONNX Runtime as if it were built for CUDA."""

    def __init__(self, device: FakeCuda) -> None:
        self.device, self.providers = device, [CUDA, CPU]
        self.sessions: list[weakref.ref[CudaSession]] = []
        self.run: Callable[[], None] = lambda: None

    def open(self, path: Path, options: Options, providers: list[Any]) -> Any:
        if providers == [CPU]:
            return Session(path, options, providers=providers)
        ((name, settings),) = providers
        assert name == CUDA
        session = CudaSession(self, path, options, settings)
        self.sessions.append(weakref.ref(session))
        return session

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnxruntime, "InferenceSession", self.open)
        monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
        monkeypatch.setattr(onnx_cuda, "offers_cuda", lambda: True)
        monkeypatch.setattr(onnx_cuda, "Cuda", lambda: self.device)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    with clean_card() as device:
        library = Library(device)
        library.install(monkeypatch)
        yield library


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("models") / "tiny.onnx")


def make_patterns(number: int) -> Float32:
    return np.random.default_rng(0).uniform(-1, 1, (number, 1, 120, 120)).astype(np.float32)


def refused(path: Path, *parts: str, request: EngineRequest = SMALL) -> None:
    with pytest.raises(EngineError) as error:
        OnnxCudaEngine(path, request)
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


# --- what it computes, and how


@pytest.mark.parametrize("lanes", [1, 3])
def test_it_computes_what_the_cpu_does(library: Library, encoder: Path, lanes: int) -> None:
    patterns = make_patterns(18)
    with OnnxEngine(encoder, SMALL) as on_cpu, OnnxCudaEngine(encoder, EngineRequest(lanes=lanes, batch=4)) as engine:
        np.testing.assert_allclose(run_all(engine, patterns), run_all(on_cpu, patterns), rtol=1e-5, atol=1e-6)


def test_decoders_run_too(library: Library, tmp_path: Path) -> None:
    path = write_decoder(tmp_path / "tiny.decoder.onnx")
    latents = np.random.default_rng(0).standard_normal((6, LATENT_SIZE)).astype(np.float32)
    with OnnxEngine(path, SMALL) as on_cpu, OnnxCudaEngine(path, SMALL) as engine:
        np.testing.assert_allclose(run_all(engine, latents), run_all(on_cpu, latents), rtol=1e-5, atol=1e-6)


def test_each_lane_has_a_session_on_its_own_stream(library: Library, encoder: Path) -> None:
    with OnnxCudaEngine(encoder, SMALL) as engine:
        lanes = [engine.lane(), engine.lane()]
        sessions = [session for session in (ref() for ref in library.sessions) if session]
        assert len(sessions) == 2
        assert sessions[0].settings["user_compute_stream"] != sessions[1].settings["user_compute_stream"]
        for lane, session in zip(lanes, sessions, strict=True):
            stream = lane._stream
            assert session.settings == {
                "device_id": "0",
                "user_compute_stream": str(stream),
                "enable_cuda_graph": "1",
                "cudnn_conv_algo_search": "HEURISTIC",
            }
            assert session.options.fixed == {"batch": 4}
            assert session.options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
            assert session.options.log_severity_level == 4
        del sessions, session


def test_a_session_is_only_ever_used_by_a_thread_of_its_own(library: Library, encoder: Path) -> None:
    """ONNX Runtime keeps captured graphs by thread, and another one would capture once more at every run."""
    with OnnxCudaEngine(encoder, SMALL) as engine:
        lanes = [engine.lane(), engine.lane()]
        for _ in range(3):
            in_thread(lambda: [lane.run(make_patterns(2)) for lane in lanes])()
        used = [session.threads for session in (ref() for ref in library.sessions) if session]
    assert [len(threads) for threads in used] == [1, 1]
    assert len({threading.get_ident()}.union(*used)) == 3
    assert not {thread.ident for thread in threading.enumerate()} & set().union(*used)


def test_nothing_is_captured_around_a_library_that_captures_itself(library: Library, encoder: Path) -> None:
    with OnnxCudaEngine(encoder, SMALL) as engine:
        run_all(engine, make_patterns(9))
    assert library.device.count("called", "begin_capture") == 0
    assert library.device.count("called", "launch") == 0


def test_info_says_what_was_opened(library: Library, encoder: Path) -> None:
    with open_engine(encoder, "cuda", SMALL) as engine:
        info = engine.info
    assert isinstance(engine, OnnxCudaEngine)
    assert (info.path, info.sha256, info.device, info.precision) == (encoder, hash_file(encoder), "cuda", "f32")
    assert (info.library, info.lanes, info.batch) == (f"ONNX Runtime {onnxruntime.__version__}", 2, 4)


@pytest.mark.parametrize(("cores", "lanes"), [(2, 3), (64, MOST_LANES)])
def test_left_open_it_takes_a_lane_more_than_cores(
    library: Library, encoder: Path, monkeypatch: pytest.MonkeyPatch, cores: int, lanes: int
) -> None:
    monkeypatch.setattr(onnx_cuda, "count_cores", lambda: cores)
    with OnnxCudaEngine(encoder) as engine:
        assert (engine.info.lanes, engine.info.batch) == (lanes, BATCH)


def test_a_closed_engine_keeps_no_session(library: Library, encoder: Path) -> None:
    engine = OnnxCudaEngine(encoder, SMALL)
    lane = engine.lane()
    engine.close()
    gc.collect()
    assert [session() for session in library.sessions] == [None, None]
    with pytest.raises(EngineError, match=r"^the engine is closed$"):
        lane.run(make_patterns(1))


# --- what is refused


def test_a_library_without_cuda_is_refused(library: Library, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_cuda, "offers_cuda", lambda: False)
    refused(encoder, f"has no CUDA; pip uninstall onnxruntime, then {install_command('gpu')}")


def test_without_a_card_no_session_is_opened(library: Library, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> FakeCuda:
        raise EngineError("CUDA finds no card here")

    monkeypatch.setattr(onnx_cuda, "Cuda", ask)
    refused(encoder, "CUDA finds no card here")
    assert not library.sessions


def test_falling_back_to_the_cpu_is_refused(library: Library, encoder: Path) -> None:
    library.providers = [CPU]
    refused(encoder, str(encoder), "fell back to the CPU", "microrun doctor")


def test_another_precision_is_refused(library: Library, encoder: Path) -> None:
    refused(encoder, str(encoder), "own f32; f16 was asked for", request=EngineRequest("f16"))


def test_a_model_without_a_spec_is_refused(library: Library, tmp_path: Path) -> None:
    path = save_model(tmp_path / "bare.onnx", encoder_graph(), None)
    with pytest.raises(SpecError, match=r"bare\.onnx: carries no spec"):
        OnnxCudaEngine(path, SMALL)
    other = save_model(tmp_path / "other.onnx", encoder_graph(), tiny_spec("encoder", LATENT_SIZE + 1))
    with pytest.raises(SpecError, match="Export the model again"):
        OnnxCudaEngine(other, SMALL)


def test_a_session_that_does_not_open_says_why(
    library: Library, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("some nodes were not assigned to CUDA\nand more")

    monkeypatch.setattr(CudaSession, "__init__", fail)
    refused(encoder, str(encoder), "cannot open it on cuda (some nodes were not assigned to CUDA)")


def test_a_run_that_fails_says_why_when_it_is_opened_and_later(library: Library, encoder: Path) -> None:
    def fail() -> None:
        raise RuntimeError("cuDNN is too old\nand more")

    with OnnxCudaEngine(encoder, SMALL) as engine:
        lane = engine.lane()
        library.run = fail
        with pytest.raises(EngineError, match=r"^ONNX Runtime failed \(cuDNN is too old\)$"):
            lane.run(make_patterns(2))
        refused(encoder, "ONNX Runtime failed (cuDNN is too old)")
        library.run = lambda: None
        assert np.isfinite(lane.run(make_patterns(2))).all()


def test_whichever_call_fails_while_it_is_opened_all_is_given_back(
    monkeypatch: pytest.MonkeyPatch, encoder: Path
) -> None:
    for number in count(1):
        with clean_card(fails_at=number) as device:
            Library(device).install(monkeypatch)
            error = open_and_close(encoder)
        if error is None:
            break
        assert REFUSED in error
        assert "\n" not in error
    assert number > 10


def open_and_close(path: Path) -> str | None:
    try:
        OnnxCudaEngine(path, SMALL).close()
    except EngineError as error:
        return str(error)
    return None


def test_the_fake_binding_is_called_like_the_librarys() -> None:
    for name in ("bind_input", "bind_output"):
        own, real = (
            list(inspect.signature(getattr(kind, name)).parameters) for kind in (Binding, onnxruntime.IOBinding)
        )
        assert own == real
    own, real = (
        list(inspect.signature(kind.run_with_iobinding).parameters)
        for kind in (CudaSession, onnxruntime.InferenceSession)
    )
    assert own == real


# --- graphs


def optimised(path: Path, fixed: int | None, out: Path) -> set[str]:
    """Kinds of nodes that are left of a graph for a batch."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(out)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    if fixed:
        options.add_free_dimension_override_by_name("batch", fixed)
    Session(path, options, providers=[CPU])
    return {node.op_type for node in onnx.load_model(out).graph.node}


# Computed on the host, or, before pull requests 32120 and 32121 of ONNX Runtime, from memory of the host that is gone
# when a captured graph is launched again.
ON_THE_HOST = {"Shape", "Size", "Gather", "Loop", "If", "Scan", "NonZero", "Range"}
FROM_THE_HOST = {"GatherND", "ScatterND", "Concat", "Split"}


@pytest.mark.parametrize("name", ["vae32", "vae32.decoder", "vae64", "vae64.decoder"])
def test_of_the_built_in_models_nothing_is_left_that_a_graph_cannot_hold(name: str, tmp_path: Path) -> None:
    kinds = optimised(MODELS / f"{name}.onnx", 16, tmp_path / "optimised.onnx")
    assert not kinds & (ON_THE_HOST | FROM_THE_HOST)
    assert kinds & {"Conv", "FusedConv", "ConvTranspose"}


def test_a_fixed_batch_is_what_folds_shapes_away(tmp_path: Path) -> None:
    path = save_model(tmp_path / "shapes.onnx", shapes_model(), None)
    assert optimised(path, None, tmp_path / "free.onnx") == {"Shape", "Expand", "Add"}
    assert optimised(path, 16, tmp_path / "fixed.onnx") == {"Add"}


def shapes_model() -> onnx.ModelProto:
    """Patterns plus as many twos, whose number is computed from the batch."""
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 16]) for n in ("patterns", "latents")]
    nodes = [
        helper.make_node("Shape", ["patterns"], ["shape"]),
        helper.make_node("Expand", ["two", "shape"], ["twos"]),
        helper.make_node("Add", ["patterns", "twos"], ["latents"]),
    ]
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])
    graph = helper.make_graph(nodes, "shapes", ports[:1], ports[1:], [two])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
