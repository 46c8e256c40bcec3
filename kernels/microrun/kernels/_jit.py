"""The one place for numba's flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

# Reordering and contraction let LLVM vectorise sums; the flags "nnan" and "ninf" stay out, since patterns
# may hold NaN and Inf and the kernels must see them.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile for threads: no GIL, compiled once per machine and cached on disk."""
    options: dict[str, Any] = {"nogil": True, "fastmath": FASTMATH, "cache": True, "boundscheck": False}
    compiled: Callable[P, R] = numba.njit(**options)(function)
    return compiled


def exact_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile as `kernel` does, but without fast-math: every operation rounds as IEEE 754 says."""
    options: dict[str, Any] = {"nogil": True, "cache": True, "boundscheck": False}
    compiled: Callable[P, R] = numba.njit(**options)(function)
    return compiled


def inline(function: Callable[P, R]) -> Callable[P, R]:
    """Compile as a part of other kernels."""
    options: dict[str, Any] = {"nogil": True, "fastmath": FASTMATH, "inline": "never"}
    compiled: Callable[P, R] = numba.njit(**options)(function)
    return compiled
