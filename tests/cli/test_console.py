"""Jobs as the command line shows them."""

from __future__ import annotations

import pytest

from microrun.cli.console import watch
from microrun.runtime.progress import Job, Progress


def count(keep_interrupted: bool) -> Job[int]:
    done = 0
    try:
        for done in range(1, 4):
            yield Progress(done, 3, "counting")
    except KeyboardInterrupt:
        if not keep_interrupted:
            raise
    return done


def test_every_record_is_shown_and_the_result_comes_back() -> None:
    shown: list[tuple[int, int, str]] = []
    assert watch(count(False), lambda done, total, note="": shown.append((done, total, note))) == 3
    assert shown == [(done, 3, "counting") for done in (1, 2, 3)]


def test_ctrl_c_reaches_the_job_while_it_is_shown() -> None:
    def interrupt(done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    assert watch(count(True), interrupt) == 2
    with pytest.raises(KeyboardInterrupt):
        watch(count(False), interrupt)
