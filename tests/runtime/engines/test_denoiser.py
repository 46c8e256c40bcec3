"""Lanes of denoisers against the samplers in NumPy, and against each other to the last bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from make_denoisers import SCHEDULE, SECTIONS, TINY_SECTIONS, a_unet, write_denoiser, write_section_denoiser
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from samplers import Known, sample_repaint

from microrun.kernels.noise import normal_noise
from microrun.runtime.engines.denoiser import Denoiser, StepLane
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.libraries import offers_cuda
from microrun.runtime.engines.nvidia.onnx_cuda import BoundLane
from microrun.runtime.engines.onnx_cpu import OnnxDenoiser, read_spec
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.engines.openvino_cpu import OpenvinoDenoiser
from microrun.runtime.engines.slots import SlotLane
from microrun.runtime.errors import EngineError
from microrun.runtime.generation.sampling import Sampling, Steps, tabulate_steps
from microrun.runtime.spec import Diffusion
from microrun.training.diffusion.bits import BitOdds

Float32 = NDArray[np.float32]
SHAPE = (1, 8, 8, 8)
SAMPLING = Sampling(12, n_resample=2, plain_steps=8)
IDLE_TIMESTEP = 1_000_000


class Job(NamedTuple):
    """One sample to draw."""

    number: int
    known: Float32
    mask: NDArray[np.bool_]

    @property
    def steps(self) -> Steps:
        return tabulate_steps(SCHEDULE, SAMPLING, bool(self.mask.any()))

    def noise(self, evaluation: int) -> Float32:
        out = np.empty((1, *SHAPE), np.float32)
        normal_noise(3, np.array([self.number]), evaluation, out)
        return out[0]


def make_jobs(count: int) -> list[Job]:
    """Every third without known voxels, and so with fewer steps."""
    rng = np.random.default_rng(0)
    masks = (rng.random((count, *SHAPE)) < 0.5) & (np.arange(count) % 3 != 1).reshape(-1, 1, 1, 1, 1)
    return [Job(n, rng.uniform(-1, 1, SHAPE).astype(np.float32), mask) for n, mask in enumerate(masks)]


def run_jobs(lane: StepLane, jobs: Sequence[Job]) -> dict[int, Float32]:
    """Draw all samples: a slot whose sample is finished takes the next; rows of idle slots are nonsense."""
    waiting, busy, found = list(jobs), dict[int, tuple[Job, int]](), dict[int, Float32]()
    while waiting or busy:
        for slot in [slot for slot in range(lane.batch) if slot not in busy][: len(waiting)]:
            job = waiting.pop(0)
            lane.load(slot, job.noise(0), job.known, job.mask)
            busy[slot] = job, 0
        timesteps = np.full(lane.batch, IDLE_TIMESTEP, np.int32)
        coefficients = np.full((lane.batch, 5), np.nan, np.float32)
        noise = np.full((lane.batch, *SHAPE), np.nan, np.float32)
        for slot, (job, done) in busy.items():
            timesteps[slot], coefficients[slot] = job.steps.timesteps[done], job.steps.coefficients[done]
            noise[slot] = job.noise(done + 1)
            busy[slot] = job, done + 1
        lane.step(timesteps, coefficients, noise)
        for slot, (job, _) in [(slot, one) for slot, one in busy.items() if one[1] == len(one[0].steps.timesteps)]:
            found[job.number] = lane.read(slot)
            lane.free(slot)
            del busy[slot]
    return found


def draw_by_numpy(path: Path, job: Job) -> Float32:
    """The sampler in NumPy; its network is the graph, told to give nothing but the network's output."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def denoise(x: Any, t: int) -> Any:
        given = {"x": x, "timestep": np.full(1, t, np.int32), "coefficients": np.float32([[0, 0, 0, 1, 0]])}
        return session.run(None, {**given, **dict.fromkeys(("known", "mask", "noise"), np.zeros_like(x))})[0]

    known = Known(job.known[None], job.mask[None])
    drawn = sample_repaint(denoise, job.noise(0)[None], SCHEDULE, lambda n: job.noise(n)[None], SAMPLING, known)
    return drawn[0].astype(np.float32)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_denoiser(tmp_path_factory.mktemp("denoisers") / "tiny.onnx")


def bound_lane(path: Path, batch: int) -> BoundLane:
    """What runs on a card, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_free_dimension_override_by_name("batch", batch)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    diffusion = read_spec(path).diffusion
    assert diffusion is not None
    return BoundLane(session, diffusion, batch, "cpu")


LANES: dict[str, Callable[[Path, int], StepLane]] = {
    "OpenVINO": lambda path, batch: OpenvinoDenoiser(path, EngineRequest("f32", 1, batch)).lane(),
    "ONNX Runtime": lambda path, batch: OnnxDenoiser(path, EngineRequest("f32", 1, batch)).lane(),
    "ONNX Runtime, bound": bound_lane,
}


@pytest.fixture(params=list(LANES.values()), ids=list(LANES))
def make_lane(request: pytest.FixtureRequest, denoiser: Path) -> Any:
    """Makes a lane of a batch, of each kind."""
    return partial(request.param, denoiser)


def one_line(error: pytest.ExceptionInfo[Exception], *parts: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


# --- results


def test_samples_are_those_of_the_sampler_in_numpy(make_lane: Callable[[int], StepLane], denoiser: Path) -> None:
    jobs = make_jobs(5)
    assert {len(job.steps.timesteps) for job in jobs} == {12, 15}
    found = run_jobs(make_lane(3), jobs)
    for job in jobs:
        expected = draw_by_numpy(denoiser, job)
        assert found[job.number].shape == SHAPE and found[job.number].dtype == np.float32
        assert np.ptp(expected) > 1
        np.testing.assert_allclose(found[job.number], expected, rtol=1e-4, atol=1e-4 * np.ptp(expected))


def test_known_voxels_come_out_exactly(make_lane: Callable[[int], StepLane]) -> None:
    jobs = make_jobs(3)
    found = run_jobs(make_lane(2), jobs)
    for job in jobs:
        assert_array_equal(found[job.number][job.mask], job.known[job.mask])
        assert not (found[job.number] == job.known)[~job.mask].any()


def test_batch_order_and_slot_change_no_bit(make_lane: Callable[[int], StepLane]) -> None:
    jobs = make_jobs(5)
    expected = run_jobs(make_lane(1), jobs)
    for batch in (3, 4):
        for order in (jobs, jobs[::-1], jobs[2:] + jobs[:2]):
            found = run_jobs(make_lane(batch), order)
            assert found.keys() == expected.keys()
            for number, sample in expected.items():
                assert_array_equal(found[number], sample)


@pytest.mark.parametrize("lanes", [1, 2, 3])
@pytest.mark.parametrize("opener", [OpenvinoDenoiser, OnnxDenoiser])
@pytest.mark.parametrize("precision", ["auto", "f32"])
def test_lanes_in_threads_change_no_bit(
    opener: Callable[[Path, EngineRequest], Denoiser], denoiser: Path, lanes: int, precision: Any
) -> None:
    jobs = make_jobs(6)
    with opener(denoiser, EngineRequest(precision, 1, 1)) as alone:
        expected = run_jobs(alone.lane(), jobs)
    found: dict[int, Float32] = {}
    with opener(denoiser, EngineRequest(precision, lanes, 2)) as opened:

        def work(number: int) -> None:
            found.update(run_jobs(opened.lane(), jobs[number::lanes]))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, sample in expected.items():
        assert_array_equal(found[number], sample)


def test_slots_at_two_timesteps_do_not_mix(make_lane: Callable[[int], StepLane]) -> None:
    first, second = make_jobs(2)
    coefficients = np.float32([[1, 0, 1.01, -0.06, 0.05], [1, 0, 0.98, -0.02, 0.01]])
    noise = np.stack([first.noise(1), second.noise(1)])
    together = make_lane(2)
    for slot, job in enumerate((first, second)):
        together.load(slot, job.noise(0), job.known, job.mask)
    together.step(np.array([11, 2], np.int32), coefficients, noise)
    alone = make_lane(1)
    for slot, (job, timestep) in enumerate(((first, 11), (second, 2))):
        row = slice(slot, slot + 1)
        alone.load(0, job.noise(0), job.known, job.mask)
        alone.step(np.array([timestep], np.int32), coefficients[row], noise[row])
        assert_array_equal(together.read(slot), alone.read(0))
    alone.load(0, second.noise(0), second.known, second.mask)
    alone.step(np.array([11], np.int32), coefficients[1:], noise[1:])
    assert (alone.read(0) != together.read(1)).mean() > 0.5


def test_bf16_stays_near(denoiser: Path) -> None:
    job = make_jobs(1)[0]
    exact = run_jobs(LANES["ONNX Runtime"](denoiser, 1), [job])[0]
    with OpenvinoDenoiser(denoiser, EngineRequest()) as opened:
        found = run_jobs(opened.lane(), [job])[0]
    assert np.linalg.norm(found - exact) < 0.05 * np.linalg.norm(exact)


# --- conditions


@pytest.fixture(params=list(LANES.values()), ids=list(LANES))
def section_lane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StepLane:
    """A lane of two slots that draws sections."""
    lane: StepLane = request.param(write_section_denoiser(tmp_path_factory.mktemp("sections") / "tiny.onnx"), 2)
    return lane


def test_every_slot_has_a_condition_of_its_own(section_lane: StepLane) -> None:
    shape = SECTIONS.sample_shape
    x, noise = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    nothing, conditions = np.zeros(shape, np.bool_), np.float32([[-1, 0.5], [0.25, 1]])
    only_output = np.tile(np.float32([0, 0, 0, 1, 0]), (2, 1))
    for slot, condition in enumerate(conditions):
        section_lane.load(slot, x, x, nothing, condition)
    section_lane.step(np.full(2, 7, np.int32), only_output, np.stack([noise, noise]))
    network, odds = a_unet(TINY_SECTIONS), BitOdds(SECTIONS.schedule)
    with torch.no_grad():
        given = torch.from_numpy(np.stack([x, x])), torch.full((2,), 7)
        expected = torch.tanh(odds(network(*given, torch.from_numpy(conditions)), *given)).numpy()
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    for slot, one in enumerate(expected):
        np.testing.assert_allclose(section_lane.read(slot), one, rtol=0, atol=1e-4)


def test_a_condition_is_neither_left_out_nor_too_much(
    section_lane: StepLane, make_lane: Callable[[int], StepLane]
) -> None:
    x = np.zeros(SECTIONS.sample_shape, np.float32)
    with pytest.raises(EngineError, match="condition of a sample must be 2 numbers; got none") as error:
        section_lane.load(0, x, x, x.astype(bool))
    one_line(error)
    with pytest.raises(EngineError, match=r"condition must be float32 of shape \(1, 2\)"):
        section_lane.load(0, x, x, x.astype(bool), np.zeros(3, np.float32))
    job = make_jobs(1)[0]
    with pytest.raises(EngineError, match="condition of a sample must be none; got one"):
        make_lane(1).load(0, job.noise(0), job.known, job.mask, np.zeros(2, np.float32))


# --- slots


def step_all(lane: StepLane) -> None:
    size = lane.batch
    coefficients = np.tile(np.float32([1, 0, 1, -0.1, 0.1]), (size, 1))
    lane.step(np.full(size, 5, np.int32), coefficients, np.ones((size, *SHAPE), np.float32))


def test_what_was_loaded_and_read_are_copies(make_lane: Callable[[int], StepLane]) -> None:
    job, lane = make_jobs(1)[0], make_lane(2)
    x, known, mask = job.noise(0), job.known.copy(), job.mask.copy()
    lane.load(1, x, known, mask)
    for array in (x, known, mask):
        array[...] = 0
    before = lane.read(1)
    assert_array_equal(before, job.noise(0))
    step_all(lane)
    assert_array_equal(before, job.noise(0))
    once = lane.read(1)
    assert_array_equal(once[job.mask], job.known[job.mask])
    step_all(lane)
    assert (lane.read(1) != once)[~job.mask].all()


def test_a_slot_that_is_loaded_again_starts_anew(make_lane: Callable[[int], StepLane]) -> None:
    first, second = make_jobs(2)
    lane = make_lane(2)
    for slot, job in enumerate((first, second)):
        lane.load(slot, job.noise(0), job.known, job.mask)
    step_all(lane)
    kept = lane.read(0)
    lane.load(1, first.noise(0), first.known, first.mask)
    assert_array_equal(lane.read(1), first.noise(0))
    assert_array_equal(lane.read(0), kept)
    step_all(lane)
    assert_array_equal(lane.read(1), kept)


def test_arrays_of_any_layout_are_loaded(make_lane: Callable[[int], StepLane]) -> None:
    job, lane = make_jobs(1)[0], make_lane(2)
    lane.load(0, job.noise(0), job.known, job.mask)
    lane.load(1, *(np.asfortranarray(array) for array in (job.noise(0), job.known, job.mask)))
    step_all(lane)
    assert_array_equal(lane.read(0), lane.read(1))


def test_an_idle_slot_is_not_read(make_lane: Callable[[int], StepLane]) -> None:
    job, lane = make_jobs(1)[0], make_lane(3)
    for slot in range(3):
        with pytest.raises(EngineError, match=f"slot {slot} is idle") as error:
            lane.read(slot)
        one_line(error)
    step_all(lane)
    lane.load(1, job.noise(0), job.known, job.mask)
    lane.free(1)
    with pytest.raises(EngineError, match="slot 1 is idle"):
        lane.read(1)


def test_idle_slots_cost_no_run_on_the_cpu() -> None:
    runs: list[int] = []
    lane = SlotLane(4, Diffusion(SHAPE, SCHEDULE), lambda inputs, x_next: runs.append(int(inputs["timestep"][0])))
    given = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.bool_)
    timesteps, rest = np.arange(4, dtype=np.int32), (np.zeros((4, 5), np.float32), np.zeros((4, *SHAPE), np.float32))
    lane.step(timesteps, *rest)
    assert runs == []
    lane.load(3, *given)
    lane.load(1, *given)
    lane.step(timesteps, *rest)
    assert runs == [1, 3]
    lane.free(1)
    lane.step(timesteps, *rest)
    assert runs == [1, 3, 3]


def test_arrays_that_do_not_fit_are_refused_in_one_line(make_lane: Callable[[int], StepLane]) -> None:
    job, lane = make_jobs(1)[0], make_lane(1)
    lane.load(0, job.noise(0), job.known, job.mask)
    rest = np.zeros((1, 5), np.float32), np.zeros((1, *SHAPE), np.float32)
    for position in range(3):
        sample: list[Any] = [job.noise(0), job.known, job.mask]
        sample[position] = sample[position][..., :1]
        with pytest.raises(EngineError, match=r"must be float32 of shape \(1, 1, 8, 8, 8\)") as error:
            lane.load(0, *sample)
        one_line(error, ("x", "known", "mask")[position], (1, 1, 8, 8, 1))
    timesteps = np.zeros(1, np.int32)
    for wrong in (np.zeros((1, 4), np.float32), np.zeros((1, 5))):
        with pytest.raises(EngineError, match=r"coefficients must be float32 of shape \(1, 5\)") as error:
            lane.step(timesteps, wrong, rest[1])
        one_line(error, wrong.dtype, wrong.shape)
    with pytest.raises(EngineError, match="timestep must be int32"):
        lane.step(timesteps.astype(np.int64), *rest)
    for noise in (np.zeros((1, *SHAPE[1:]), np.float32), np.zeros((1, *SHAPE[::-1]), np.float32).T):
        with pytest.raises(EngineError, match=r"noise must be .* without gaps"):
            lane.step(timesteps, rest[0], noise)


# --- a card


@pytest.mark.gpu
@pytest.mark.skipif(not offers_cuda(), reason="ONNX Runtime is not built for CUDA here")
def test_a_card_draws_the_same_samples(denoiser: Path) -> None:
    jobs = make_jobs(5)
    with OnnxDenoiser(denoiser) as exact:
        expected = run_jobs(exact.lane(), jobs)
    try:
        opened = open_denoiser(denoiser, "cuda")
    except EngineError as error:
        pytest.skip(str(error))
    with opened:
        assert (opened.info.device, opened.info.batch) == ("cuda", 16)
        first, second = (run_jobs(opened.lane(), order) for order in (jobs, jobs[::-1]))
    for number, sample in expected.items():
        assert_array_equal(first[number], second[number])
        assert np.linalg.norm(first[number] - sample) < 2e-2 * np.linalg.norm(sample)
