"""Writing latents files: whole, in part, resumed, and refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from latents_runs import (
    ARRAYS,
    BACKGROUND,
    ORIGIN,
    SCAN,
    batch,
    check_holds,
    contents,
    one_line,
    read_line,
    start_child,
    write_all,
    write_file,
)

from microrun.runtime.errors import LatentsError, OutputError, RefusedOutputError
from microrun.runtime.files.output import name_beside
from microrun.runtime.latents.familiarity import Familiarity
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.scan import Scan


@pytest.mark.parametrize("step", [1, 4, 42])
def test_what_is_written_is_read(path: Path, step: int) -> None:
    with LatentsWriter.create(path, ORIGIN, BACKGROUND) as writer:
        write_all(writer, step=step)
    with open_latents(path) as latents:
        check_holds(latents, list(range(42)))
        assert latents.origin == ORIGIN
        assert latents.latents.dtype == np.float32
        np.testing.assert_array_equal(latents.background, BACKGROUND)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_latents_may_be_stored_in_half(path: Path) -> None:
    write_file(path, dataclasses.replace(ORIGIN, dtype="float16"))
    with open_latents(path) as latents:
        assert latents.latents.dtype == np.float16
        check_holds(latents, list(range(42)))


def test_patterns_that_are_missing_stay_nan(path: Path) -> None:
    with LatentsWriter.create(path, ORIGIN, BACKGROUND) as writer:
        writer.write(batch(0, 1, 5, 6, 7, 20))
        writer.write(batch(22, 41))
        writer.flush()
        assert writer.done == 2
    with open_latents(path) as latents:
        check_holds(latents, [0, 1, 5, 6, 7, 20, 22, 41])


def test_an_existing_file_is_refused(path: Path) -> None:
    before = write_file(path).read_bytes()
    with pytest.raises(RefusedOutputError, match="exists") as error:
        LatentsWriter.create(path, ORIGIN, BACKGROUND)
    one_line(error, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["missing", "occupied"])
def test_a_file_that_cannot_be_made(tmp_path: Path, place: str) -> None:
    (tmp_path / "occupied").write_text("not a folder")
    path = tmp_path / place / "scan.latents.h5"
    with pytest.raises(OutputError, match="cannot be written") as error:
        LatentsWriter.create(path, ORIGIN, BACKGROUND)
    one_line(error, path)


def test_a_new_background_can_be_stored(path: Path) -> None:
    with LatentsWriter.create(path, ORIGIN, np.zeros_like(BACKGROUND)) as writer:
        writer.replace_background(BACKGROUND)
        writer.flush()
        np.testing.assert_array_equal(writer.background, BACKGROUND)
    np.testing.assert_array_equal(contents(path)["background"], BACKGROUND)


@pytest.mark.parametrize("count", [1, 6, 7, 8, 41, 42])
def test_a_resumed_file_equals_an_uninterrupted_one(path: Path, tmp_path: Path, count: int) -> None:
    whole = contents(write_file(tmp_path / "whole.h5"))
    write_file(path, count=count)
    with LatentsWriter.resume(path, ORIGIN) as writer:
        assert writer.done == count
        np.testing.assert_array_equal(writer.background, BACKGROUND)
        write_all(writer, writer.done)
    resumed = contents(path)
    for name in ARRAYS:
        np.testing.assert_array_equal(resumed[name], whole[name])
    assert not name_beside(path).exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"fingerprint": "0" * 64}, "another scan"),
        ({"scan": dataclasses.replace(SCAN, nav_shape=(7, 6))}, "another scan geometry"),
        ({"engine_sha256": "0" * 64}, "another engine"),
        ({"engine": "NumPy on cuda"}, "another engine library or device"),
        ({"precision": "bf16"}, "another precision: f32 there, bf16 here"),
        ({"background": "none"}, "another background: mean there, none here"),
        ({"dtype": "float16"}, "another latents type"),
    ],
)
def test_a_file_of_another_run_is_not_resumed(path: Path, change: dict[str, Any], text: str) -> None:
    before = write_file(path, count=10).read_bytes()
    with pytest.raises(LatentsError, match=text) as error:
        LatentsWriter.resume(path, dataclasses.replace(ORIGIN, **change))
    one_line(error, path)
    assert path.read_bytes() == before
    with LatentsWriter.resume(path, ORIGIN) as writer:
        assert writer.done == 10


def test_a_disk_that_fills_up_later_does_not_stop_the_run(path: Path, tmp_path: Path) -> None:
    script = """
import resource
origin = dataclasses.replace(ORIGIN, scan=Scan((40, 500), (8, 8)))
with LatentsWriter.create(path, origin, BACKGROUND) as writer:
    limit = path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for first in range(0, 20_000, 500):
        writer.write(batch(*range(first, first + 500)))
        writer.flush()
print("done", flush=True)
"""
    child = start_child(script, path)
    assert read_line(child) == "done"
    _, error = child.communicate(timeout=60)
    assert (child.returncode, error) == (0, "")
    origin = dataclasses.replace(ORIGIN, scan=Scan((40, 500), (8, 8)))
    found, whole = contents(path), contents(write_file(tmp_path / "whole.h5", origin))
    for name in ARRAYS:
        np.testing.assert_array_equal(found[name], whole[name])


def test_a_disk_that_is_full_from_the_start(path: Path) -> None:
    script = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    LatentsWriter.create(path, ORIGIN, BACKGROUND)
except OutputError as error:
    print(error, flush=True)
"""
    child = start_child(script, path)
    assert read_line(child).startswith(f"{path}: cannot be written")
    _, error = child.communicate(timeout=60)
    assert (child.returncode, error) == (0, "")
    assert list(path.parent.iterdir()) == []


def test_a_second_writer_is_refused(path: Path) -> None:
    with LatentsWriter.create(path, ORIGIN, BACKGROUND) as writer:
        write_all(writer)
        with pytest.raises(LatentsError, match="is being written by another run"):
            LatentsWriter.resume(path, ORIGIN)
    with LatentsWriter.resume(path, ORIGIN) as writer:
        assert writer.done == ORIGIN.scan.total
    assert list(path.parent.iterdir()) == [path]


def test_a_scan_for_which_the_disk_has_no_room_writes_nothing(path: Path) -> None:
    origin = dataclasses.replace(ORIGIN, scan=Scan((90_000, 90_000), (8, 8)))
    with pytest.raises(OutputError, match="No space left"):
        LatentsWriter.create(path, origin, BACKGROUND)
    assert list(path.parent.iterdir()) == []


def test_how_well_the_model_knows_the_scan_is_stored(path: Path) -> None:
    script = """
with open_latents(path) as latents:
    print(latents.familiarity, flush=True)
    sys.stdin.readline()
    print(latents.familiarity, flush=True)
"""
    known = Familiarity(0.31, 0.6)
    with LatentsWriter.create(path, ORIGIN, BACKGROUND) as writer:
        child = start_child(script, path)
        assert read_line(child) == "None"
        writer.keep_familiarity(known)
        writer.flush()
        assert child.communicate("\n", timeout=60) == ("median 0.31, expected above 0.60\n", "")
    with open_latents(path) as latents:
        assert latents.familiarity == known and not known.known
    with LatentsWriter.resume(path, ORIGIN):
        pass
    with open_latents(path) as latents:
        assert latents.familiarity == known  # until it is measured again


def test_files_of_versions_that_did_not_ask_are_read_and_gone_on_with(path: Path) -> None:
    write_file(path)
    with h5py.File(path, "r+") as file:
        del file["familiarity"]
    for _ in range(2):
        with open_latents(path) as latents:
            assert latents.familiarity is None
        with LatentsWriter.resume(path, ORIGIN):
            pass
