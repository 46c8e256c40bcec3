"""Cases worked off by an executor: what is finished is kept, whatever becomes of the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from typing import TypeVar

from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.progress import Job, Progress
from microrun.training.simulate.campaign.cases import Case

Made = TypeVar("Made")


def work_off(
    executor: Executor,
    make: Callable[[Case], Made],
    keep: Callable[[Case, Made], object],
    missing: Sequence[Case],
    total: int,
) -> Job[None]:
    """Make the cases that are missing, with a record of progress after each.

    Parameters
    ----------
    executor
        That makes them.
    make
        What makes a case; it can be pickled where the executor asks for it.
    keep
        What writes a case, here, as soon as it is made.
    missing
        The cases.
    total
        Number of all cases, with those that are there.

    Raises
    ------
    MicrorunError
        If a case cannot be made, or a worker died or ran out of memory: the others are finished first, if they can
        be, and kept.
    OutputError
        If one cannot be written.
    """
    futures: dict[Future[Made], Case] = {}
    done, failed = total - len(missing), []
    yield Progress(done, total)
    try:
        with contextlib.suppress(BrokenExecutor):  # what was not begun is counted below
            for case in missing:
                futures[executor.submit(make, case)] = case
        for future in as_completed(futures):
            try:
                keep(futures[future], future.result())
            except (BrokenExecutor, MemoryError):  # the results of others are there, or still come
                continue
            except OutputError:
                raise
            except MicrorunError as error:
                failed.append(str(error))
            done += 1
            yield Progress(done, total, f"{len(failed)} failed" if failed else "")
    finally:
        for future in futures:
            future.cancel()
    if done < total:
        raise MicrorunError(
            f"{total - done} of {total} cases are not finished, since a worker died or ran out of memory; "
            "finished ones are kept: the same command goes on with the others"
        )
    if failed:
        raise MicrorunError(f"{len(failed)} of {total} cases cannot be simulated; the first: {sorted(failed)[0]}")
