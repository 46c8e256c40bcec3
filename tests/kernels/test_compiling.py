"""Numba's cache stays where it is, whatever is imported meanwhile."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest

from microrun.kernels import compiling
from microrun.kernels.compiling import CACHE, exact_kernel, fast_kernel, kept_cache

INDEXING = """
import gc
gc.disable()  # numba makes nothing but objects that stay
import numpy as np
from orix.quaternion import Rotation
from microrun.runtime import Geometry, Indexer
Indexer(Geometry((0.42, 0.79, 0.50)), (60, 60), (120, 120))
(~Rotation.identity()).data
"""


@pytest.mark.parametrize("before", [None, "here"])
def test_a_library_that_moves_the_cache_is_undone(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as changed:
        if before is None:
            changed.delenv(CACHE, raising=False)
        else:
            changed.setenv(CACHE, str(tmp_path / before))
        with kept_cache():
            os.environ[CACHE] = "elsewhere"
            numba.config.reload_config()  # type: ignore[no-untyped-call]
        assert os.environ.get(CACHE) == (None if before is None else str(tmp_path / before))
        assert os.environ.get(CACHE, "") == numba.config.CACHE_DIR
    numba.config.reload_config()  # type: ignore[no-untyped-call]


@pytest.mark.slow
def test_indexing_runs_where_nothing_was_compiled_yet_and_again(tmp_path: Path) -> None:
    """PyEBSDIndex moves the cache to a folder of all its installations, and what orix loads from there dies."""
    for _ in range(2):
        environment = {**os.environ, CACHE: str(tmp_path / "numba")}
        done = subprocess.run([sys.executable, "-c", INDEXING], env=environment, timeout=300, capture_output=True)
        assert done.returncode == 0, done.stderr[-1000:]


UFUNC = """
import numba

@numba.njit
def other(x):
    return x + 1

@numba.guvectorize("(n)->(n)", cache=True)
def turned(row, out):
    out[:] = row[::-1]
"""


def double(number: float) -> float:
    return 2 * number


@pytest.mark.parametrize("kind", [fast_kernel, exact_kernel])
def test_where_nothing_can_be_kept_kernels_are_compiled_all_the_same(
    kind: Callable[[Callable[[float], float]], Callable[[float], float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where neither the installation nor the home can be written; numba raises then."""
    njit = numba.njit

    def without_cache(*functions: Any, **options: Any) -> Any:
        if options.pop("cache", False):
            return lambda function: (_ for _ in ()).throw(RuntimeError(f"cannot cache function {function.__name__!r}"))
        return njit(*functions, **options)

    monkeypatch.setattr(numba, "njit", without_cache)
    compiling._say_not_kept.cache_clear()
    with pytest.warns(UserWarning, match="compiled at every start.*NUMBA_CACHE_DIR") as said:
        kernels = [kind(double), kind(double)]
    assert len(said) == 1
    assert [kernel(1.5) for kernel in kernels] == [3, 3]


DOUBLING = """
from microrun.kernels.compiling import exact_kernel

@exact_kernel
def double(number):
    return number + number
"""


def test_processes_that_compile_at_the_same_time_do_not_mix_up_what_they_keep(tmp_path: Path) -> None:
    (tmp_path / "doubling.py").write_text(DOUBLING)

    def run(call: str) -> str:
        code = f"from doubling import double; print(double({call}), sum(double.stats.cache_hits.values()))"
        environment = {name: value for name, value in os.environ.items() if name != CACHE}
        return subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, timeout=300, capture_output=True, check=True
        ).stdout.decode()

    assert run("1") == "2 0\n"
    (index,) = tmp_path.glob("__pycache__/*.nbi")
    first = index.read_bytes()
    index.unlink()  # another process had looked before the first wrote it
    assert run("1.5") == "3.0 0\n"
    index.write_bytes(first)  # and its own was the earlier one
    assert run("1") == "2 1\n"


def test_what_is_kept_is_not_taken_once_any_file_of_kernels_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is inlined into a kernel of another file, for example."""
    path = tmp_path / "adding.py"
    path.write_text("def add(x):\n    return x + 1\n")

    def taken_from_cache() -> bool:
        spec = importlib.util.spec_from_file_location("adding", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        add: Any = exact_kernel(module.add)
        assert add(1) == 2
        return bool(add.stats.cache_hits)

    assert [taken_from_cache(), taken_from_cache()] == [False, True]
    monkeypatch.setattr(compiling, "_hash_kernels", lambda: "changed")
    assert [taken_from_cache(), taken_from_cache()] == [False, True]


def run_kept(folder: Path, statements: str) -> None:
    environment = {**os.environ, CACHE: str(folder / "numba"), "PYTHONPATH": str(folder)}
    script = f"import microrun.kernels.compiling, numpy, ufuncs\n{statements}"
    done = subprocess.run([sys.executable, "-c", script], env=environment, timeout=120, capture_output=True)
    assert done.returncode == 0, done.stderr[-1000:]


def test_a_wrapper_that_another_process_kept_is_not_called(tmp_path: Path) -> None:
    """As after two that compiled at the same time: the kernel is of one, the wrapper would be of the other."""
    (tmp_path / "ufuncs.py").write_text(UFUNC)
    call = "assert ufuncs.turned(numpy.arange(3.0), numpy.zeros(3)).tolist() == [2, 1, 0]"
    run_kept(tmp_path, call)
    kernels = [path for path in (tmp_path / "numba").rglob("*.nb?") if not path.name.startswith("guf-")]
    assert kernels
    for path in kernels:
        path.unlink()
    run_kept(tmp_path, f"ufuncs.other(1)\n{call}")  # the kernel is the second that this process compiles
