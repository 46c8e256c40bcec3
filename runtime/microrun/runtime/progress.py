"""Long jobs: generators of records, whose return value is their result."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Parameters
    ----------
    done, total
        Pieces of work, such as patterns.
    phase
        What is being done, for people; empty where a job does one thing only.

    Examples
    --------
    >>> from microrun.runtime import Progress
    >>> Progress(30, 120)
    Progress(done=30, total=120, phase='')
    """

    done: int
    total: int
    phase: str = ""


Job = Generator[Progress, None, Result]


def finish(job: Generator[object, None, Result]) -> Result:
    """Result of a job, run to its end.

    Parameters
    ----------
    job
        What a function that takes long has returned. Nothing of it is done before it is asked for its first record.

    Returns
    -------
    Result
        What the job returns.

    Examples
    --------
    >>> def count(total):
    ...     for done in range(total):
    ...         yield Progress(done, total)
    ...     return total
    >>> finish(count(3))
    3
    """
    while True:
        try:
            next(job)
        except StopIteration as end:
            result: Result = end.value
            return result
