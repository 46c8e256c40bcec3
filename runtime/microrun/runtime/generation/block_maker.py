"""Threads that draw blocks of a volume, each with a lane of the denoiser whose slots are kept full."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from microrun.kernels.noise import normal_noise
from microrun.runtime.array_types import Float32, Mask
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.denoiser import Denoiser, StepLane
from microrun.runtime.errors import EngineError
from microrun.runtime.files.closing import Closing
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.sampling import Steps, tabulate_steps


class BlockMaker(Closing):
    """Draws blocks whose dependencies are finished; what becomes of a block depends on nothing else.

    Parameters
    ----------
    denoiser
        That draws them; closing the maker leaves it open.
    folder
        To read known voxels from, and to store blocks in.
    """

    def __init__(self, denoiser: Denoiser, folder: BlockFolder) -> None:
        self._denoiser, self.folder = denoiser, folder
        schedule, sampling = denoiser.diffusion.schedule, folder.blueprint.sampling
        self._steps = {has_known: tabulate_steps(schedule, sampling, has_known) for has_known in (False, True)}
        self._has_known = folder.tiling.has_known
        self._waiting: queue.PriorityQueue[tuple[int, int, Future[None] | None]] = queue.PriorityQueue()
        self._tickets = itertools.count()  # so that futures are never compared
        self._failure: Exception | None = None  # the first; with it all threads end
        self._counts = [0] * denoiser.info.lanes
        self._threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(len(self._counts))]
        for thread in self._threads:
            thread.start()

    @property
    def evaluations(self) -> int:
        """Evaluations of the network so far, those of unfinished blocks among them."""
        return sum(self._counts)

    def submit(self, number: int) -> Future[None]:
        """Ask for a block; low numbers are begun first. The future is done when its file is there.

        Once a lane has failed or the maker is closed, futures of blocks that are not finished hold that error.
        """
        future: Future[None] = Future()
        self._put(number, future)
        if self._failure is not None:  # perhaps no thread is left to see it
            self._give_up(self._failure)
        return future

    def close(self) -> None:
        """Give unfinished blocks up, and end the threads."""
        self._give_up(EngineError("closed before this block was finished; run again to go on"))
        for thread in self._threads:
            thread.join()

    def _work(self, lane_number: int) -> None:
        futures: set[Future[None]] = set()
        try:
            seed, shape = self.folder.blueprint.seed, self._denoiser.diffusion.sample_shape
            with _Crew(self._denoiser.lane(), shape, seed) as crew:
                while self._take(crew, futures):
                    finished = crew.step()
                    self._counts[lane_number] += len(futures)
                    for drawn, block in finished:
                        self.folder.store(drawn.number, block)
                        futures.remove(drawn.future)
                        drawn.future.set_result(None)
        except Exception as error:  # whatever it is, those who wait for blocks are to hear of it
            self._give_up(error)
        for future in futures:
            future.set_exception(self._failure)

    def _take(self, crew: _Crew, futures: set[Future[None]]) -> bool:
        """Fill idle slots with what waits; wait only if all are idle. False to end."""
        while self._failure is None and crew.idle:
            try:
                number, _, future = self._waiting.get(block=not futures)
            except queue.Empty:
                break
            if future is None:
                break
            futures.add(future)
            steps = self._steps[bool(self._has_known[number])]  # those that find known voxels take more
            crew.begin(_Drawing(number, future, steps), *self.folder.known(number))
        return self._failure is None

    def _put(self, number: int, future: Future[None] | None) -> None:
        self._waiting.put((number, next(self._tickets), future))

    def _give_up(self, failure: Exception) -> None:
        """Give the first failure to whoever waits, and wake all threads, so that they end."""
        self._failure = self._failure or failure
        with contextlib.suppress(queue.Empty):
            while True:
                *_, future = self._waiting.get_nowait()
                if future is not None:
                    future.set_exception(self._failure)
        for _ in self._threads:
            self._put(-1, None)


@dataclass
class _Drawing:
    """A block in a slot, who waits for it, and the number of its next evaluation."""

    number: int
    future: Future[None]
    steps: Steps
    next: int = 0


class _Crew(Closing):
    """The slots of a lane, and the noise that they need next."""

    def __init__(self, lane: StepLane, sample_shape: tuple[int, ...], seed: int) -> None:
        self._lane, self._shape, self._seed = lane, sample_shape, seed
        self._drawn: list[_Drawing | None] = [None] * lane.batch
        self._timesteps = np.zeros(lane.batch, np.int32)
        self._coefficients = np.zeros((lane.batch, 5), np.float32)
        self._noise = _NoiseAhead(seed, (lane.batch, *sample_shape))

    @property
    def idle(self) -> bool:
        """Whether a slot is."""
        return None in self._drawn

    def begin(self, drawing: _Drawing, known: Float32, mask: Mask) -> None:
        """Put a block into an idle slot."""
        slot = self._drawn.index(None)
        x = np.empty((1, *self._shape), np.float32)
        normal_noise(self._seed, np.array([drawing.number]), 0, x)
        self._lane.load(slot, x[0], known, mask)
        self._drawn[slot] = drawing

    def step(self) -> list[tuple[_Drawing, Float32]]:
        """Advance all blocks by one evaluation; returns those that are finished, whose slots are idle again."""
        for slot, drawing in enumerate(self._drawn):
            if drawing is not None:
                self._timesteps[slot] = drawing.steps.timesteps[drawing.next]
                self._coefficients[slot] = drawing.steps.coefficients[drawing.next]
        noise = self._noise.take(self._wanted(1))
        self._noise.prepare(self._wanted(2))
        self._lane.step(self._timesteps, self._coefficients, noise)
        finished = []
        for slot, drawing in enumerate(self._drawn):
            if drawing is None:
                continue
            drawing.next += 1
            if drawing.next == len(drawing.steps.timesteps):
                finished.append((drawing, self._lane.read(slot)))
                self._lane.free(slot)
                self._drawn[slot] = None
        return finished

    def close(self) -> None:
        """End the threads that make noise."""
        self._noise.close()

    def _wanted(self, ahead: int) -> list[tuple[int, int] | None]:
        return [None if drawing is None else (drawing.number, drawing.next + ahead) for drawing in self._drawn]


class _NoiseAhead(Closing):
    """Noise of a step, made by threads while the step before is computed, one for each slot as far as there are cores.

    Parameters
    ----------
    seed
        Of the noise.
    shape
        (batch, …) of it.
    """

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        self._seed = seed
        self._now: Float32 = np.zeros(shape, np.float32)
        self._ahead: Float32 = np.zeros(shape, np.float32)
        self._made: list[tuple[int, int] | None] = [None] * shape[0]
        self._pool = ThreadPoolExecutor(min(shape[0], count_cores()), "noise")
        self._pending: list[Future[None]] = []

    def prepare(self, wanted: list[tuple[int, int] | None]) -> None:
        """Begin to make the noise of (block, evaluation) for every slot."""
        self._made = wanted
        self._pending = self._begin(wanted, self._ahead)

    def take(self, wanted: list[tuple[int, int] | None]) -> Float32:
        """Noise of (block, evaluation) for every slot, valid until the next is taken."""
        self._finish(self._pending)
        self._now, self._ahead = self._ahead, self._now
        new = [want if want != made else None for want, made in zip(wanted, self._made, strict=True)]
        self._finish(self._begin(new, self._now))
        return self._now

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _begin(self, wanted: list[tuple[int, int] | None], out: Float32) -> list[Future[None]]:
        return [
            self._pool.submit(normal_noise, self._seed, np.array([want[0]]), want[1], out[slot : slot + 1])
            for slot, want in enumerate(wanted)
            if want is not None
        ]

    def _finish(self, pending: list[Future[None]]) -> None:
        for future in pending:
            future.result()
