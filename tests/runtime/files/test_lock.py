"""One writer per file, however the others come and go."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from microrun.runtime.files.lock import FileLock


def test_one_holds_it_and_the_next_takes_it_after(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    with FileLock(path), pytest.raises(BlockingIOError, match=r"scan\.h5\.lock is held"):
        FileLock(path)
    with FileLock(path):
        assert (tmp_path / "scan.h5.lock").exists()
    assert not list(tmp_path.iterdir())


def test_a_file_that_its_holder_removed_meanwhile_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, flock = FileLock(tmp_path / "scan.h5"), fcntl.flock

    def give_up_first(handle: int, how: int) -> None:
        first.close()  # after the second has opened the file, before it locks it
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", give_up_first)
    with FileLock(tmp_path / "scan.h5"):
        monkeypatch.setattr(fcntl, "flock", flock)
        with pytest.raises(BlockingIOError):
            FileLock(tmp_path / "scan.h5")


def test_a_disk_that_knows_no_locks_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with FileLock(tmp_path / "scan.h5"):
        pass
    assert not list(tmp_path.iterdir())


def test_of_many_that_want_it_one_at_a_time_has_it(tmp_path: Path) -> None:
    holders, most, taken, stop = 0, 0, 0, time.monotonic() + 0.5

    def work() -> None:
        nonlocal holders, most, taken
        while time.monotonic() < stop:
            try:
                lock = FileLock(tmp_path / "scan.h5")
            except BlockingIOError:
                continue
            holders, taken = holders + 1, taken + 1
            most = max(most, holders)
            time.sleep(0)
            holders -= 1
            lock.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and taken > 4
