"""The latents file: readable while it is written, valid after a kill, refused when it does not belong."""

from __future__ import annotations

import dataclasses
import faulthandler
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from microrun.runtime.errors import LatentsError, OutputError
from microrun.runtime.latents import writer as latents_writer
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.scan import Scan
from microrun.runtime.spec import ModelSpec, Preprocessing

SCAN = Scan((6, 7), (8, 8), step_um=(0.5, 0.25))
SIZE = 5
SPEC = ModelSpec("tiny", "encoder", SIZE, Preprocessing((4, 4), 0))
ORIGIN = Origin(SCAN, "f" * 64, SPEC, "e" * 64, "NumPy on cpu", "f32", "mean")
BACKGROUND = np.arange(16, dtype=np.float32).reshape(4, 4)
LONG_S = 120.0  # for what would otherwise hang; nothing takes that long
ARRAYS = ("latents", "written", "ranges", "flags", "background")

# What the child processes run; `batch` gives the same values there as here.
CHILD = """
import os, sys
import numpy as np
sys.path.insert(0, {folder!r})
from test_reader import *
path = Path(sys.argv[1])
"""


def batch(*indices: int, size: int = SIZE) -> EncodedBatch:
    """Make a batch whose values follow from the numbers of its patterns."""
    numbers = np.array(indices, np.int64)
    values = np.stack([np.random.default_rng(number).standard_normal(size + 2) for number in indices])
    singles = values.astype(np.float32)
    return EncodedBatch(numbers, singles[:, :size], singles[:, size:], numbers % 10 == 3)


def write_all(writer: LatentsWriter, start: int = 0, step: int = 4) -> None:
    total, size = writer.origin.scan.total, writer.origin.spec.latent_size
    for first in range(start, total, step):
        writer.write(batch(*range(first, min(first + step, total)), size=size))


def write_file(path: Path, origin: Origin = ORIGIN, count: int | None = None) -> Path:
    """Write the first patterns, or all."""
    with LatentsWriter.create(path, origin, BACKGROUND) as writer:
        if count is None:
            write_all(writer)
        else:
            writer.write(batch(*range(count), size=origin.spec.latent_size))
    return path


def contents(path: Path) -> dict[str, Any]:
    with open_latents(path) as latents:
        return {name: getattr(latents, name) for name in ARRAYS}


def check_holds(latents: Latents, indices: list[int], all_else_empty: bool = True) -> None:
    """Check that exactly these patterns are there, with their values."""
    rows, cols = latents.origin.scan.locate(np.array(indices, np.int64))
    written = np.zeros(latents.origin.scan.nav_shape, bool)
    written[rows, cols] = True
    np.testing.assert_array_equal(latents.written, written)
    expected = batch(*indices, size=latents.origin.spec.latent_size)
    np.testing.assert_array_equal(latents.latents[rows, cols], expected.latents.astype(latents.origin.dtype))
    np.testing.assert_array_equal(latents.ranges[rows, cols], expected.ranges)
    np.testing.assert_array_equal(latents.flags[rows, cols], expected.flags)
    assert not all_else_empty or np.isnan(latents.latents[~written]).all()


def one_line(error: pytest.ExceptionInfo[Exception], path: Path) -> None:
    text = str(error.value)
    assert str(path) in text
    assert "\n" not in text


def start_child(script: str, *arguments: object) -> subprocess.Popen[str]:
    code = CHILD.format(folder=str(Path(__file__).parent)) + script
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def read_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        _, error = child.communicate()
        pytest.fail(f"the child ended: {error}")
    return line.strip()


@pytest.fixture(autouse=True)
def a_hang_ends_the_run() -> Iterator[None]:
    """HDF5 waits inside C, without end, for what it takes for the half-written part of a growing file."""
    faulthandler.dump_traceback_later(LONG_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scan.latents.h5"


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


def test_positions_are_in_um(path: Path) -> None:
    with open_latents(write_file(path)) as latents:
        x, y = latents.positions_um
    np.testing.assert_array_equal(x, np.tile(np.arange(7) * 0.5, (6, 1)))
    np.testing.assert_array_equal(y, np.tile(np.arange(6)[:, None] * 0.25, (1, 7)))


@pytest.mark.parametrize("alternating", [False, True])
def test_hexagonal_grids_keep_their_true_positions(path: Path, alternating: bool) -> None:
    scan = Scan((4, 3), (8, 8), grid="hexagonal", step_um=(1.0, 0.866), alternating=alternating)
    write_file(path, dataclasses.replace(ORIGIN, scan=scan))
    with open_latents(path) as latents:
        check_holds(latents, list(range(10 if alternating else 12)))
        x, y = latents.positions_um
        assert latents.written[1].tolist() == [True, True, not alternating]
    np.testing.assert_allclose(x, np.array([[0, 1, 2], [0.5, 1.5, 2.5]] * 2))
    np.testing.assert_allclose(y, np.repeat([0, 0.866, 1.732, 2.598], 3).reshape(4, 3))


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
    with pytest.raises(LatentsError, match="exists; go on with --resume") as error:
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


# --- while it is written


def test_another_process_reads_while_it_is_written(path: Path) -> None:
    script = """
with open_latents(path) as latents:
    for line in sys.stdin:
        check_holds(latents, list(range(int(line))))
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


def test_a_new_background_can_be_stored(path: Path) -> None:
    with LatentsWriter.create(path, ORIGIN, np.zeros_like(BACKGROUND)) as writer:
        writer.flush(BACKGROUND)
        np.testing.assert_array_equal(writer.background, BACKGROUND)
    np.testing.assert_array_equal(contents(path)["background"], BACKGROUND)


# --- resumed


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
    assert not (tmp_path / (path.name + ".part")).exists()


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


# --- damaged


def cut(share: float) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return damage


def change(edit: Callable[[h5py.File], object]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        with h5py.File(path, "r+", libver="latest") as file:
            edit(file)

    return damage


def replace_array(name: str, value: Any) -> Callable[[Path], object]:
    def edit(file: h5py.File) -> None:
        del file[name]
        if value is None:
            file.create_group(name)
        else:
            file[name] = value

    return change(edit)


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def other_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["latents"] = np.zeros((6, 7, SIZE))


ORIGIN_OF_NOTHING = ORIGIN.to_json().replace("[6, 7]", "[0, 7]")
DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "a folder": become_folder,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no latents\n" * 1000),
    "truncated 10 %": cut(0.1),
    "truncated 50 %": cut(0.5),
    "truncated 90 %": cut(0.9),
    "one byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "other HDF5": other_hdf5,
    "other format": change(lambda file: file.attrs.update(format="microrun latents 9")),
    "no spec": change(lambda file: file.attrs.pop("spec")),
    "spec is text": change(lambda file: file.attrs.update(spec="vae32")),
    "spec is a number": change(lambda file: file.attrs.update(spec=32)),
    "spec without a latent size": change(lambda file: file.attrs.update(spec='{"spec_version": 1}')),
    "no origin": change(lambda file: file.attrs.pop("origin")),
    "origin is text": change(lambda file: file.attrs.update(origin="here")),
    "origin is a list": change(lambda file: file.attrs.update(origin="[1, 2]")),
    "origin is a number": change(lambda file: file.attrs.update(origin="1")),
    "origin of an impossible scan": change(lambda file: file.attrs.update(origin=ORIGIN_OF_NOTHING)),
    "no latents": change(lambda file: file.pop("latents")),
    "latents are a group": replace_array("latents", None),
    "latents of another size": replace_array("latents", np.zeros((6, 7, SIZE + 1), np.float32)),
    "written of another map": replace_array("written", np.zeros((7, 6), np.uint8)),
    "background of another size": replace_array("background", np.zeros((5, 5), np.float32)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_refused_in_one_line(path: Path, damage: Callable[[Path], object]) -> None:
    damage(write_file(path))
    for work in (open_latents, lambda path: LatentsWriter.resume(path, ORIGIN)):
        with pytest.raises(LatentsError) as error:
            work(path)
        one_line(error, path)
    assert not path.with_name(path.name + ".part").exists()


def leave_behind(path: Path) -> Path:
    """Write a file as a killed run leaves it: HDF5's mark of a writer is still set."""
    with LatentsWriter.create(path.with_name("growing.h5"), ORIGIN, BACKGROUND) as writer:
        writer.write(batch(*range(20)))
        writer.flush()
        path.write_bytes(writer.path.read_bytes())
    return path


def test_a_file_left_behind_can_be_read(path: Path) -> None:
    with open_latents(leave_behind(path)) as latents:
        check_holds(latents, list(range(20)))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_a_file_left_behind_and_cut_is_refused(path: Path, share: float) -> None:
    cut(share)(leave_behind(path))
    with pytest.raises(LatentsError) as error:
        open_latents(path)
    one_line(error, path)


def places(size: int) -> Iterator[int]:
    yield from range(0, min(size, 1024), 32)
    yield from range(1024, size, max(32, size // 64))


def test_damaged_bytes_give_an_error_or_are_not_noticed(path: Path) -> None:
    whole = write_file(path).read_bytes()
    refused = 0
    for place in places(len(whole)):
        path.write_bytes(whole[:place] + b"\xff" * 16 + whole[place + 16 :])
        try:
            contents(path)
        except LatentsError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused


# --- a full disk


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


# --- one writer


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
