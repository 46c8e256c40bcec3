"""Ctrl-C, pressed once or several times: the first ends the command, those right after it mean the same."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

CODE = 130
PATIENCE_S = 5.0  # in which a command has time to end, and to keep what it has
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGBREAK") if hasattr(signal, name)]  # the other: of Windows
SHOW_CURSOR = "\x1b[?25h"  # a progress bar has hidden it
_pressed_s: float | None = None


def is_first() -> bool:
    """Whether Ctrl-C, which a handler was called for, is the first; one that comes seconds later ends the process."""
    global _pressed_s
    if _pressed_s is None:
        _pressed_s = time.monotonic()
        return True
    if time.monotonic() - _pressed_s > PATIENCE_S:
        show = SHOW_CURSOR if sys.stderr.isatty() else ""
        os.write(2, f"{show}error: interrupted at once; what was being written is dropped\n".encode())
        os._exit(CODE)
    return False


def heed(number: int, frame: object) -> None:
    """Raise KeyboardInterrupt for the first Ctrl-C: another would break off what the first has set going."""
    if is_first():
        raise KeyboardInterrupt


@contextmanager
def heeded() -> Iterator[None]:
    """Take Ctrl-C, and Ctrl-Break on Windows; after one, none is taken any more while Python itself ends."""
    global _pressed_s
    _pressed_s = None
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) != signal.default_int_handler:  # ignored, as by nohup
        yield
        return
    before = {number: signal.signal(number, heed) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if _pressed_s is None else signal.SIG_IGN)
