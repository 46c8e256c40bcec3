"""Volumes grown by any lanes and batches, interrupted or not, against one slot that draws block after block."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import growth
import h5py
import numpy as np
import pytest
import segmentation_oracles as oracles
from disk import full_disk
from growth import a_part, a_request, grow_slowly
from hypothesis import given, settings
from hypothesis import strategies as st
from make_denoisers import SCHEDULE, write_block_denoiser
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.colour_codes import colour_codes, colour_values
from microrun.runtime.engines.denoiser import Denoiser, StepLane
from microrun.runtime.engines.engine import EngineInfo, EngineRequest
from microrun.runtime.engines.onnx_cpu import OnnxDenoiser
from microrun.runtime.engines.openvino_cpu import OpenvinoDenoiser
from microrun.runtime.errors import EngineError, MicrorunError, OutputError, VolumeError
from microrun.runtime.generation.block_folder import BlockFolder, make_folder
from microrun.runtime.generation.block_maker import BlockMaker
from microrun.runtime.generation.effort import count_work, evaluations_per_block, measure_speed
from microrun.runtime.generation.grow import Grown, Queue, grow, write_grains
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.generation.sampling import Sampling, plan_steps
from microrun.runtime.generation.tiling import BLOCK, tile_anisotropic, tile_isotropic
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.runtime.volumes.volume import Shape

Opener = Callable[[Path, EngineRequest], Denoiser]
OPENERS = pytest.mark.parametrize("opener", [OpenvinoDenoiser, OnnxDenoiser])
WAIT_S = 60.0


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_block_denoiser(tmp_path_factory.mktemp("denoisers") / "coloured.onnx")


@pytest.fixture(scope="module")
def valued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_block_denoiser(tmp_path_factory.mktemp("denoisers") / "valued.onnx", coloured=False)


@pytest.fixture
def denoiser(coloured: Path) -> Iterator[Denoiser]:
    with OpenvinoDenoiser(coloured, EngineRequest("f32", 2, 1)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not [name for name in left if "_work" in name or "noise" in name], left


def grown(request: GenerateRequest, denoiser: Denoiser) -> NDArray[Any]:
    folder = request.open_folder(denoiser.spec, denoiser.info)
    grow(folder, denoiser)
    return np.array(folder.assemble())


def raised_by(work: Callable[[], object]) -> BaseException:
    """What work raises; fails if it hangs."""
    found: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive(), "hangs"
    assert len(found) == 1
    return found[0]


class StopError(Exception):
    """Stands for whatever ends a run."""


def stop_after(blocks: int, error: BaseException) -> Callable[[Grown], None]:
    def progress(now: Grown) -> None:
        if now.blocks >= blocks:
            raise error

    return progress


# --- the volume


@OPENERS
@pytest.mark.parametrize("order", ["isotropic", "anisotropic"])
@pytest.mark.parametrize("with_part", [False, True])
def test_a_volume_is_that_of_one_slot(
    opener: Opener, coloured: Path, tmp_path: Path, order: str, with_part: bool
) -> None:
    part = a_part(growth.SHAPE) if with_part else None
    request = a_request(tmp_path, order=order, part=part)
    with opener(coloured, EngineRequest("f32", 2, 2)) as opened:
        found = grown(request, opened)
        expected = grow_slowly(opened, request)
    assert found.dtype == np.int8 and len(np.unique(found)) > 10
    assert_array_equal(found, expected)


@OPENERS
def test_values_that_are_no_colours_grow_too(opener: Opener, valued: Path, tmp_path: Path) -> None:
    request = a_request(tmp_path, part=a_part(growth.SHAPE))
    with opener(valued, EngineRequest("f32", 2, 2)) as opened:
        found = grown(request, opened)
        assert_array_equal(found, grow_slowly(opened, request))
    assert found.dtype == np.float32 and np.isfinite(found).sum() == a_part(growth.SHAPE).sum()


@OPENERS
def test_lanes_and_batch_change_no_bit(opener: Opener, coloured: Path, tmp_path: Path) -> None:
    volumes = []
    for number, (lanes, batch) in enumerate(((1, 1), (2, 1), (1, 3), (2, 2))):
        (tmp_path / str(number)).mkdir()
        with opener(coloured, EngineRequest("f32", lanes, batch)) as opened:
            volumes.append(grown(a_request(tmp_path / str(number)), opened))
    for volume in volumes[1:]:
        assert_array_equal(volume, volumes[0])


def test_another_seed_gives_another_volume(denoiser: Denoiser, tmp_path: Path) -> None:
    first, second = (grown(a_request(tmp_path, out=tmp_path / f"{n}.npy", seed=n), denoiser) for n in (0, 1))
    assert (first != second).mean() > 0.5


def test_the_earlier_block_wins_in_every_block_file(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path)
    volume = grown(request, denoiser)
    folder = request.open_folder(denoiser.spec, denoiser.info)
    for number in range(len(folder.tiling)):
        of_volume, of_block = folder.tiling.windows(number)
        known = folder.tiling.known_mask(number)[of_block]
        assert_array_equal(folder.load(number)[of_block][known], volume[of_volume][known])


@pytest.mark.parametrize("shape", [(5, 40, 70), (1, 1, 1), (32, 3, 33)])
def test_parts_thinner_than_a_block_grow(denoiser: Denoiser, tmp_path: Path, shape: Shape) -> None:
    request = a_request(tmp_path, shape=shape, part=np.ones(shape, bool))
    found = grown(request, denoiser)
    assert found.shape == shape and found.min() >= 0
    assert_array_equal(found, grow_slowly(denoiser, request))


def test_blocks_outside_the_part_are_not_made(denoiser: Denoiser, tmp_path: Path) -> None:
    part = np.zeros(growth.SHAPE, bool)
    part[:, :20, :20] = part[:, :20, -20:] = True
    request = a_request(tmp_path, part=part)
    seen: list[Grown] = []
    folder = request.open_folder(denoiser.spec, denoiser.info)
    grow(folder, denoiser, seen.append)
    assert len(folder.tiling) == 2 and folder.finished().all()
    assert seen[-1] == Grown(2, 2 * growth.SAMPLING.count, 0)
    assert len(list(folder.path.glob("block-*"))) == 2


# --- interrupted


@OPENERS
def test_a_run_that_was_interrupted_goes_on_to_the_same_volume(opener: Opener, coloured: Path, tmp_path: Path) -> None:
    request = a_request(tmp_path)
    with opener(coloured, EngineRequest("f32", 2, 2)) as opened:
        for blocks in (1, 4, 6):
            folder = request.open_folder(opened.spec, opened.info)
            with pytest.raises(StopError):
                grow(folder, opened, stop_after(blocks, StopError()))
            assert blocks <= folder.finished().sum() < len(folder.tiling)
        assert_array_equal(grown(request, opened), grow_slowly(opened, request))


def test_ctrl_c_keeps_blocks(denoiser: Denoiser, tmp_path: Path) -> None:
    folder = a_request(tmp_path).open_folder(denoiser.spec, denoiser.info)
    with pytest.raises(KeyboardInterrupt):
        grow(folder, denoiser, stop_after(3, KeyboardInterrupt()))
    assert folder.finished().sum() >= 3


@pytest.mark.parametrize("lost", [[7], [3, 5], [0], [0, 1, 4], [1, 2, 3, 4, 5, 6, 7]])
def test_lost_blocks_alone_are_made_again(denoiser: Denoiser, tmp_path: Path, lost: list[int]) -> None:
    """Also such as finished ones have waited for."""
    request = a_request(tmp_path)
    before = grown(request, denoiser)
    folder = request.open_folder(denoiser.spec, denoiser.info)
    for number in lost:
        (folder.path / f"block-{number:07}.npy").unlink()
    kept = {path: path.stat().st_mtime_ns for path in folder.path.glob("block-*")}
    seen: list[Grown] = []
    grow(folder, denoiser, seen.append)
    assert_array_equal(folder.assemble(), before)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert seen[0].blocks == len(kept) and seen[-1].blocks == len(folder.tiling)
    bare, known = evaluations_per_block(SCHEDULE, growth.SAMPLING)
    assert seen[-1].evaluations == sum(known if folder.tiling.has_known[number] else bare for number in lost)


def test_nothing_is_left_to_do_for_a_whole_volume(denoiser: Denoiser, tmp_path: Path) -> None:
    request, seen = a_request(tmp_path), list[Grown]()
    grown(request, denoiser)
    grow(request.open_folder(denoiser.spec, denoiser.info), denoiser, seen.append)
    assert seen == [Grown(8, 0, 0)]


def test_progress_adds_up(denoiser: Denoiser, tmp_path: Path) -> None:
    request, seen = a_request(tmp_path), list[Grown]()
    grow(request.open_folder(denoiser.spec, denoiser.info), denoiser, seen.append)
    work = count_work(request.tiling, SCHEDULE, growth.SAMPLING)
    assert (seen[0].blocks, seen[-1]) == (0, Grown(8, work.evaluations, 0))
    assert {now.evaluations + now.remaining for now in seen} == {work.evaluations}
    assert [now.blocks for now in seen] == sorted(now.blocks for now in seen)


# --- failures


class FailingDenoiser(Denoiser):
    """A real one whose lanes fail: the numbers of the steps, of all lanes together, that do."""

    def __init__(self, real: Denoiser, fails: Callable[[int], bool], makes_lanes: bool = True) -> None:
        super().__init__(real.spec, real.info)
        self._real, self._fails, self._makes_lanes = real, fails, makes_lanes
        self._steps = 0

    def lane(self) -> StepLane:
        if not self._makes_lanes:
            raise EngineError("no lane")
        lane = self._real.lane()
        step = lane.step

        def failing(*given: Any) -> None:
            self._steps += 1
            if self._fails(self._steps):
                raise EngineError("the engine broke")
            step(*given)

        lane.step = failing  # type: ignore[method-assign]
        return lane


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("step", [1, 7, 30])
def test_an_engine_that_fails_ends_the_run_with_its_error(
    coloured: Path, tmp_path: Path, lanes: int, step: int
) -> None:
    request = a_request(tmp_path)
    with OpenvinoDenoiser(coloured, EngineRequest("f32", lanes, 1)) as opened:
        folder = request.open_folder(opened.spec, opened.info)
        error = raised_by(lambda: grow(folder, FailingDenoiser(opened, lambda n: n == step)))
        assert isinstance(error, EngineError) and str(error) == "the engine broke"
        if step == 30:
            assert folder.finished().sum() >= 2
        assert_array_equal(grown(request, opened), grow_slowly(opened, request))


def test_lanes_that_cannot_be_made_end_the_run(denoiser: Denoiser, tmp_path: Path) -> None:
    folder = a_request(tmp_path).open_folder(denoiser.spec, denoiser.info)
    error = raised_by(lambda: grow(folder, FailingDenoiser(denoiser, lambda n: False, makes_lanes=False)))
    assert str(error) == "no lane"


def test_a_disk_that_fills_up_ends_the_run_and_keeps_blocks(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path)
    folder = request.open_folder(denoiser.spec, denoiser.info)
    with contextlib.ExitStack() as stack:

        def progress(now: Grown) -> None:
            if now.blocks == 3:
                stack.enter_context(full_disk())

        error = raised_by(lambda: grow(folder, denoiser, progress))
    assert isinstance(error, OutputError) and "Make room and run again" in str(error) and "\n" not in str(error)
    assert 3 <= folder.finished().sum() < 8
    assert_array_equal(grown(request, denoiser), grow_slowly(denoiser, request))


def test_a_damaged_block_is_named_and_the_run_ends(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path)
    folder = request.open_folder(denoiser.spec, denoiser.info)
    with pytest.raises(StopError):
        grow(folder, denoiser, stop_after(1, StopError()))
    damaged = folder.path / f"block-{int(np.argmax(folder.finished())):07}.npy"
    damaged.write_bytes(bytes(damaged.stat().st_size))
    error = raised_by(lambda: grow(folder, denoiser))
    assert isinstance(error, VolumeError) and str(damaged) in str(error) and "delete it and run again" in str(error)
    damaged.unlink()
    assert_array_equal(grown(request, denoiser), grow_slowly(denoiser, request))


def test_every_future_ends_even_when_lanes_fail_meanwhile(denoiser: Denoiser, tmp_path: Path) -> None:
    folder = a_request(tmp_path).open_folder(denoiser.spec, denoiser.info)
    first = np.flatnonzero(~folder.tiling.has_known).tolist()
    for _ in range(30):
        with BlockMaker(FailingDenoiser(denoiser, lambda n: True), folder) as maker:
            futures = [maker.submit(number) for number in 20 * first]
            assert {str(future.exception(WAIT_S)) for future in futures} == {"the engine broke"}


def test_a_maker_that_is_closed_gives_blocks_up(denoiser: Denoiser, tmp_path: Path) -> None:
    folder = a_request(tmp_path).open_folder(denoiser.spec, denoiser.info)
    first = np.flatnonzero(~folder.tiling.has_known).tolist()
    maker = BlockMaker(denoiser, folder)
    futures = [maker.submit(number) for number in 100 * first]
    maker.close()
    maker.close()
    futures.append(maker.submit(0))
    errors = [future.exception(WAIT_S) for future in futures]
    assert isinstance(errors[-1], EngineError) and "closed" in str(errors[-1])
    assert {str(error) for error in errors} <= {"None", str(errors[-1])}


def test_a_block_may_be_asked_for_twice(denoiser: Denoiser, tmp_path: Path) -> None:
    folder = a_request(tmp_path).open_folder(denoiser.spec, denoiser.info)
    with BlockMaker(denoiser, folder) as maker:
        for future in [maker.submit(0) for _ in range(9)]:
            future.result(WAIT_S)
    assert folder.has(0)


# --- what is refused


def test_denoisers_of_other_samples_are_refused(tmp_path: Path, denoiser: Denoiser) -> None:
    for shape, n_colours, said in (
        ((1, 8, 8, 8), 4, r"32³ voxels .* draws \(1, 8, 8, 8\)"),
        ((1, 32, 32), 4, r"32³ voxels .* draws \(1, 32, 32\)"),
        ((2, 32, 32, 32), 0, r"in one channel, or in colours.* draws \(2, 32, 32, 32\)"),
        ((8, 32, 32, 32), 256, "at most 128 colours; got 256"),
    ):
        other = ModelSpec("other", "denoiser", diffusion=Diffusion(shape, SCHEDULE, n_colours))
        with pytest.raises(EngineError, match=said):
            a_request(tmp_path).open_folder(other, denoiser.info)
    assert not list(tmp_path.glob("*.blocks"))


def test_steps_that_do_not_fit_leave_no_folder(tmp_path: Path, denoiser: Denoiser) -> None:
    request = a_request(tmp_path, sampling=Sampling(99))
    with pytest.raises(MicrorunError, match="24"):
        request.open_folder(denoiser.spec, denoiser.info)
    assert not list(tmp_path.iterdir())


def test_the_folder_of_another_seed_or_engine_is_refused(tmp_path: Path, denoiser: Denoiser, valued: Path) -> None:
    a_request(tmp_path).open_folder(denoiser.spec, denoiser.info)
    with pytest.raises(VolumeError, match="seed 7, not 8"):
        a_request(tmp_path, seed=8).open_folder(denoiser.spec, denoiser.info)
    with (
        OnnxDenoiser(valued) as other,
        pytest.raises(VolumeError, match=r"another denoiser, computed .*, not ONNX Runtime"),
    ):
        a_request(tmp_path).open_folder(other.spec, other.info)


@pytest.mark.parametrize(
    ("name", "said"), [("a.vti", ".npy or .h5"), ("none/a.h5", "no such folder"), ("taken.npy", "is a folder")]
)
def test_files_that_cannot_be_made_are_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "taken.npy").mkdir()
    with pytest.raises(OutputError, match=said):
        a_request(tmp_path, out=tmp_path / name)


# --- plans


SIDES = st.tuples(*[st.integers(BLOCK, 110)] * 3)


@settings(max_examples=25)
@given(shape=SIDES, seed=st.integers(0, 9), share=st.sampled_from([0.0, 0.3, 1.0]), tile=st.sampled_from([0, 1]))
def test_the_queue_gives_every_block_once_when_it_is_ready(shape: Shape, seed: int, share: float, tile: int) -> None:
    rng = np.random.default_rng(seed)
    part = rng.random(shape) < rng.choice([1e-4, 1])
    part[0, 0, 0] = True
    tiling = (tile_isotropic, tile_anisotropic)[tile](shape, part)
    done = rng.random(len(tiling)) < share
    queue, made = Queue(tiling, done.copy()), list[int]()

    def ready() -> set[int]:
        return {n for n in range(len(tiling)) if not done[n] and all(done[tiling.dependencies(n)])}

    waiting = list(queue.ready)
    assert waiting == sorted(ready())
    while waiting:
        assert set(waiting) == ready()
        made.append(waiting.pop(int(rng.integers(len(waiting)))))
        done[made[-1]] = True
        waiting += queue.finish(made[-1])
    assert done.all() and len(made) == len(set(made))


@settings(max_examples=20)
@given(shape=SIDES, count=st.integers(1, 24), resample=st.integers(1, 4), plain=st.integers(0, 9))
def test_work_is_that_of_every_block(shape: Shape, count: int, resample: int, plain: int) -> None:
    sampling, tiling = Sampling(count, n_resample=resample, plain_steps=plain), tile_isotropic(shape)
    has_known = [len(tiling.dependencies(number)) > 0 for number in range(len(tiling))]
    work = count_work(tiling, SCHEDULE, sampling)
    assert work.evaluations == sum(len(plan_steps(SCHEDULE, sampling, known).timesteps) for known in has_known)
    assert (work.blocks, work.first_blocks) == (len(tiling), has_known.count(False))


@pytest.mark.parametrize(("lanes", "batch"), [(1, 1), (2, 3)])
def test_speed_is_measured(coloured: Path, lanes: int, batch: int) -> None:
    with OpenvinoDenoiser(coloured, EngineRequest("f32", lanes, batch)) as opened:
        assert 1 < measure_speed(opened, 0.1) < 1e6


# --- grains


TINY_SHAPE = (12, 10, 14)


def one_block(tmp_path: Path, spec: ModelSpec, out: str, block: NDArray[np.float32], part: Any) -> BlockFolder:
    """A finished volume of one block around a part."""
    request = a_request(tmp_path, out=tmp_path / out, shape=TINY_SHAPE, part=part)
    assert spec.diffusion is not None
    info = EngineInfo(Path("tiny.onnx"), "abc", "none", "cpu", "f32", 1, 1)
    make_folder(request.folder, request.blueprint(info), part)
    folder = BlockFolder(request.folder, spec.diffusion)
    folder.store(0, block)
    assert folder.finished().all()
    return folder


@pytest.mark.parametrize("min_voxels", [0, 9])
@pytest.mark.parametrize("channels", [4, 1])
def test_grains_of_colours_hang_together_by_faces(tmp_path: Path, channels: int, min_voxels: int) -> None:
    n_colours = 16 if channels == 4 else 5
    spec = ModelSpec("colours", "denoiser", diffusion=Diffusion((channels, 32, 32, 32), SCHEDULE, n_colours))
    rng = np.random.default_rng(1)
    colours = np.kron(rng.integers(0, n_colours, (8, 8, 8)), np.ones((4, 4, 4), int))
    colours = np.where(rng.random(colours.shape) < 0.1, rng.integers(0, n_colours, colours.shape), colours)
    half_a_step = abs(colour_codes(n_colours, channels)[1] - colour_codes(n_colours, channels)[0]).max() / 2
    block = colour_values(colours, n_colours, channels) + rng.uniform(-0.9, 0.9, (channels, 32, 32, 32)) * half_a_step
    part = rng.random(TINY_SHAPE) < 0.95
    folder = one_block(tmp_path, spec, "out.h5", block.astype(np.float32), part)
    summary = write_grains(folder, min_voxels, tmp_path / "out.h5")
    expected = oracles.components(np.where(part, colours[:12, :10, :14], -1), 6)
    if min_voxels:
        expected = oracles.absorb(expected, min_voxels)
    with h5py.File(tmp_path / "out.h5") as file:
        data = file["grain_id"]
        assert_array_equal(data[()], expected)
        assert json.loads(data.attrs["blueprint"]) == json.loads(folder.blueprint.to_json())
        options = json.loads(data.attrs["options"])
    assert (options["components"], options["min_voxels"]) == (6, min_voxels)
    assert (summary.grains, summary.voxels, summary.noise) == (expected.max() + 1, part.size, 0)
    assert summary.outside == (~part).sum()


@pytest.mark.parametrize("min_voxels", [0, 30])
def test_grains_of_values_are_clustered_as_scikit_learn_does(tmp_path: Path, min_voxels: int) -> None:
    spec = ModelSpec("values", "denoiser", diffusion=Diffusion((1, 32, 32, 32), SCHEDULE))
    values = oracles.random_grains((32, 32, 32), 300)
    part = np.indices(TINY_SHAPE).sum(axis=0) > 3
    folder = one_block(tmp_path, spec, "out.npy", values[None], part)
    summary = write_grains(folder, min_voxels, tmp_path / "out.npy")
    inside = np.where(part, values[:12, :10, :14], np.nan)
    expected = oracles.fill(oracles.sklearn_dbscan(inside, 1.9, 15, 100), part)
    if min_voxels:
        expected = oracles.absorb(expected, min_voxels)
    assert summary.grains == expected.max() + 1 > 3
    assert_array_equal(np.load(tmp_path / "out.npy"), expected)
