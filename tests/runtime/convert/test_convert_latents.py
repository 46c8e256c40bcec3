"""Every format alike: what is read back, what is on the disk, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import hyperspy.api as hs
import meshio
import numpy as np
import orix.io
import pytest
import tifffile
import zarr
from convert_truth import (
    BACKGROUND,
    SCANS,
    Float32,
    Truth,
    convert,
    make_batch,
    make_truth,
    origin_of,
    read_by,
    write_latents,
)
from files_in import names_in
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.convert.convert_latents import LATENTS_WRITERS, LatentsFormat, convert_latents
from microrun.runtime.errors import LatentsError, MicrorunError, OutputError, RefusedOutputError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.scan import Scan

FORMATS: tuple[LatentsFormat, ...] = get_args(LatentsFormat)


def values_in(path: Path, to: LatentsFormat) -> Float32:
    """All latents in the order of the patterns, of a square map of one feature."""
    readers: dict[LatentsFormat, Callable[[], Any]] = {
        "hspy": lambda: hs.load(path).data,
        "ang": lambda: orix.io.load(path).prop["latent_1"],
        "csv": lambda: np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)[:, 5],
        "ome-tiff": lambda: tifffile.imread(path),
        "xdmf": lambda: meshio.read(path).cell_data["latent_1"][0],
        "zarr": lambda: zarr.open_group(path, mode="r")["latents"][...],
    }
    return np.asarray(readers[to](), np.float32).ravel()


def check_values(path: Path, to: LatentsFormat, truth: Truth) -> None:
    expected = truth.informative([1]) if to in ("hspy", "ome-tiff") else truth.values[..., 1]
    if to == "csv":
        expected = truth.values[truth.written, 1]
    assert_array_equal(values_in(path, to), np.ravel(expected))


@pytest.mark.parametrize("to", FORMATS)
def test_float16_is_exact(tmp_path: Path, to: LatentsFormat) -> None:
    truth = write_latents(tmp_path / "scan.latents.h5", SCANS["square"], "float16")
    check_values(convert(truth, to, [1]), to, truth)


CHILD = """
import sys
from pathlib import Path
from microrun.runtime.convert.convert_latents import convert_latents
from microrun.runtime.errors import OutputError
from microrun.runtime.latents.reader import open_latents
"""
READER = """
with open_latents(sys.argv[1]) as latents:
    for to in sys.argv[2:]:
        convert_latents(latents, to, features=[1])
"""


def run_child(script: str, path: Path) -> str:
    """Run Python on a latents file and all formats in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", CHILD + script, path, *FORMATS], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def named(path: Path, to: LatentsFormat) -> Path:
    return path.with_name(path.name.removesuffix("h5") + to.replace("-", "."))


def test_a_growing_file_is_converted(tmp_path: Path) -> None:
    scan, path = SCANS["square"], tmp_path / "scan.latents.h5"
    with LatentsWriter.create(path, origin_of(scan), BACKGROUND) as writer:
        writer.write(make_batch(range(17)))
        writer.flush()
        run_child(READER, path)
    truth = make_truth(path, scan, 17)
    for to in FORMATS:
        check_values(named(path, to), to, truth)


@pytest.mark.parametrize("to", FORMATS)
def test_only_some_rows_are_read_at_a_time(square: Truth, to: LatentsFormat) -> None:
    pieces = []
    with open_latents(square.path) as latents:

        def listen(name: str, piece: Any) -> NDArray[Any]:
            pieces.append((name, piece))
            return latents.read(name, piece)

        convert_latents(read_by(latents, listen), to)
    read_rows = [piece for name, piece in pieces if name == "latents"]
    assert sorted(read_rows, key=lambda rows: rows.start) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert {name for name, piece in pieces if piece == ()} <= {"background"}


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_written_yet(tmp_path: Path, to: LatentsFormat) -> None:
    truth = write_latents(tmp_path / "new.h5", SCANS["square"], count=0)
    with pytest.raises(LatentsError, match=r"new\.h5: holds no latents yet"):
        convert(truth, to)
    assert names_in(tmp_path) == ["new.h5"]


@pytest.mark.parametrize("to", FORMATS)
def test_an_output_is_replaced_only_if_asked(square: Truth, to: LatentsFormat) -> None:
    folder = square.path.parent
    convert(square, to, [0])
    made = names_in(folder)
    with open_latents(square.path) as latents:
        with pytest.raises(OutputError, match="exists; replace it with --overwrite, or write to another place"):
            convert_latents(latents, to, features=[1])
        path = convert_latents(latents, to, features=[1], overwrite=True)[-1]
    check_values(path, to, square)
    assert names_in(folder) == made


@pytest.mark.parametrize("to", FORMATS)
def test_an_output_that_appears_meanwhile_is_kept(square: Truth, to: LatentsFormat) -> None:
    path, appears = named(square.path, to), []
    with open_latents(square.path) as latents:

        def listen(name: str, piece: Any) -> NDArray[Any]:
            if not appears:
                appears.append(path.write_text("mine"))
            return latents.read(name, piece)

        with pytest.raises(OutputError, match="something has been put there meanwhile, and it is kept"):
            convert_latents(read_by(latents, listen), to)
    assert path.read_text() == "mine"
    assert names_in(square.path.parent) == sorted([square.path.name, path.name])


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), RuntimeError("HDF5 has it"), KeyboardInterrupt()]
)
def test_a_failure_leaves_what_was_there(square: Truth, to: LatentsFormat, failure: BaseException) -> None:
    path = convert(square, to, [1])
    made = names_in(square.path.parent)
    with open_latents(square.path) as latents:

        def fail(name: str, rows: slice) -> Any:
            if rows.start:
                raise failure
            return latents.read(name, rows)

        with pytest.raises((OutputError, KeyboardInterrupt)) as error:
            convert_latents(read_by(latents, fail), to, features=[0], overwrite=True)
    if isinstance(failure, Exception):
        said = "No space left on device" if isinstance(failure, OSError) else "HDF5 has it"
        assert str(error.value) == f"{path}: cannot be written ({said})"
    check_values(path, to, square)
    assert names_in(square.path.parent) == made


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
with open_latents(sys.argv[1]) as latents:
    for to in sys.argv[2:]:
        try:
            convert_latents(latents, to)
        except OutputError as error:
            print(error)
"""


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    truth = write_latents(tmp_path / "scan.h5", Scan((25, 40), (8, 8)))
    said = run_child(FULL, truth.path).splitlines()
    assert said == [f"{named(truth.path, to)}: cannot be written (File too large)" for to in FORMATS]
    assert names_in(tmp_path) == ["scan.h5"]


def test_where_nothing_can_be_written(square: Truth, tmp_path: Path) -> None:
    for out, reason in ((tmp_path / "missing" / "a.csv", "there is no folder"), (square.path / "a.csv", "is a file")):
        with pytest.raises(RefusedOutputError, match=reason):
            convert(square, "csv", out=out)


@pytest.mark.parametrize("to", FORMATS)
def test_the_ending_must_be_that_of_the_format(square: Truth, tmp_path: Path, to: LatentsFormat) -> None:
    for name in ("map", "map.h5", "map.tif", "map.csv.gz", "ome.tiff"):
        with pytest.raises(MicrorunError, match=rf"{name}: {to} files end in \."):
            convert(square, to, out=tmp_path / name)
    assert names_in(tmp_path) == ["scan.latents.h5"]


@pytest.mark.parametrize("name", ["a.ome.tif", "b.OME.TIFF"])
def test_ome_tiff_has_two_endings(square: Truth, tmp_path: Path, name: str) -> None:
    path = convert(square, "ome-tiff", [1], tmp_path / name)
    assert path.name == name
    check_values(path, "ome-tiff", square)


@pytest.mark.parametrize(("source", "out", "to"), [("a.csv", "a.csv", "csv"), ("a.xdmf.h5", "a.xdmf", "xdmf")])
def test_the_latents_are_never_overwritten(tmp_path: Path, source: str, out: str, to: LatentsFormat) -> None:
    truth = write_latents(tmp_path / source, SCANS["square"])
    with open_latents(truth.path) as latents, pytest.raises(OutputError, match="is the file that is read"):
        convert_latents(latents, to, tmp_path / out, overwrite=True)
    with open_latents(truth.path) as latents:
        assert latents.written.all()


def test_folders_of_others_are_never_replaced(square: Truth, tmp_path: Path) -> None:
    for name, to in (("work.zarr", "zarr"), ("work.csv", "csv")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("all of it")
        with open_latents(square.path) as latents, pytest.raises(OutputError, match="is a folder, but no zarr group"):
            convert_latents(latents, to, tmp_path / name, overwrite=True)
        assert (tmp_path / name / "thesis.txt").read_text() == "all of it"


def test_formats_are_all_there() -> None:
    assert set(LATENTS_WRITERS) == set(FORMATS)
    suffixes = [suffix for writer in LATENTS_WRITERS.values() for suffix in writer.suffixes]
    assert len(set(suffixes)) == len(suffixes)
