"""Cases worked off: what is finished is written, though workers die."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import finish
from microrun.training.simulate.campaign.cases import Case
from microrun.training.simulate.campaign.work import work_off

CASES = [Case(number, 150.0, 1.0) for number in range(4)]
GOES_ON = "of 5 cases are not finished, since a worker died or ran out of memory; .* the same command goes on"


def die_at_last(case: Case) -> int:
    """Ends the process at case 2, when 0 and 1 are finished."""
    if case.number == 2:
        time.sleep(0.2)  # results of the first are on their way
        os._exit(1)
    return case.number


def run_out_at_first(case: Case) -> int:
    if case.number == 0:
        raise MemoryError
    if case.number == 1:
        raise MicrorunError("nothing melts")
    return case.number


def work(executor: Executor, make: Any) -> list[int]:
    """Numbers of the cases that are kept; five in all, of which one was there."""
    kept: list[int] = []
    with executor, pytest.raises(MicrorunError, match=GOES_ON) as error:
        finish(work_off(executor, make, lambda case, made: kept.append(made), CASES, 5))
    assert "\n" not in str(error.value)
    return kept


def test_what_is_finished_is_kept_when_a_process_dies() -> None:
    assert work(ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")), die_at_last) == [0, 1]


def test_the_others_are_finished_when_one_runs_out_of_memory() -> None:
    assert work(ThreadPoolExecutor(1), run_out_at_first) == [2, 3]


def test_results_that_come_after_a_broken_one_are_kept() -> None:
    class Broken(Executor):
        """Of three futures the first is broken, and the fourth case is not taken."""

        def submit(self, make: Any, /, *args: Any, **_: Any) -> Future[Any]:
            if args[0].number == 3:
                raise BrokenExecutor
            future: Future[Any] = Future()
            if args[0].number == 0:
                future.set_exception(BrokenExecutor())
            else:
                future.set_result(make(*args))
            return future

    assert sorted(work(Broken(), lambda case: case.number)) == [1, 2]


def test_an_executor_that_takes_nothing() -> None:
    executor = ThreadPoolExecutor(1)

    def submit(*_: object) -> Future[Any]:
        raise BrokenExecutor

    executor.submit = submit  # type: ignore[method-assign,assignment]
    assert work(executor, run_out_at_first) == []
