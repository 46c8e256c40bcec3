"""Threads that draw blocks of a volume, each with a lane of the denoiser whose slots are kept full."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from concurrent.futures import Future

from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.errors import EngineError
from microrun.runtime.files.closing import Closing
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.block_steps import kinds_of_blocks, tabulate_kinds
from microrun.runtime.generation.crew import Crew, Drawing
from microrun.runtime.generation.scale import tell_size


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
        self._steps = tabulate_kinds(denoiser.diffusion, folder.blueprint.sampling)
        self._kinds = kinds_of_blocks(folder.tiling)
        self._condition = tell_size(denoiser.spec, folder.blueprint.grain_voxels)
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
            with Crew[Future[None]](self._denoiser.lane(), shape, seed) as crew:
                while self._take(crew, futures):
                    finished = crew.step()
                    self._counts[lane_number] += len(futures)
                    for drawn, block in finished:
                        self.folder.store(drawn.number, block)
                        futures.remove(drawn.owner)
                        drawn.owner.set_result(None)
        except Exception as error:  # whatever it is, those who wait for blocks are to hear of it
            self._give_up(error)
        for future in futures:
            future.set_exception(self._failure)

    def _take(self, crew: Crew[Future[None]], futures: set[Future[None]]) -> bool:
        """Fill idle slots with what waits; wait only if all are idle. False to end."""
        while self._failure is None and crew.idle:
            try:
                number, _, future = self._waiting.get(block=not futures)
            except queue.Empty:
                break
            if future is None:
                break
            futures.add(future)
            steps = self._steps[self._kinds[number]]  # those that find known voxels take more
            crew.begin(Drawing(future, number, steps), *self.folder.known(number), self._condition)
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
