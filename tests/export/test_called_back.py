"""Jobs of libraries that call back."""

from __future__ import annotations

import itertools
import threading

import pytest

from microrun.export.called_back import Tell, follow
from microrun.runtime.errors import EngineError
from microrun.runtime.progress import Progress, finish


def count(tell: Tell) -> str:
    for done in range(3):
        tell(Progress(done, 3))
    return "counted"


def test_calls_become_records_and_the_result_comes_last() -> None:
    assert list(follow(count)) == [Progress(done, 3) for done in range(3)]
    assert finish(follow(count)) == "counted"


def test_errors_come_through() -> None:
    def fail(tell: Tell) -> None:
        tell(Progress(0, 1))
        raise EngineError("broken")

    job = follow(fail)
    assert next(job) == Progress(0, 1)
    with pytest.raises(EngineError, match="broken"):
        next(job)


def test_work_that_is_given_up_ends_with_its_next_call() -> None:
    ended = threading.Event()

    def go_on(tell: Tell) -> None:
        try:
            for done in itertools.count():
                tell(Progress(done, 0))
        finally:
            ended.set()

    job = follow(go_on)
    next(job)
    with pytest.raises(KeyboardInterrupt):
        job.throw(KeyboardInterrupt)
    assert ended.is_set()
