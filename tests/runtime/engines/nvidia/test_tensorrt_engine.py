"""TensorRT plans on a fake card: what is opened computes what the sidecar says, and what does not fit is refused."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from fake_cuda import REFUSED, FakeCuda
from fake_cuda_engine import clean_card
from fake_tensorrt import (
    CONTEXT_BYTES,
    LINEAR,
    FakeContext,
    FakePlan,
    FakeRuntime,
    FakeTensorrt,
    FakeTensorrtEngine,
    FakeTensorrtRtx,
)
from numpy.testing import assert_array_equal

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.known_answers import check_inputs, sample_outputs
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.nvidia import cuda_lane, tensorrt_plan
from microrun.runtime.engines.nvidia.cuda import Card
from microrun.runtime.engines.nvidia.plan import PlanRecord, Profile, sidecar_of, write_record
from microrun.runtime.engines.nvidia.tensorrt_engine import TensorrtEngine
from microrun.runtime.engines.nvidia.tensorrt_library import last_error, make_logger
from microrun.runtime.engines.nvidia.tensorrt_plan import MEMORY_SHARE
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import EngineError
from microrun.runtime.files.hashes import hash_file

VERSION = "11.4.0.5"
REBUILD = "microrun export NAME.onnx --to"


class Workplace(NamedTuple):
    """A plan on disk with its sidecar, and the library and card that are found here."""

    path: Path
    device: FakeCuda
    monkeypatch: pytest.MonkeyPatch

    def write(self, plan: FakePlan = FakePlan(), computes: FakePlan | None = None, **changes: Any) -> None:  # noqa: B008
        """Write a plan that is said to compute what another one does, by default what it does itself."""
        self.path.write_bytes(plan.to_bytes())
        values: dict[str, Any] = {
            "spec": LINEAR,
            "plan_sha256": hash_file(self.path),
            "onnx_sha256": "0" * 64,
            "library": "tensorrt",
            "version": VERSION,
            "compute_capabilities": ("8.6",),
            "profile": Profile(1, 4, 4),
            "version_compatible": False,
            "build_s": 1.0,
            "check_outputs": tuple(sample_outputs((computes or plan).compute(check_inputs(LINEAR))).tolist()),
        }
        write_record(self.path, PlanRecord(**values | changes))

    def install(self, trt: FakeTensorrt) -> None:
        self.monkeypatch.setattr(tensorrt_plan, "import_library", lambda library: trt)
        self.monkeypatch.setattr(tensorrt_plan, "Cuda", trt.ask)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    with clean_card() as device:
        place = Workplace(tmp_path / "linear.plan", device, monkeypatch)
        place.install(FakeTensorrt(device))
        place.write()
        yield place


def make_patterns(number: int) -> Float32:
    return np.random.default_rng(0).uniform(-1, 1, (number, *LINEAR.input_shape)).astype(np.float32)


def refused(place: Workplace, *parts: str, request: EngineRequest = EngineRequest()) -> None:
    """It is refused in one line that names the file, and the card is as it was before, while the error lives."""
    with pytest.raises(EngineError) as error:
        TensorrtEngine(place.path, request)
    text = str(error.value)
    assert "\n" not in text
    for part in (place.path.name, *parts):
        assert part in text
    assert [place.device.holds(kind) for kind in ("stream", "event", "graph")] == [0] * 3


# --- what fits


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_a_plan_computes_what_its_model_does(place: Workplace, batch: int) -> None:
    patterns = make_patterns(30)
    with TensorrtEngine(place.path, EngineRequest(lanes=3, batch=batch)) as engine:
        assert_array_equal(run_all(engine, patterns), FakePlan().compute(patterns))
        assert engine.check_error < 1e-5
    assert (engine.info.lanes, engine.info.batch) == (3, batch)


def test_info_says_what_was_opened(place: Workplace) -> None:
    with open_engine(place.path, "cuda") as engine:
        info = engine.info
    assert (info.path, info.sha256, info.library) == (place.path, hash_file(place.path), f"TensorRT {VERSION}")
    assert (info.device, info.precision, info.batch) == ("cuda", "f16", 4)
    assert engine.spec == LINEAR


def test_there_are_as_many_lanes_as_fit(place: Workplace) -> None:
    place.monkeypatch.setattr(cuda_lane, "count_cores", lambda: 16)
    for fit in (5, 3):
        free_bytes = int((fit + 0.5) * CONTEXT_BYTES / MEMORY_SHARE)
        place.device.card = Card(0, "NVIDIA Fake", (8, 6), 1 << 30, free_bytes)
        with TensorrtEngine(place.path) as engine:
            assert engine.info.lanes == fit


def test_lanes_launch_graphs(place: Workplace) -> None:
    with TensorrtEngine(place.path) as engine:
        before = place.device.count("called", "compute")
        lane = engine.lane()
        for _ in range(3):
            lane.run(make_patterns(4))
    assert place.device.count("called", "compute") - before == 2  # the warm-up, and the capture


def test_rtx_compiles_for_the_batch_before_it_is_captured(place: Workplace) -> None:
    place.install(FakeTensorrtRtx(place.device, "1.7.1.116"))
    place.write(library="tensorrt_rtx", version="1.7.1.116", compute_capabilities=("8.0", "8.6", "8.9", "12.0+"))
    patterns = make_patterns(7)
    with TensorrtEngine(place.path) as engine:
        assert engine.info.library == "TensorRT-RTX 1.7.1.116"
        assert_array_equal(run_all(engine, patterns), FakePlan().compute(patterns))
        assert (
            len(engine._plan._engine.caches) == 1 and None not in engine._plan._engine.caches
        )  # lanes share what was compiled


def test_a_closed_engine_keeps_nothing_and_makes_nothing(place: Workplace) -> None:
    engine = TensorrtEngine(place.path)
    lane, plan = engine.lane(), weakref.ref(engine._plan._engine)
    engine.close()
    engine.close()
    gc.collect()
    assert plan() is None
    assert place.device.holds("memory") == 0
    for work in (lambda: lane.run(make_patterns(1)), engine.lane):
        with pytest.raises(EngineError, match=r"^the engine is closed$"):
            work()


@pytest.mark.parametrize(("built", "here"), [("11.4.0.5", "11.4.0.5"), ("11.2.0.1", "11.4.0.5"), ("11.9.0", "11.10.0")])
def test_a_version_compatible_plan_runs_with_newer_versions(place: Workplace, built: str, here: str) -> None:
    place.install(FakeTensorrt(place.device, here))
    place.write(FakePlan(host_code=True), version=built, version_compatible=True)
    with TensorrtEngine(place.path) as engine:
        assert engine.check_error < 1e-5


@pytest.mark.parametrize("capabilities", [("8.6",), ("7.5", "8.6"), ("8.0+",), ("8.6+",)])
def test_a_plan_for_this_card_among_others_runs(place: Workplace, capabilities: tuple[str, ...]) -> None:
    place.write(compute_capabilities=capabilities)
    TensorrtEngine(place.path).close()


# --- what does not


def test_without_a_driver_the_library_is_not_touched(place: Workplace) -> None:
    def ask() -> FakeCuda:
        raise EngineError("CUDA finds no card here")

    place.monkeypatch.setattr(tensorrt_plan, "Cuda", ask)
    with pytest.raises(EngineError, match=r"^CUDA finds no card here$"):
        TensorrtEngine(place.path)


def edited(**changes: Any) -> Any:
    def edit(path: Path) -> None:
        sidecar = sidecar_of(path)
        sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | changes))

    return edit


DAMAGES: dict[str, tuple[Any, str]] = {
    "no sidecar": (lambda path: sidecar_of(path).unlink(), "linear.plan.json is missing beside it"),
    "another plan": (lambda path: path.write_bytes(FakePlan(seed=1).to_bytes()), "is not the file that"),
    "half a plan": (lambda path: path.write_bytes(path.read_bytes()[:-5]), "is not the file that"),
    "half a sidecar": (lambda path: sidecar_of(path).write_text('{"plan_version": 1, '), "is damaged"),
    "an empty sidecar": (lambda path: sidecar_of(path).write_text(""), "is damaged"),
    "another hash": (edited(plan_sha256="f" * 64), "is not the file that"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_plan_that_is_not_what_its_sidecar_says_is_never_loaded(place: Workplace, damage: Any, said: str) -> None:
    def import_library(library: str) -> Any:
        raise AssertionError("the plan is code that must not run")

    place.monkeypatch.setattr(tensorrt_plan, "import_library", import_library)
    damage(place.path)
    refused(place, said, "again")


@pytest.mark.parametrize(
    "changes",
    [{"check_outputs": "1 2 3"}, {"check_outputs": ""}, {"compute_capabilities": ["ampere"]}, {"profile": [1, 4, 4]}],
)
def test_a_sidecar_that_was_edited_is_refused_in_one_line(place: Workplace, changes: dict[str, Any]) -> None:
    edited(**changes)(place.path)
    refused(place)


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        (EngineRequest("f32"), ("was built in f16; f32 was asked for",)),
        (EngineRequest("int8"), ("was built in f16; int8 was asked for",)),
        (EngineRequest(batch=5), ("was built for batches of 1 to 4; got 5", "export again with --batch 5")),
    ],
)
def test_what_a_plan_was_not_built_for_is_refused(
    place: Workplace, request_: EngineRequest, parts: tuple[str, ...]
) -> None:
    refused(place, *parts, request=request_)


@pytest.mark.parametrize(
    ("built", "here", "compatible"),
    [
        ("11.3.0.1", "11.4.0.5", False),
        ("11.4.0.5", "11.4.1.2", False),
        ("11.4.1.2", "11.4.0.5", True),
        ("11.10.0.1", "11.9.0.1", True),
        ("10.9.0.1", "11.4.0.5", True),
    ],
)
def test_another_version_is_refused(place: Workplace, built: str, here: str, compatible: bool) -> None:
    place.install(FakeTensorrt(place.device, here))
    place.write(FakePlan(host_code=compatible), version=built, version_compatible=compatible)
    refused(place, f"was built by TensorRT {built}", f"here is {here}", f"{REBUILD} tensorrt")


def test_another_card_is_refused(place: Workplace) -> None:
    place.device.card = Card(0, "NVIDIA H200", (9, 0), 1 << 30, 1 << 30)
    place.write(compute_capabilities=("8.6", "8.9"))
    refused(place, "was built for compute capability 8.6, 8.9; this card, NVIDIA H200, has 9.0", REBUILD)


def test_a_plan_that_the_library_cannot_load_is_refused(place: Workplace) -> None:
    place.path.write_bytes(b"ftrt")
    edited(plan_sha256=hash_file(place.path))(place.path)
    refused(place, "TensorRT cannot load it (the magic tag does not match)", REBUILD)


def test_host_code_is_allowed_to_plans_that_say_they_have_it_only(place: Workplace) -> None:
    place.write(FakePlan(host_code=True), version_compatible=False)
    refused(place, "cannot load it (host code is not allowed)")


@pytest.mark.parametrize("computes", [FakePlan(seed=1), FakePlan(seed=2)])
def test_a_plan_that_computes_something_else_is_refused(place: Workplace, computes: FakePlan) -> None:
    place.write(computes=computes)
    refused(place, "computes something else on this card", "relative error", "3e-02 is allowed in f16", REBUILD)
    assert place.device.count("called", "launch") >= 1


def test_a_plan_that_gives_no_numbers_is_refused(place: Workplace) -> None:
    place.monkeypatch.setattr(FakePlan, "compute", lambda plan, inputs: np.full((len(inputs), 5), np.nan, np.float32))
    refused(place, "computes something else on this card", "relative error nan")


def test_a_plan_of_smaller_batches_than_its_sidecar_says_is_refused(place: Workplace) -> None:
    place.write(FakePlan(batch=3))
    refused(place, "TensorRT refuses a batch of 4")


def test_the_first_context_too_many_says_so(place: Workplace) -> None:
    place.write(FakePlan(contexts=2))
    with TensorrtEngine(place.path) as engine:
        lane = engine.lane()
        with pytest.raises(EngineError, match=r"linear.plan: TensorRT makes no more contexts \(out of memory\)$"):
            engine.lane()
        assert_array_equal(lane.run(make_patterns(2)), FakePlan().compute(make_patterns(2)))


@pytest.mark.parametrize("runs", [0, 1])
def test_a_run_that_fails_says_what_the_library_said(place: Workplace, runs: int) -> None:
    place.write(FakePlan(runs=runs))
    with pytest.raises(EngineError, match=r"^TensorRT failed \(a kernel failed\)$"):
        TensorrtEngine(place.path)


def test_whichever_call_fails_while_it_is_opened_all_is_given_back(place: Workplace) -> None:
    for number in count(1):
        with clean_card(fails_at=number) as device:
            place.install(FakeTensorrt(device))
            error = open_and_close(place.path, device)
        if error is None:
            break
        assert REFUSED in error
        assert "\n" not in error
    assert number > 20


def open_and_close(path: Path, device: FakeCuda) -> str | None:
    try:
        TensorrtEngine(path).close()
    except EngineError as error:
        assert device.holds("stream") == 0, "held as long as the error is"
        return str(error)
    return None


# --- the fake is like the library


def test_the_fake_has_nothing_that_the_library_lacks() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    pairs = (
        (FakeTensorrtRtx, trt),
        (FakeRuntime, trt.Runtime),
        (FakeTensorrtEngine, trt.ICudaEngine),
        (FakeContext, trt.IExecutionContext),
        (FakeTensorrtRtx.ILogger.Severity, trt.ILogger.Severity),
        (FakeTensorrtRtx.DynamicShapesKernelSpecializationStrategy, trt.DynamicShapesKernelSpecializationStrategy),
    )
    for fake, real in pairs:
        names = {name for name in vars(fake) if not name.startswith("_")} - {"ask"}
        assert names, fake
        assert names <= set(dir(real)), fake
    assert hasattr(trt, "Runtime")
    assert hasattr(trt.IRuntimeConfig, "dynamic_shapes_kernel_specialization_strategy")


def test_the_library_tells_our_logger_what_went_wrong() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    logger = make_logger(trt)
    assert last_error(logger) == "it did not say why"
    for severity, message in (("ERROR", "first\nsecond"), ("WARNING", "a warning"), ("VERBOSE", "much")):
        logger.log(getattr(trt.ILogger.Severity, severity), message)
    assert last_error(logger) == "first"
