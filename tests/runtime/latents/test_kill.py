"""Latents files while they are written, and after their run was killed, seen from other processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from latents_runs import (
    ARRAYS,
    BACKGROUND,
    ORIGIN,
    batch,
    check_holds,
    contents,
    read_line,
    start_child,
    write_all,
    write_file,
)

from microrun.runtime.latents import writer as latents_writer
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import LatentsWriter


def test_another_process_reads_while_it_is_written(path: Path) -> None:
    script = """
with open_latents(path) as latents:
    for line in sys.stdin:
        check_holds(latents, list(range(int(line))))
        assert f" {int(line)} of 42 patterns written>" in repr(latents)
        assert np.isfinite(latents[..., 0]).sum() == np.isfinite(np.asarray(latents)[..., 0]).sum() == int(line)
        print("seen", line.strip(), flush=True)
"""
    with LatentsWriter.create(path, ORIGIN, BACKGROUND) as writer:
        writer.write(batch(*range(5)))
        writer.flush()
        reader = start_child(script, path)
        assert reader.stdin is not None
        for count in (5, 19, 42):
            if count > 5:
                writer.write(batch(*range(5, count)))
            writer.flush()
            print(count, file=reader.stdin, flush=True)
            assert read_line(reader) == f"seen {count}"
        _, error = reader.communicate()
    assert (reader.returncode, error) == (0, "")


def test_batches_reach_the_disk_without_being_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "with open_latents(path) as latents: check_holds(latents, list(range(10)))\nprint('fine')"
    with LatentsWriter.create(path, ORIGIN, BACKGROUND) as writer:
        monkeypatch.setattr(latents_writer, "FLUSH_S", 0.0)
        writer.write(batch(*range(10)))
        reader = start_child(script, path)
        assert read_line(reader) == "fine"
        reader.communicate()


def test_a_killed_run_leaves_a_valid_file(path: Path, tmp_path: Path) -> None:
    script = """
writer = LatentsWriter.create(path, ORIGIN, BACKGROUND)
for number in range(25):
    writer.write(batch(number))
    writer.flush()
    print(number, flush=True)
writer.write(batch(25))  # never flushed
print("waiting", flush=True)
sys.stdin.read()
"""
    child = start_child(script, path)
    for number in range(25):
        assert read_line(child) == str(number)
    assert read_line(child) == "waiting"
    child.kill()
    child.communicate()
    with open_latents(path) as latents:
        check_holds(latents, list(range(25)))
    with LatentsWriter.resume(path, ORIGIN) as writer:
        assert writer.done == 25
        write_all(writer, 25)
    found, whole = contents(path), contents(write_file(tmp_path / "whole.h5"))
    for name in ARRAYS:
        np.testing.assert_array_equal(found[name], whole[name])


def test_a_run_killed_at_any_moment_leaves_a_valid_file(tmp_path: Path) -> None:
    script = """
origin = dataclasses.replace(ORIGIN, scan=Scan((40, 50), (8, 8)))
latents_writer.FLUSH_S = 0.0
with LatentsWriter.create(path, origin, BACKGROUND) as writer:
    for first in range(0, 2000, 3):
        writer.write(batch(*range(first, min(first + 3, 2000))))
        print(first, flush=True)
"""
    for moment in range(4):
        path = tmp_path / f"{moment}.h5"
        child = start_child(script, path)
        reported = 0
        for _ in range(1 + 37 * moment):
            reported = int(read_line(child)) + 3
        child.kill()  # while it goes on writing
        child.communicate()
        with open_latents(path) as latents:
            count = int(latents.written.sum())
            assert count >= reported
            check_holds(latents, list(range(count)), all_else_empty=False)  # values come before they are marked
