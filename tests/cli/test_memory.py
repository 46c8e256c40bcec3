"""Too little memory: one line and an exit code, whatever a library raises."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import check_refused, finish, run_here, start
from make_latents import write_features

from microrun.cli import memory

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 2.5 GiB for an array"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("std::bad_alloc"),
        ImportError("libx.so: failed to map segment from shared object: Cannot allocate memory"),
        SystemError("error return without exception set"),
    ],
    ids=lambda error: str(error)[:20],
)
def test_whatever_says_that_memory_is_exhausted_is_one_line(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("microrun.cli.maps.open_latents", fail)
    monkeypatch.setattr(memory, "_limit_bytes", lambda: 4 * memory.LEAST_BYTES)
    ran = run_here(capsys, "maps", tmp_path / "scan.latents.h5")
    check_refused(ran, "not enough memory (", "ulimit -v", code=1)


def test_a_broken_library_is_no_lack_of_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ImportError("libgomp.so.1: cannot allocate memory in static TLS block")

    monkeypatch.setattr("microrun.cli.maps.open_latents", fail)
    monkeypatch.setattr(memory, "_limit_bytes", lambda: None)
    check_refused(run_here(capsys, "maps", tmp_path / "scan.latents.h5"), "is installed but broken", "microrun doctor")


def test_other_errors_are_not_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("microrun.cli.maps.open_latents", fail)
    with pytest.raises(RuntimeError, match="of ours"):
        run_here(capsys, "maps", tmp_path / "scan.latents.h5")


@POSIX
@pytest.mark.parametrize("command", ["encode", "maps", "generate"])
def test_a_shell_that_allows_next_to_no_memory(tmp_path: Path, command: str) -> None:
    path = write_features(tmp_path / "scan.latents.h5", np.random.default_rng(0).random((6, 7, 3)))
    setup = "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))"
    out = ("--out", tmp_path / "out.npy") if command == "generate" else ()
    ran = finish(start(command, *(out or (path,)), setup=setup))
    check_refused(ran, "not enough memory: `ulimit -v` allows 1 GB of addresses; lift it to 1.3 GB", code=1)


def test_without_a_limit_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for limit in (resource.RLIM_INFINITY, -1, memory.LEAST_BYTES):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, limit=limit: (limit, limit))
        memory.check_limit()
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (10**9, 10**9))
    monkeypatch.setattr(sys, "platform", "win32")
    memory.check_limit()
