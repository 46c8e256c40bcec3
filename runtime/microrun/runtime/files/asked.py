"""What a command was asked about its outputs, from the check of a name until the file has it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

_answers: ContextVar[dict[Path, bool] | None] = ContextVar("answers", default=None)


@contextlib.contextmanager
def answers_hold() -> Iterator[None]:
    """Hold, while a command runs, what its checks of names found: one that was free must be free when it is taken.

    Minutes of work lie between: without this, what another program puts there meanwhile would be replaced. Answers
    hold in the thread that began; what other threads write, such as those of a service, they check for themselves.
    """
    token = _answers.set({})
    try:
        yield
    finally:
        _answers.reset(token)


def remember(path: Path, replace: bool) -> None:
    """Note of a name whether what has it may be replaced; nothing is noted outside of a command.

    Parameters
    ----------
    path
        The file to make.
    replace
        Whether one that is there may be replaced.
    """
    answers = _answers.get()
    if answers is not None:
        answers[path.absolute()] = replace


def may_replace(path: Path) -> bool:
    """Whether a file may be replaced: as its check said, and where there was none, what is there may.

    Parameters
    ----------
    path
        The file to make.
    """
    return (_answers.get() or {}).get(path.absolute(), os.path.lexists(path))
