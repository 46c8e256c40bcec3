"""Cores that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # as a container sees its own limits


def count_cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than its container's share of their time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _read_share()
    return bound if share is None else max(1, min(bound, math.ceil(share)))


def _read_share() -> float | None:
    """Cores' worth of time that a control group allows, of version 2 or 1; None without a limit."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        quota, period = (_read(f"cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def _read(name: str) -> str:
    try:
        return (CGROUP / name).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
