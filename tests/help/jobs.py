"""Jobs run to their end, and what they said of their progress."""

from __future__ import annotations

from microrun.runtime.progress import Job, Progress, Result


def watch(job: Job[Result]) -> tuple[list[Progress], Result]:
    """All records of a job, and its result."""
    seen: list[Progress] = []
    while True:
        try:
            seen.append(next(job))
        except StopIteration as end:
            return seen, end.value
