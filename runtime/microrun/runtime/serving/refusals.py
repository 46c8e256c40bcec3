"""What the operator hears of clients that are refused: each reason once, and how often it came again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

Say = Callable[[Literal["scan", "encoded", "warning"], str], None]
QUIET_S = 60.0  # for which a reason that was told is only counted
MOST = 16  # reasons that are told meanwhile
OTHERS = "for further reasons, which are only counted"


class Refusals:
    """Tell an operator of refusals; a client that tries again and again must not fill the terminal.

    Parameters
    ----------
    say
        Tells the operator, from any thread.
    """

    def __init__(self, say: Say) -> None:
        self._say, self._lock = say, threading.Lock()
        self._told: dict[str, tuple[float, int]] = {}  # when, and how often it came since

    def tell(self, reason: object) -> None:
        """Take note of a refusal; it is told at once if it is new."""
        with self._lock:
            text = str(reason)
            if text not in self._told and len(self._told) >= MOST:
                text = OTHERS
            known = text in self._told
            at, more = self._told.get(text, (time.monotonic(), -1))
            self._told[text] = at, more + 1
        if not known:
            self._say("warning", f"a client was refused: {text}")

    def tell_counted(self, quiet_s: float = QUIET_S) -> None:
        """Tell how often reasons came again that were told so long ago; from then on they are new."""
        with self._lock:
            due = [text for text, (at, _) in self._told.items() if time.monotonic() - at >= quiet_s]
            counted = [(text, self._told.pop(text)[1]) for text in due]
        for text, more in counted:
            if more:
                often = "once more" if more == 1 else f"{more:,} times more"
                self._say("warning", f"clients were refused {often}: {text}")
