"""Batches of simulated patterns without end, made ahead by processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType

from microrun.runtime.cores import count_cores
from microrun.training.simulate.camera.patterns import CameraSimulator, Patterns

AHEAD = 3  # batches that each process may be ahead of what is asked for

_simulator: CameraSimulator | None = None  # of a process that makes patterns


class PatternStream:
    """Batch b of a simulator: its patterns b·n to b·n + n − 1, whoever makes them.

    Parameters
    ----------
    simulator
        What makes them.
    batch
        Patterns of a batch, n.
    processes
        That make batches while others are used, by default half as many as there are cores; with 0 each is made when
        it is asked for.
    """

    def __init__(self, simulator: CameraSimulator, batch: int, processes: int | None = None) -> None:
        self.simulator, self.batch = simulator, batch
        self._processes = max(1, count_cores() // 2) if processes is None else processes
        self._pool: ProcessPoolExecutor | None = None
        self._ahead: dict[int, Future[Patterns]] = {}

    def __enter__(self) -> PatternStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take(self, number: int) -> Patterns:
        """Patterns of a batch; those that follow are begun."""
        if not self._processes:
            return self.simulator.make(number * self.batch, self.batch)
        for later in range(number, number + 1 + AHEAD * self._processes):
            if later not in self._ahead:
                self._ahead[later] = self._start().submit(_make, later * self.batch, self.batch)
        for earlier in [old for old in self._ahead if old < number]:
            self._ahead.pop(earlier).cancel()
        return self._ahead.pop(number).result()

    def close(self) -> None:
        """End the processes; the next batch starts them again."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool, self._ahead = None, {}

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._processes,
                multiprocessing.get_context("spawn"),  # a forked one would hold the locks of torch's threads
                initializer=_begin,
                initargs=(self.simulator,),
            )
        return self._pool


def _begin(simulator: CameraSimulator) -> None:
    global _simulator
    _simulator = simulator
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: whoever asked for batches ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _make(first: int, count: int) -> Patterns:
    assert _simulator is not None
    return _simulator.make(first, count)
