"""Every engine for cards that can run here, against PyTorch in float32 on the CPU. Run by tests/gpu/run.sh."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch_engine import TorchEngine

from microrun.export.recorded import MATERIALS, recorded_patterns
from microrun.export.vae_to_onnx import MeanEncoder, export_checkpoint
from microrun.runtime.encoding.encode_scan import EncodeRequest, encode_scan
from microrun.runtime.engines.cpu import open_reference
from microrun.runtime.engines.engine import Engine, EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.libraries import offers_cuda
from microrun.runtime.engines.nvidia.build_plan import BuildRequest, build_plan
from microrun.runtime.engines.nvidia.cuda import Cuda, find_cards
from microrun.runtime.engines.nvidia.tensorrt_library import choose_library
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import EngineError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import UpWriter
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.training.vae.checkpoint import save_checkpoint
from microrun.training.vae.network import VAE

pytestmark = pytest.mark.gpu
TOLERANCES = {"f32": 5e-3, "f16": 1e-2}  # relative L2; f32 may be TF32 on a card
LATENT_SIZE = 32


@pytest.fixture(scope="module", autouse=True)
def card() -> Any:
    try:
        return find_cards()[0]
    except EngineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def model() -> VAE:
    torch.manual_seed(0)
    return VAE(LATENT_SIZE).eval()


@pytest.fixture(scope="module")
def patterns() -> NDArray[np.float32]:
    """Real patterns, and noise: more than one batch, and no whole number of them."""
    real = np.concatenate([recorded_patterns(material, Preprocessing()) for material in MATERIALS])
    noise = np.random.default_rng(0).uniform(-1, 1, (91, 120, 120)).astype(np.float32)
    return np.concatenate([real, noise])[:, None]


@pytest.fixture(scope="module")
def expected(model: VAE, patterns: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        found: NDArray[np.float32] = mean_encoder(model)(torch.from_numpy(patterns)).numpy()
    return found


def mean_encoder(model: VAE) -> MeanEncoder:
    """The encoder of a copy, which it changes."""
    return MeanEncoder(copy.deepcopy(model).encoder)


@pytest.fixture(scope="module")
def exported(model: VAE, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    checkpoint = folder / "model.safetensors"
    save_checkpoint(checkpoint, model.state_dict(), ModelSpec("model", "encoder", LATENT_SIZE))
    return {
        precision: export_checkpoint(checkpoint, folder / f"{precision}.onnx", precision)[0].path
        for precision in ("f32", "f16")
    }


ENGINES = [
    (library, precision)
    for library in ("torch", "onnxruntime", "tensorrt", "tensorrt_rtx")
    for precision in ("f32", "f16")
]
Opener = Callable[[int, int], Engine]  # of a batch and lanes


@pytest.fixture(params=ENGINES, ids=["-".join(pair) for pair in ENGINES])
def opener(request: pytest.FixtureRequest, model: VAE, exported: dict[str, Path], tmp_path: Path) -> Opener:
    library, precision = request.param
    if library == "torch":
        spec = ModelSpec("model", "encoder", LATENT_SIZE)
        return lambda batch, lanes: TorchEngine(mean_encoder(model), spec, precision, batch, lanes)
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    path = exported[precision]
    if library == "onnxruntime":
        if not offers_cuda():
            pytest.skip("the installed ONNX Runtime has no CUDA")
    else:
        if choose_library(find_cards()[0]) != library:
            pytest.skip(f"{library} does not run on this card")
        record = build_plan(path, tmp_path / "model.plan", BuildRequest(library, batch=32))
        assert record.spec.precision == precision
        assert record.parity_error is not None and record.parity_error < TOLERANCES[precision]
        path = tmp_path / "model.plan"
    return lambda batch, lanes: open_engine(path, "cuda", EngineRequest(batch=batch, lanes=lanes))


def test_parity(opener: Opener, patterns: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    with opener(32, 3) as engine:
        error = np.linalg.norm(run_all(engine, patterns) - expected) / np.linalg.norm(expected)
        print(f"{engine.info}: relative error {error:.1e}")
        assert error < TOLERANCES[engine.info.precision]


def test_results_never_depend_on_lanes_or_padding(opener: Opener, patterns: NDArray[np.float32]) -> None:
    with opener(32, 1) as engine:
        one = run_all(engine, patterns)
        lane = engine.lane()
        padded = np.concatenate([lane.run(patterns[n : n + 7]).copy() for n in range(0, len(patterns), 7)])
    with opener(32, 4) as engine:
        many = [run_all(engine, patterns) for _ in range(3)]
    for other in (padded, *many):
        np.testing.assert_array_equal(other, one)


def test_a_scan_becomes_the_same_latents_as_on_the_cpu(
    opener: Opener, exported: dict[str, Path], tmp_path: Path
) -> None:
    scan, rng = tmp_path / "scan.up2", np.random.default_rng(1)
    with UpWriter(scan, Scan((10, 21), (240, 240), "uint16", step_um=(1.0, 1.0))) as writer:
        writer.write(rng.integers(0, 60_000, (210, 240, 240)).astype(np.uint16))
    latents = []
    with opener(32, 3) as engine, open_reference(exported["f32"]) as reference:
        for name, opened in (("card", engine), ("cpu", reference)):
            out = tmp_path / f"{name}.h5"
            with encode_scan(EncodeRequest(scan, out), opened) as run:
                for _ in run:
                    pass
            with open_latents(out) as file:
                latents.append(file.latents)
        tolerance = TOLERANCES[engine.info.precision]
    assert np.linalg.norm(latents[0] - latents[1]) < tolerance * np.linalg.norm(latents[1])


def test_memory_comes_back() -> None:
    device = Cuda()
    before = find_cards()[0].free_bytes
    address = device.allocate(512 << 20)
    assert find_cards()[0].free_bytes < before - (400 << 20)
    device.free(address)
    assert abs(find_cards()[0].free_bytes - before) < 64 << 20


def test_copies_go_round() -> None:
    device = Cuda()
    stream, event = device.make_stream(), device.make_event()
    there, back = (device.allocate_pinned((1000, 1000), np.float32) for _ in range(2))
    there[:] = np.random.default_rng(0).standard_normal(there.shape)
    address = device.allocate(there.nbytes)
    device.begin_capture(stream)
    device.copy_in(address, there, stream)
    device.copy_out(back, address, stream)
    graph = device.end_capture(stream)
    assert not back.any()
    device.launch(graph, stream)
    device.record(event, stream)
    device.wait(event)
    np.testing.assert_array_equal(back, there)
    device.destroy_graph(graph)
    device.free(address)
    device.destroy_event(event)
    device.destroy_stream(stream)


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(EngineError, match="too little free memory"):
        Cuda().allocate(1 << 50)
