"""The client in C as a library: what programs see when a service ends, is killed, or two threads use a scan."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encode_runs import SIG_SHAPE, SPEC
from services import LONG_S, NAV_SHAPE, Running, running, some_patterns
from streams import wait_until

from microrun.runtime.serving.client_export import FILES
from microrun.runtime.serving.wire import Code
from microrun.runtime.testing import ProjectionEngine

PATTERN = some_patterns()[0]
STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC")

pytestmark = pytest.mark.skipif(os.name == "nt" or shutil.which("gcc") is None, reason="needs gcc")


class Scan:
    """A scan of the library."""

    def __init__(self, library: ctypes.CDLL, token_file: Path, nav_shape: tuple[int, int]) -> None:
        self.library, self.scan = library, ctypes.c_void_p()
        place, step_um, out = os.fsencode(token_file), ctypes.c_double(1), ctypes.byref(self.scan)
        self.size = library.mr_open(place, None, *nav_shape, *SIG_SHAPE, 2, step_um, out)
        assert self.size == SPEC.latent_size, self.message

    @property
    def message(self) -> str:
        return str(self.library.mr_message(self.scan).decode())

    def push(self, index: int) -> int:
        return int(self.library.mr_push(self.scan, ctypes.c_uint64(index), _address(PATTERN), 0))

    def latents(self, timeout_ms: int) -> int:
        indices, latents = np.zeros(8, np.uint64), np.zeros((8, self.size), np.float32)
        return int(self.library.mr_latents(self.scan, _address(indices), _address(latents), 8, timeout_ms))

    def commit(self, index: int) -> int:
        return int(self.library.mr_commit(self.scan, ctypes.c_uint64(index)))

    def finish(self) -> int:
        return int(self.library.mr_finish(self.scan))


def _address(array: np.ndarray[Any, Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    made = tmp_path_factory.mktemp("library") / "libmicrorun_client.so"
    words = ["gcc", *STRICT, str(FILES / "microrun_client.c"), "-o", str(made), "-lpthread"]
    subprocess.run(words, check=True, timeout=120)
    loaded = ctypes.CDLL(str(made))
    loaded.mr_message.restype, loaded.mr_slot.restype = ctypes.c_char_p, ctypes.c_void_p
    return loaded


@contextmanager
def opened(library: ctypes.CDLL, folder: Path, nav_shape: tuple[int, int] = NAV_SHAPE) -> Iterator[Scan]:
    scan = Scan(library, folder / "serve.token", nav_shape)
    try:
        yield scan
    finally:
        library.mr_close(scan.scan)


def test_a_push_hears_that_the_service_was_killed(
    library: ctypes.CDLL, killable: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with opened(library, tmp_path, (100, 100)) as scan:
        assert scan.push(0) == 0
        killable.kill()
        codes = list[int]()
        while Code.GONE not in codes:
            time.sleep(0.01)
            codes.append(scan.push(len(codes) + 1))
        assert scan.message == "the service went away"
        assert scan.push(9_999) == Code.GONE  # it stays so
        assert not scan.library.mr_slot(scan.scan, 0)


def test_a_full_ring_of_a_killed_service_is_not_called_full(
    library: ctypes.CDLL, killable: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with opened(library, tmp_path, (100, 100)) as scan:
        killable.kill()
        killable.wait()
        codes = [scan.push(index) for index in range(2000)]  # at once: more than the ring has room for
    assert Code.FULL not in codes and codes[-1] == Code.GONE


def test_a_scan_is_finished_while_another_thread_waits_for_latents(
    library: ctypes.CDLL, service: Running, tmp_path: Path
) -> None:
    with opened(library, tmp_path) as scan:
        codes: list[int] = []
        waiting = threading.Thread(target=lambda: codes.append(scan.latents(-1)), daemon=True)
        waiting.start()
        time.sleep(0.05)  # it has asked by then, as a rule
        finishing = threading.Thread(target=lambda: codes.append(scan.finish()), daemon=True)
        finishing.start()
        for thread in (finishing, waiting):
            thread.join(LONG_S)
        assert sorted(codes) == [Code.END, 0]


def test_a_slot_is_lost_by_a_push_and_by_the_end_of_the_scan(
    library: ctypes.CDLL, service: Running, tmp_path: Path
) -> None:
    with opened(library, tmp_path) as scan:
        assert library.mr_slot(scan.scan, -1)
        assert scan.push(0) == 0
        assert scan.commit(1) == Code.ARGUMENT and "must follow mr_slot" in scan.message
        assert library.mr_slot(scan.scan, -1)
        assert scan.finish() == 0
        assert scan.commit(1) == Code.GONE


def test_a_client_that_was_silent_is_told_why_its_scan_has_ended(library: ctypes.CDLL, tmp_path: Path) -> None:
    with running(tmp_path, ProjectionEngine(SPEC), idle_timeout_s=0.1) as service, opened(library, tmp_path) as scan:
        wait_until(lambda: "has said nothing for" in service.warnings())
        wait_until(lambda: scan.push(0) == Code.GONE)
        assert scan.latents(0) == Code.GONE and "has said nothing for" in scan.message
        assert scan.latents(0) == Code.GONE


def test_a_long_path_is_cut_and_the_scan_goes_on(library: ctypes.CDLL, tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["f" * 200] * 3)
    with (
        running(folder, ProjectionEngine(SPEC), token_file=tmp_path / "serve.token"),
        opened(library, tmp_path) as scan,
    ):
        assert scan.message.startswith(str(tmp_path)) and len(scan.message) == 511
        assert scan.push(0) == 0
