"""Engines after a fork: their threads stay behind, and whoever runs them would wait without end."""

from __future__ import annotations

import os

from microrun.runtime.errors import EngineError


class OwnProcess:
    """The process that something is made in."""

    def __init__(self) -> None:
        self._number = os.getpid()

    def check(self) -> None:
        """Raise EngineError in another process."""
        if os.getpid() != self._number:
            raise EngineError(
                "the engine was opened before this process was forked, and its threads stayed behind: open it in each "
                "process, or start processes by 'spawn'"
            )
