"""How kernels are compiled: without the GIL, once per machine, with or without fast-math.

Functions that are called by kernels only are compiled the same way; LLVM decides what of them to inline.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core.caching import NullCache
from numba.np.ufunc import wrappers

P = ParamSpec("P")
R = TypeVar("R")

# Reordering and contraction let LLVM vectorise sums; the flags "nnan" and "ninf" stay out, since patterns
# may hold NaN and Inf and the kernels must see them.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
CACHE = "NUMBA_CACHE_DIR"
PROCESS = uuid.uuid4().hex[:12]
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "boundscheck": False}


def fast_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile for threads with fast-math, but with respect for NaN and infinity; cached beside the source."""
    return _compile(function, fastmath=FASTMATH)


def exact_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile for threads without fast-math: every operation rounds as IEEE 754 says; cached beside the source."""
    return _compile(function)


def _compile(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    compiled: Callable[P, R]
    try:
        compiled = numba.njit(**OPTIONS, **options)(function)
    except RuntimeError:  # nothing can be written beside the source, nor in the user's folder
        _say_not_kept()
        compiled = numba.njit(**{**OPTIONS, "cache": False}, **options)(function)
    _keep_apart(compiled)
    return compiled


def _keep_apart(compiled: Any) -> None:
    """Have this process keep what it compiles in files of its own.

    Numba numbers the files of a function, one for each signature. Two processes that compile others at the same time
    take the same number, and whoever loads that file later runs the code of the one with the arguments of the other.
    And numba looks whether the file of a function has changed, not those of the functions that are inlined into it.
    """
    kept = getattr(compiled._cache, "_cache_file", None)  # none where nothing is kept
    if kept is not None:
        kept._data_name_pattern = kept._data_name_pattern.replace("{number", f"{PROCESS}.{{number")
        kept._source_stamp = (kept._source_stamp, _hash_kernels())


def _link_anew() -> None:
    """Have this process make the wrappers of generalised ufuncs itself; their kernels still come from the cache.

    Numba keeps kernel and wrapper in two files. Where two processes compile at the same time, those of orix among
    others end up with the kernel of the one and the wrapper of the other, which calls what is not there: that process
    dies, and so does every later one (https://github.com/numba/numba/issues/10128). A wrapper takes 0.03 s.
    """
    assert hasattr(wrappers, "GufWrapperCache")  # else numba has another way of keeping them by now
    wrappers.GufWrapperCache = lambda py_func: NullCache()


_link_anew()


@functools.cache
def _hash_kernels() -> str:
    """SHA-256 of the source of all kernels."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _say_not_kept() -> None:
    text = f"kernels are compiled at every start, which takes a minute: name a folder of your own in {CACHE}"
    warnings.warn(text, stacklevel=4)


@contextlib.contextmanager
def kept_cache() -> Iterator[None]:
    """Leave numba's cache where it is, whatever a library does that is imported meanwhile."""
    before = os.environ.get(CACHE)
    try:
        yield
    finally:
        os.environ.pop(CACHE, None)
        os.environ.update({} if before is None else {CACHE: before})
        numba.config.reload_config()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Have numba use a single thread, for code of libraries whose threads add to the same numbers and lose some."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
