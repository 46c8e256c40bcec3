"""All lanes of an engine at once: each takes an item and works on it; results come in the order of the items."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import Engine, Lane
from microrun.runtime.files.closing import Closing

Item = TypeVar("Item")
Result = TypeVar("Result")
PENDING_PER_LANE = 2
WAKE_S = 0.2


class OrderedPool(Closing, Generic[Item, Result]):
    """Threads that each take an item and work on it: an iterator of the results, in the order of the items.

    Leave it by ``with``, or exhaust it. An error comes in the place of its result; nothing comes after it.

    Parameters
    ----------
    take
        Gives the next item, None at the end. Called by one thread at a time; it may wait.
    workers
        What each of the threads does with an item.
    pending
        Items that may be taken and not yet delivered.
    """

    def __init__(
        self, take: Callable[[], Item | None], workers: Sequence[Callable[[Item], Result]], pending: int
    ) -> None:
        self._take_item, self._pending = take, pending
        self._changed = threading.Condition()
        self._taking = threading.Lock()
        self._results: dict[int, Result | BaseException] = {}
        self._taken = self._delivered = 0
        self._ended = self._failed = False
        self._threads = [threading.Thread(target=self._work, args=(worker,), daemon=True) for worker in workers]
        for thread in self._threads:
            thread.start()

    def ready(self, timeout_s: float) -> bool:
        """Wait at most so long for the next result; True if it is there, or none will come."""
        with self._changed:
            return self._changed.wait_for(self._is_ready, timeout_s)

    def close(self) -> None:
        """Take nothing more, and wait for the threads. Whoever closes it sees to it that `take` does not wait."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        with self._changed:
            while not self._changed.wait_for(self._is_ready, WAKE_S):
                pass  # on Windows, Ctrl-C is not seen within a wait
            if self._failed or self._delivered not in self._results:
                raise StopIteration
            result = self._results.pop(self._delivered)
            self._delivered += 1
            self._failed = isinstance(result, BaseException)
            self._changed.notify_all()
        if isinstance(result, BaseException):
            raise result
        return result

    def _is_ready(self) -> bool:
        over = self._failed or (self._ended and self._delivered >= self._taken)
        return over or self._delivered in self._results

    def _work(self, worker: Callable[[Item], Result]) -> None:
        while (taken := self._take()) is not None:
            number, item = taken
            try:
                result: Result | BaseException = item if isinstance(item, BaseException) else worker(item)
            except BaseException as error:  # whatever it is, the consumer must hear of it
                result = error
            self._put(number, result)

    def _take(self) -> tuple[int, Item | BaseException] | None:
        """Take the next item, or the error that came instead; one thread at a time, so that order is kept."""
        with self._taking:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._taken - self._delivered < self._pending)
            if self._ended:
                return None
            try:
                item: Item | BaseException | None = self._take_item()
            except BaseException as error:
                item = error
            with self._changed:
                if item is None or isinstance(item, BaseException):
                    self._ended = True
                    self._changed.notify_all()
                if item is None:
                    return None
                self._taken += 1
                return self._taken - 1, item

    def _put(self, number: int, result: Result | BaseException) -> None:
        with self._changed:
            self._results[number] = result
            self._ended = self._ended or isinstance(result, BaseException)
            self._changed.notify_all()


def run_lanes(
    engine: Engine, items: Iterable[Item], work: Callable[[Lane, Item], Result]
) -> Generator[Result, None, None]:
    """Do work on an engine, as many items at a time as it has lanes. Close it, or exhaust it: its threads end then.

    Parameters
    ----------
    engine
        Open.
    items
        Taken one by one, on any thread; none is None.
    work
        Called with a lane and an item, on any thread. What a lane returns is valid until its next run: copy.

    Yields
    ------
    Result
        In the order of the items.
    """
    waiting = iter(items)
    workers = [partial(work, engine.lane()) for _ in range(engine.info.lanes)]
    with OrderedPool(lambda: next(waiting, None), workers, PENDING_PER_LANE * len(workers)) as pool:
        yield from pool


def run_all(engine: Engine, inputs: Float32) -> Float32:
    """Run many inputs at once.

    Parameters
    ----------
    engine
        Open.
    inputs
        (n, *input_shape) float32, n at least 1.

    Returns
    -------
    (n, *output_shape) float32
    """
    batches = (inputs[first : first + engine.info.batch] for first in range(0, len(inputs), engine.info.batch))
    return np.concatenate(list(run_lanes(engine, batches, lambda lane, batch: lane.run(batch).copy())))
