"""Plans of denoisers on a fake card: every slot is a sample of its own, and what does not fit is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from fake_cuda import NO_MEMORY, FakeCuda
from fake_cuda_engine import clean_card
from fake_step_plans import FakeStepTensorrt, step
from fake_tensorrt import LINEAR, FakePlan
from make_denoisers import SECTIONS
from numpy.testing import assert_array_equal

from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.known_answers import check_steps, sample_outputs
from microrun.runtime.engines.nvidia import tensorrt_plan
from microrun.runtime.engines.nvidia.plan import PlanRecord, Profile, write_record
from microrun.runtime.engines.nvidia.tensorrt_denoiser import TensorrtDenoiser
from microrun.runtime.engines.nvidia.tensorrt_engine import TensorrtEngine
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.progress import finish
from microrun.runtime.schedule import Schedule
from microrun.runtime.sections.sample import SampleRequest, sample_sections
from microrun.runtime.spec import Diffusion, ModelSpec

BLOCKS = Diffusion((2, 4, 4, 4), Schedule(24), 4)
DIFFUSIONS = {"volumes": BLOCKS, "sections": SECTIONS}
SEED = 3


class Place(NamedTuple):
    """A plan on disk, and the card that is found."""

    path: Path
    device: FakeCuda
    diffusion: Diffusion

    def write(self, plan: FakePlan = FakePlan(SEED), computes: int = SEED, **changes: Any) -> None:  # noqa: B008
        """Write a plan that is said to compute what that of a seed does."""
        self.path.write_bytes(plan.to_bytes())
        expected = step(self.diffusion, computes, check_steps(self.diffusion))
        values: dict[str, Any] = {
            "spec": ModelSpec("tiny", "denoiser", precision="f16", diffusion=self.diffusion),
            "plan_sha256": hash_file(self.path),
            "onnx_sha256": "0" * 64,
            "library": "tensorrt",
            "version": "11.4.0.5",
            "compute_capabilities": ("8.6",),
            "profile": Profile(1, 4, 4),
            "version_compatible": False,
            "build_s": 1.0,
            "check_outputs": tuple(sample_outputs(expected).tolist()),
        }
        write_record(self.path, PlanRecord(**values | changes))


@pytest.fixture(params=list(DIFFUSIONS))
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with clean_card() as device:
        diffusion = DIFFUSIONS[request.param]
        trt = FakeStepTensorrt(device, diffusion)
        monkeypatch.setattr(tensorrt_plan, "import_library", lambda library: trt)
        monkeypatch.setattr(tensorrt_plan, "Cuda", trt.ask)
        place = Place(tmp_path / "tiny.plan", device, diffusion)
        place.write()
        yield place


def some_samples(diffusion: Diffusion, count: int) -> dict[str, Any]:
    """What samples of a step are given, by names of ports."""
    rng = np.random.default_rng(0)
    x, known, noise = rng.standard_normal((3, count, *diffusion.sample_shape), np.float32)
    given = {
        "x": x,
        "known": known,
        "mask": (rng.random(x.shape) < 0.3).astype(np.float32),
        "noise": noise,
        "timestep": rng.integers(0, 24, count).astype(np.int32),
        "coefficients": rng.standard_normal((count, 5), np.float32),
    }
    if diffusion.conditions:
        given["condition"] = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    return given


def load(lane: Any, slot: int, given: dict[str, Any], row: int) -> None:
    condition = given["condition"][row] if "condition" in given else None
    lane.load(slot, given["x"][row], given["known"][row], given["mask"][row] > 0, condition)


def test_slots_are_samples_of_their_own_from_step_to_step(place: Place) -> None:
    given = some_samples(place.diffusion, 4)
    with TensorrtDenoiser(place.path) as denoiser:
        lane = denoiser.lane()
        for slot in (0, 1, 3):
            load(lane, slot, given, slot)
        rest = given["timestep"].copy(), given["coefficients"].copy(), given["noise"].copy()
        rest[0][2], rest[1][2], rest[2][2] = 1_000_000, np.nan, np.nan  # of an idle slot, anything
        expected = given
        for number in range(3):
            if number == 2:  # another sample in the place of one, when x lies in the other of two places
                load(lane, 1, given, 2)
                expected = {**expected, **{name: expected[name].copy() for name in expected}}
                for name in ("x", "known", "mask", *(["condition"] if "condition" in given else [])):
                    expected[name][1] = given[name][2]
            lane.step(*rest)
            expected = {**expected, "x": step(place.diffusion, SEED, expected)}
            for slot in (0, 1, 3):
                assert_array_equal(lane.read(slot), expected["x"][slot])
        lane.free(1)
        with pytest.raises(EngineError, match="slot 1 is idle"):
            lane.read(1)
        assert denoiser.check_error < 1e-5 and str(denoiser.info).endswith("2 workers with 4 samples at a time")


def test_idle_slots_alone_cost_no_run(place: Place) -> None:
    given = some_samples(place.diffusion, 4)
    with open_denoiser(place.path, "cuda") as denoiser:
        lane, before = denoiser.lane(), place.device.count("called", "compute")
        lane.step(given["timestep"], given["coefficients"], given["noise"])
        assert place.device.count("called", "compute") == before


def test_batches_within_the_profile_give_the_same(place: Place) -> None:
    given, found = some_samples(place.diffusion, 1), []
    for batch in (1, 3):
        with TensorrtDenoiser(place.path, EngineRequest(lanes=1, batch=batch)) as denoiser:
            lane = denoiser.lane()
            load(lane, 0, given, 0)
            rows = (np.repeat(given[name], batch, axis=0) for name in ("timestep", "coefficients", "noise"))
            lane.step(*rows)
            found.append(lane.read(0))
    assert_array_equal(found[0], found[1])
    with pytest.raises(EngineError, match="was built for batches of 1 to 4; got 5"):
        TensorrtDenoiser(place.path, EngineRequest(batch=5))


@pytest.mark.parametrize("place", ["sections"], indirect=True)
def test_sections_are_drawn_by_a_plan(place: Place) -> None:
    request = SampleRequest(((150.0, 0.9), (120.0, 0.5)), 5, sampling=Sampling(6, eta=0.0))
    drawn = []
    for batch in (1, 4):
        with TensorrtDenoiser(place.path, EngineRequest(batch=batch)) as denoiser:
            drawn.append(finish(sample_sections(denoiser, request)).orientation)
    assert_array_equal(drawn[0], drawn[1])


def test_everything_is_given_back_while_a_lane_runs(place: Place) -> None:
    given = some_samples(place.diffusion, 4)
    denoiser = TensorrtDenoiser(place.path)
    lane, closed = denoiser.lane(), threading.Event()
    load(lane, 0, given, 0)

    def work() -> None:
        with pytest.raises(EngineError, match="the engine is closed"):
            while True:
                lane.step(given["timestep"], given["coefficients"], given["noise"])
        closed.set()

    thread = threading.Thread(target=work)
    thread.start()
    place.device.wait_until("called", "compute", 5)
    denoiser.close()
    thread.join(20)
    assert closed.is_set()
    with pytest.raises(EngineError, match="the engine is closed"):
        denoiser.lane()
    assert [place.device.holds(kind) for kind in ("stream", "event", "memory")] == [0] * 3


# --- what does not fit


def test_a_plan_that_computes_something_else_is_refused(place: Place) -> None:
    place.write(computes=SEED + 1)
    with pytest.raises(EngineError, match=r"tiny\.plan: computes something else on this card.*build it again") as error:
        TensorrtDenoiser(place.path)
    assert "\n" not in str(error.value)


def test_a_plan_of_another_kind_is_refused(place: Place) -> None:
    with pytest.raises(SpecError, match="is a denoiser; this needs an encoder or a decoder"):
        TensorrtEngine(place.path)
    place.write(spec=LINEAR)
    with pytest.raises(SpecError, match="is an encoder; generation needs a denoiser"):
        TensorrtDenoiser(place.path)


def test_a_condition_must_be_given_where_there_is_one(place: Place) -> None:
    given = some_samples(place.diffusion, 1)
    wrong = None if "condition" in given else np.zeros(2, np.float32)
    with TensorrtDenoiser(place.path) as denoiser:
        lane = denoiser.lane()
        with pytest.raises(EngineError, match="condition of a sample must be"):
            lane.load(0, given["x"][0], given["known"][0], given["mask"][0] > 0, wrong)


@pytest.mark.parametrize("changes", [{"contexts": 1}, {"runs": 2}])
def test_a_library_that_fails_gives_everything_back(place: Place, changes: dict[str, int]) -> None:
    place.write(FakePlan(SEED, **changes))
    given = some_samples(place.diffusion, 4)
    with TensorrtDenoiser(place.path) as denoiser, pytest.raises(EngineError, match=r"TensorRT (failed|makes no more)"):
        lane = denoiser.lane()
        load(lane, 0, given, 0)
        for _ in range(3):  # one more than the check took
            lane.step(given["timestep"], given["coefficients"], given["noise"])


def test_too_small_a_card(place: Place) -> None:
    used = sum(4 * np.prod(shape) for shape in [place.diffusion.sample_shape] * 4)
    place.device.card = type(place.device.card)(0, "NVIDIA Fake", (8, 6), int(used), int(used))
    with pytest.raises(EngineError, match=NO_MEMORY[:30]):
        TensorrtDenoiser(place.path)


@pytest.mark.parametrize("call", range(1, 60, 3))
def test_whatever_call_fails_nothing_is_kept(place: Place, call: int) -> None:
    place.device.fails_at = call
    try:
        with TensorrtDenoiser(place.path) as denoiser:
            denoiser.lane()
    except EngineError as error:
        assert "\n" not in str(error)
