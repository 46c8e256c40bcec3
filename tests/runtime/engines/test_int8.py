"""Quantised models on the CPU: what computes in int8, what may be asked for, and that batches do not matter."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from make_models import write_encoder
from numpy.typing import NDArray

from microrun.export.graph import save_model
from microrun.export.quantize_model import quantise_model
from microrun.export.recorded import MATERIALS, recorded_patterns
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.engines.cpu import open_reference
from microrun.runtime.engines.engine import Engine, EngineRequest
from microrun.runtime.engines.onnx_cpu import OnnxEngine
from microrun.runtime.engines.open import open_engine, read_model_spec
from microrun.runtime.engines.openvino_cpu import OpenvinoEngine
from microrun.runtime.errors import EngineError
from microrun.runtime.progress import finish
from microrun.runtime.spec import Preprocessing

BUILT_IN = MODELS / "vae32.onnx"


@pytest.fixture(scope="module")
def patterns() -> NDArray[np.float32]:
    """Ten real ones and three mirrored ones, (13, 1, 120, 120)."""
    real = np.concatenate([recorded_patterns(material, Preprocessing()) for material in MATERIALS])
    return np.ascontiguousarray(np.concatenate([real, real[:3, :, ::-1]])[:, None])


@pytest.fixture(scope="module")
def int8(patterns: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model, calibrated on these patterns."""
    path = tmp_path_factory.mktemp("int8") / "vae32.int8.onnx"
    spec = replace(read_model_spec(BUILT_IN), precision="int8")
    save_model(finish(quantise_model(onnx.load(BUILT_IN), patterns)), spec, path)
    return path


def run_all(engine: Engine, patterns: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    lane = engine.lane()
    return np.concatenate([lane.run(patterns[n : n + step]).copy() for n in range(0, len(patterns), step)])


def error_of(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


# --- what computes


@pytest.mark.parametrize("asked", ["auto", "int8", "f32"])
def test_convolutions_compute_in_int8_and_the_rest_in_f32(int8: Path, asked: Any) -> None:
    with OpenvinoEngine(int8, EngineRequest(asked, 1, 2)) as engine:
        layers = [operation.get_rt_info() for operation in engine._compiled.get_runtime_model().get_ops()]
        names = [(info["layerType"].astype(str), info["runtimePrecision"].astype(str)) for info in layers]
        convolutions = [precision for layer, precision in names if layer == "Convolution"]
        assert len(convolutions) == 7 and set(convolutions) <= {"i8", "u8"}
        assert "bf16" not in {precision for _, precision in names}
        assert ("FullyConnected", "f32") in names
        assert engine.info.precision == "int8"


def test_engines_agree_and_stay_near_the_model(int8: Path, patterns: NDArray[np.float32]) -> None:
    with open_reference(BUILT_IN) as engine:
        expected = run_all(engine, patterns, 1)
    with open_reference(int8) as engine:
        exact = run_all(engine, patterns, 1)
    with OnnxEngine(int8, EngineRequest("int8", 1, 13)) as engine:
        assert engine.info.precision == "int8"
        by_onnx_runtime = run_all(engine, patterns, 13)
    with open_engine(int8, "cpu", EngineRequest("int8")) as engine:
        as_users_open_it = run_all(engine, patterns, 13)
    for found in (by_onnx_runtime, as_users_open_it):
        # A value on the edge between two steps may fall to either, and sums saturate on processors without VNNI.
        assert error_of(found, exact) < 0.03
        assert 0.001 < error_of(found, expected) < 0.05


# --- batches and lanes


@pytest.mark.parametrize("batch", [1, 4, 13])
def test_a_shorter_batch_gives_the_same_bits(int8: Path, patterns: NDArray[np.float32], batch: int) -> None:
    with OpenvinoEngine(int8, EngineRequest("auto", 1, batch)) as engine:
        whole = run_all(engine, patterns, batch)
        for step in range(1, batch):
            np.testing.assert_array_equal(run_all(engine, patterns, step), whole)


def test_the_place_in_the_batch_does_not_matter(int8: Path, patterns: NDArray[np.float32]) -> None:
    with OpenvinoEngine(int8, EngineRequest("auto", 1, 13)) as engine:
        whole = run_all(engine, patterns, 13)
        for shift in range(1, 13):
            moved = run_all(engine, np.roll(patterns, shift, axis=0), 13)
            np.testing.assert_array_equal(np.roll(moved, -shift, axis=0), whole)


def test_batch_sizes_agree(int8: Path, patterns: NDArray[np.float32]) -> None:
    results = []
    for batch in (1, 4, 13, 16):
        with OpenvinoEngine(int8, EngineRequest("auto", 1, batch)) as engine:
            results.append(run_all(engine, patterns, batch))
    for other in results[1:]:
        assert error_of(other, results[0]) < 0.01


def test_lanes_that_run_at_once_give_the_same_bits(int8: Path, patterns: NDArray[np.float32]) -> None:
    with OpenvinoEngine(int8, EngineRequest(lanes=3, batch=4)) as engine:
        expected = run_all(engine, patterns, 4)
        found: dict[int, list[NDArray[np.float32]]] = {}

        def run(number: int) -> None:
            found[number] = [run_all(engine, patterns, 4) for _ in range(5)]

        threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(3):
        for latents in found[number]:
            np.testing.assert_array_equal(latents, expected)


# --- what is refused


@pytest.mark.parametrize("asked", ["bf16", "f16"])
def test_other_precisions_are_not_pretended(int8: Path, asked: Any) -> None:
    for opener in (OpenvinoEngine, OnnxEngine):
        with pytest.raises(EngineError, match=f"int8; {asked} was asked for") as error:
            opener(int8, EngineRequest(asked))
        assert str(int8) in str(error.value) and "\n" not in str(error.value)


def test_int8_of_a_model_that_is_not_quantised(tmp_path: Path) -> None:
    for path in (write_encoder(tmp_path / "tiny.onnx"), BUILT_IN):
        with pytest.raises(EngineError, match="export it with --precision int8 --calibrate SCAN") as error:
            open_engine(path, "cpu", EngineRequest("int8"))
        assert str(path) in str(error.value) and "\n" not in str(error.value)
