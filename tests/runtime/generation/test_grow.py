"""Volumes grown by any lanes and batches, interrupted or not, against one slot that draws block after block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import growth
import numpy as np
import pytest
from growth import StopError, a_part, a_request, grow_slowly, grown, stop_after, watch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_denoisers import SCHEDULE, write_block_denoiser
from numpy.testing import assert_array_equal

from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.onnx_cpu import OnnxDenoiser
from microrun.runtime.engines.openvino_cpu import OpenvinoDenoiser
from microrun.runtime.generation.effort import count_work, evaluations_per_block, measure_speed
from microrun.runtime.generation.grow import Grown, ReadyBlocks, grow
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.sampling import Sampling, tabulate_steps
from microrun.runtime.generation.tiling import Region, tile_anisotropic, tile_isotropic
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
        ((of_volume, of_block),) = folder.tiling.windows(number)
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
    watch(grow(folder, denoiser), seen.append)
    assert len(folder.tiling) == 2 and folder.finished().all()
    assert seen[-1] == Grown(2 * growth.SAMPLING.count, 2 * growth.SAMPLING.count, blocks=2)
    assert len(list(folder.path.glob("block-*"))) == 2


# --- interrupted


@OPENERS
def test_a_run_that_was_interrupted_goes_on_to_the_same_volume(opener: Opener, coloured: Path, tmp_path: Path) -> None:
    request = a_request(tmp_path)
    with opener(coloured, EngineRequest("f32", 2, 2)) as opened:
        for blocks in (1, 4, 6):
            folder = request.open_folder(opened.spec, opened.info)
            with pytest.raises(StopError):
                watch(grow(folder, opened), stop_after(blocks, StopError()))
            assert blocks <= folder.finished().sum() < len(folder.tiling)
        assert_array_equal(grown(request, opened), grow_slowly(opened, request))


def test_ctrl_c_keeps_blocks(denoiser: Denoiser, tmp_path: Path) -> None:
    folder = a_request(tmp_path).open_folder(denoiser.spec, denoiser.info)
    with pytest.raises(KeyboardInterrupt):
        watch(grow(folder, denoiser), stop_after(3, KeyboardInterrupt()))
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
    watch(grow(folder, denoiser), seen.append)
    assert_array_equal(folder.assemble(), before)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert seen[0].blocks == len(kept) and seen[-1].blocks == len(folder.tiling)
    bare, known = evaluations_per_block(SCHEDULE, growth.SAMPLING)
    assert seen[-1].done == sum(known if folder.tiling.has_known[number] else bare for number in lost)


def test_nothing_is_left_to_do_for_a_whole_volume(denoiser: Denoiser, tmp_path: Path) -> None:
    request, seen = a_request(tmp_path), list[Grown]()
    grown(request, denoiser)
    watch(grow(request.open_folder(denoiser.spec, denoiser.info), denoiser), seen.append)
    assert seen == [Grown(0, 0, blocks=8)]


def test_progress_adds_up(denoiser: Denoiser, tmp_path: Path) -> None:
    request, seen = a_request(tmp_path), list[Grown]()
    watch(grow(request.open_folder(denoiser.spec, denoiser.info), denoiser), seen.append)
    work = count_work(request.tiling, SCHEDULE, growth.SAMPLING)
    assert (seen[0].blocks, seen[-1]) == (0, Grown(work.evaluations, work.evaluations, blocks=8))
    assert {now.total for now in seen} == {work.evaluations}
    assert [now.blocks for now in seen] == sorted(now.blocks for now in seen)


# --- work


SIDES = st.tuples(*[st.integers(BLOCK, 110)] * 3)


@settings(max_examples=25)
@given(shape=SIDES, seed=st.integers(0, 9), share=st.sampled_from([0.0, 0.3, 1.0]), tile=st.sampled_from([0, 1]))
def test_ready_blocks_come_every_block_once_when_it_is_ready(shape: Shape, seed: int, share: float, tile: int) -> None:
    rng = np.random.default_rng(seed)
    part = rng.random(shape) < rng.choice([1e-4, 1])
    part[0, 0, 0] = True
    tiling = (tile_isotropic, tile_anisotropic)[tile](shape, Region(part))
    done = rng.random(len(tiling)) < share
    waiting_blocks, made = ReadyBlocks(tiling, done.copy()), list[int]()

    def ready() -> set[int]:
        return {n for n in range(len(tiling)) if not done[n] and all(done[tiling.dependencies(n)])}

    waiting = list(waiting_blocks.first)
    assert waiting == sorted(ready())
    while waiting:
        assert set(waiting) == ready()
        made.append(waiting.pop(int(rng.integers(len(waiting)))))
        done[made[-1]] = True
        waiting += waiting_blocks.finish(made[-1])
    assert done.all() and len(made) == len(set(made))


@settings(max_examples=20)
@given(shape=SIDES, count=st.integers(1, 24), resample=st.integers(1, 4), plain=st.integers(0, 9))
def test_work_is_that_of_every_block(shape: Shape, count: int, resample: int, plain: int) -> None:
    sampling, tiling = Sampling(count, n_resample=resample, plain_steps=plain), tile_isotropic(shape)
    has_known = [len(tiling.dependencies(number)) > 0 for number in range(len(tiling))]
    work = count_work(tiling, SCHEDULE, sampling)
    assert work.evaluations == sum(len(tabulate_steps(SCHEDULE, sampling, known).timesteps) for known in has_known)
    assert (work.blocks, work.first_blocks) == (len(tiling), has_known.count(False))


@pytest.mark.parametrize(("lanes", "batch"), [(1, 1), (2, 3)])
def test_speed_is_measured(coloured: Path, lanes: int, batch: int) -> None:
    with OpenvinoDenoiser(coloured, EngineRequest("f32", lanes, batch)) as opened:
        assert 1 < measure_speed(opened, 0.1) < 1e6
