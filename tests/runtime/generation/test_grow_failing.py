"""What ends the growth of a volume, and what is refused before it begins."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk import full_disk
from growth import StopError, a_request, grow_slowly, grown, stop_after, watch
from make_denoisers import SCHEDULE, write_block_denoiser
from numpy.testing import assert_array_equal

from microrun.runtime.engines.denoiser import Denoiser, StepLane
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.onnx_cpu import OnnxDenoiser
from microrun.runtime.engines.openvino_cpu import OpenvinoDenoiser
from microrun.runtime.errors import EngineError, MicrorunError, OutputError, VolumeError
from microrun.runtime.generation.block_maker import BlockMaker
from microrun.runtime.generation.grow import Grown, grow
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.spec import Diffusion, ModelSpec

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
        error = raised_by(lambda: watch(grow(folder, FailingDenoiser(opened, lambda n: n == step))))
        assert isinstance(error, EngineError) and str(error) == "the engine broke"
        if step == 30:
            assert folder.finished().sum() >= 2
        assert_array_equal(grown(request, opened), grow_slowly(opened, request))


def test_lanes_that_cannot_be_made_end_the_run(denoiser: Denoiser, tmp_path: Path) -> None:
    folder = a_request(tmp_path).open_folder(denoiser.spec, denoiser.info)
    error = raised_by(lambda: watch(grow(folder, FailingDenoiser(denoiser, lambda n: False, makes_lanes=False))))
    assert str(error) == "no lane"


def test_a_disk_that_fills_up_ends_the_run_and_keeps_blocks(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path)
    folder = request.open_folder(denoiser.spec, denoiser.info)
    with contextlib.ExitStack() as stack:

        def progress(now: Grown) -> None:
            if now.blocks == 3:
                stack.enter_context(full_disk())

        error = raised_by(lambda: watch(grow(folder, denoiser), progress))
    assert isinstance(error, OutputError) and "Make room and run again" in str(error) and "\n" not in str(error)
    assert 3 <= folder.finished().sum() < 8
    assert_array_equal(grown(request, denoiser), grow_slowly(denoiser, request))


def test_a_damaged_block_is_named_and_the_run_ends(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path)
    folder = request.open_folder(denoiser.spec, denoiser.info)
    with pytest.raises(StopError):
        watch(grow(folder, denoiser), stop_after(1, StopError()))
    damaged = folder.path / f"block-{int(np.argmax(folder.finished())):07}.npy"
    damaged.write_bytes(bytes(damaged.stat().st_size))
    error = raised_by(lambda: watch(grow(folder, denoiser)))
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
