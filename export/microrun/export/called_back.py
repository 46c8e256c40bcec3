"""Jobs of libraries that call back, where ours are generators."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from microrun.runtime.progress import Job, Progress, Result

WAKE_S = 0.2
Tell = Callable[[Progress], None]


class AbandonedError(Exception):
    """Nobody waits for this job any more."""


def follow(work: Callable[[Tell], Result]) -> Job[Result]:
    """Make a job of work that tells its progress by calls; it is done in a thread of its own.

    Parameters
    ----------
    work
        Its next call raises once the job is given up, which then waits for its end.

    Returns
    -------
    Result
        What the work returns; what it raises is raised here.
    """
    told: SimpleQueue[Progress | None] = SimpleQueue()
    abandoned = threading.Event()

    def tell(now: Progress) -> None:
        if abandoned.is_set():
            raise AbandonedError
        told.put(now)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work, tell)
        working.add_done_callback(lambda _: told.put(None))
        try:
            while (now := _wait_for(told)) is not None:
                yield now
        finally:
            abandoned.set()
        return working.result()


def _wait_for(told: SimpleQueue[Progress | None]) -> Progress | None:
    while True:
        with contextlib.suppress(Empty):  # on Windows, Ctrl-C is not seen within a wait
            return told.get(timeout=WAKE_S)
