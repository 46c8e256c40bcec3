"""All lanes of an engine on a sequence of batches: results in order, a bounded number in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import Engine, Lane

Item = TypeVar("Item")
Result = TypeVar("Result")
IN_FLIGHT_PER_LANE = 2


def run_lanes(engine: Engine, items: Iterable[Item], work: Callable[[Lane, Item], Result]) -> Iterator[Result]:
    """Do work on an engine, as many items at a time as it has lanes.

    Parameters
    ----------
    engine
        Open.
    items
        Taken one by one, on the caller's thread.
    work
        Called with a lane and an item, on any thread. What a lane returns is valid until its next run: copy.

    Yields
    ------
    Result
        In the order of the items.
    """
    free: SimpleQueue[Lane] = SimpleQueue()
    for _ in range(engine.info.lanes):
        free.put(engine.lane())

    def task(item: Item) -> Result:
        lane = free.get()
        try:
            return work(lane, item)
        finally:
            free.put(lane)

    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(engine.info.lanes) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(task, item))
                if len(waiting) > IN_FLIGHT_PER_LANE * engine.info.lanes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


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
