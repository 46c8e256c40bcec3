"""How the benchmarks measure work: its time, and the memory that it needs."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

PROCESS = Path("/proc/self")
RESET_PEAK = "5"  # see man proc_pid_clear_refs


def seconds_of(work: Callable[[], object]) -> float:
    """Time of one run."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_bytes(work: Callable[[], object]) -> int | None:
    """Memory that work takes at most, beyond what is in use; None, and nothing done, where no Linux with glibc is."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before is given back, and so is counted when taken again
        (PROCESS / "clear_refs").write_text(RESET_PEAK, encoding="utf-8")
        before = _read_status("VmRSS")
    except (OSError, AttributeError, TypeError):
        return None
    work()
    return _read_status("VmHWM") - before


def _read_status(name: str) -> int:
    lines = (PROCESS / "status").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith(name))
    return 1024 * int(line.split()[1])
