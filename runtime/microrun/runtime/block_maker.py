"""Threads that draw blocks of a volume, each with a lane of the denoiser whose slots are kept full."""

from __future__ import annotations

import contextlib
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.noise import normal_noise
from microrun.runtime.closing import Closing
from microrun.runtime.denoiser import Denoiser, StepLane
from microrun.runtime.errors import EngineError
from microrun.runtime.sampling import Steps, plan_steps
from microrun.runtime.volume import BlockFolder

Float32 = NDArray[np.float32]


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
        self._denoiser, self._folder = denoiser, folder
        schedule, sampling = denoiser.diffusion.schedule, folder.blueprint.sampling
        self.steps = {has_known: plan_steps(schedule, sampling, has_known) for has_known in (False, True)}
        self._has_known = folder.tiling.has_known
        self._queue: queue.PriorityQueue[tuple[float, Future[None] | None]] = queue.PriorityQueue()
        self._stopped = False
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

        Once a lane has failed or the maker is closed, futures of blocks that are not finished hold an error.
        """
        future: Future[None] = Future()
        if self._stopped:
            future.set_exception(EngineError("no more blocks are made: an engine has failed, or was closed"))
            return future
        self._queue.put((number, future))
        return future

    def steps_of(self, number: int) -> Steps:
        """The steps that a block takes: those that find known voxels take more."""
        return self.steps[bool(self._has_known[number])]

    def close(self) -> None:
        """Give unfinished blocks up, and end the threads."""
        self._stopped = True
        for _ in self._threads:
            self._queue.put((-1.0, None))  # wakes one that waits
        for thread in self._threads:
            thread.join()

    def _work(self, lane_number: int) -> None:
        futures: dict[int, Future[None]] = {}
        failure: Exception = EngineError("a block was given up")
        try:
            with _Crew(self._denoiser.lane(), self) as crew:
                while self._take(crew, futures):
                    finished = crew.step()
                    self._counts[lane_number] += len(futures)
                    for number, block in finished:
                        self._folder.store(number, block)
                        futures.pop(number).set_result(None)
        except Exception as error:
            failure = error
        self._give_up(futures, failure)

    def _take(self, crew: _Crew, futures: dict[int, Future[None]]) -> bool:
        """Fill idle slots with what waits; wait only if all are idle. False to end."""
        while not self._stopped and crew.idle:
            try:
                number, future = self._queue.get(block=not futures)
            except queue.Empty:
                break
            if future is None:
                return False
            futures[int(number)] = future
            crew.begin(int(number), self.steps_of(int(number)), self._folder)
        return not self._stopped

    def _give_up(self, futures: dict[int, Future[None]], failure: Exception) -> None:
        """End all threads, and give an error to whoever waits for a block."""
        self._stopped = True
        for future in futures.values():
            future.set_exception(failure)
        with contextlib.suppress(queue.Empty):
            while True:
                _, waiting = self._queue.get_nowait()
                if waiting is not None:
                    waiting.set_exception(failure)
        for _ in self._threads:
            self._queue.put((-1.0, None))


@dataclass
class _Job:
    """A block in a slot, and the number of its next evaluation."""

    number: int
    steps: Steps
    next: int = 0


class _Crew(Closing):
    """The slots of a lane, and the noise that they need next."""

    def __init__(self, lane: StepLane, maker: BlockMaker) -> None:
        diffusion = maker._denoiser.diffusion
        self._lane, self._shape = lane, diffusion.sample_shape
        self._jobs: list[_Job | None] = [None] * lane.batch
        self._timesteps = np.zeros(lane.batch, np.int32)
        self._coefficients = np.zeros((lane.batch, 5), np.float32)
        self._noise = _NoiseAhead(maker._folder.blueprint.seed, (lane.batch, *self._shape))

    @property
    def idle(self) -> bool:
        """Whether a slot is."""
        return None in self._jobs

    def begin(self, number: int, steps: Steps, folder: BlockFolder) -> None:
        """Put a block into an idle slot."""
        slot = self._jobs.index(None)
        x = np.empty((1, *self._shape), np.float32)
        normal_noise(folder.blueprint.seed, np.array([number]), 0, x)
        self._lane.load(slot, x[0], *folder.known(number))
        self._jobs[slot] = _Job(number, steps)

    def step(self) -> list[tuple[int, Float32]]:
        """Advance all blocks by one evaluation; returns those that are finished, whose slots are idle again."""
        for slot, job in enumerate(self._jobs):
            if job is not None:
                self._timesteps[slot] = job.steps.timesteps[job.next]
                self._coefficients[slot] = job.steps.coefficients[job.next]
        noise = self._noise.take(self._wanted(1))
        self._noise.prepare(self._wanted(2))
        self._lane.step(self._timesteps, self._coefficients, noise)
        finished = []
        for slot, job in enumerate(self._jobs):
            if job is None:
                continue
            job.next += 1
            if job.next == len(job.steps.timesteps):
                finished.append((job.number, self._lane.read(slot)))
                self._lane.free(slot)
                self._jobs[slot] = None
        return finished

    def close(self) -> None:
        """End the thread that makes noise."""
        self._noise.close()

    def _wanted(self, ahead: int) -> list[tuple[int, int] | None]:
        return [None if job is None else (job.number, job.next + ahead) for job in self._jobs]


class _NoiseAhead(Closing):
    """Noise of a step, made by a thread while the step before is computed.

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
        self._pool = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def prepare(self, wanted: list[tuple[int, int] | None]) -> None:
        """Begin to make the noise of (block, evaluation) for every slot."""
        self._made = wanted
        self._pending = self._pool.submit(self._fill, wanted, self._ahead)

    def take(self, wanted: list[tuple[int, int] | None]) -> Float32:
        """Noise of (block, evaluation) for every slot, valid until the next but one is taken."""
        if self._pending is not None:
            self._pending.result()
        self._now, self._ahead = self._ahead, self._now
        new = [want if want != made else None for want, made in zip(wanted, self._made, strict=True)]
        self._fill(new, self._now)
        return self._now

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()

    def _fill(self, wanted: list[tuple[int, int] | None], out: Float32) -> None:
        for slot, want in enumerate(wanted):
            if want is not None:
                number, evaluation = want
                normal_noise(self._seed, np.array([number]), evaluation, out[slot : slot + 1])
