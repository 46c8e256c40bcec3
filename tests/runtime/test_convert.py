"""Latents in other formats: what each format's own library reads back, and what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args
from xml.etree import ElementTree

import h5py
import hyperspy.api as hs
import meshio
import numpy as np
import orix.io
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.convert import convert_latents as convert
from microrun.runtime.convert import rows as features
from microrun.runtime.convert import to_ome_tiff
from microrun.runtime.convert.convert_latents import Format, convert_latents
from microrun.runtime.convert.rows import Features
from microrun.runtime.errors import LatentsError, MicrorunError, OutputError
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.origin import LatentType, Origin
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.ang import read_ang_grid
from microrun.runtime.scans.scan import Scan
from microrun.runtime.spec import ModelSpec, Preprocessing

Float32 = NDArray[np.float32]
FORMATS: tuple[Format, ...] = get_args(Format)
SIZE = 5
SPEC = ModelSpec("tiny", "encoder", SIZE, Preprocessing((4, 4), 0))
BACKGROUND = np.arange(16, dtype=np.float32).reshape(4, 4)
STEPS = (0.5, 0.25)
SCANS = {
    "square": Scan((6, 7), (8, 8), step_um=STEPS),
    "hexagonal": Scan((7, 6), (8, 8), step_um=STEPS, grid="hexagonal"),
    "alternating": Scan((7, 6), (8, 8), step_um=STEPS, grid="hexagonal", alternating=True),
    "without step": Scan((6, 7), (8, 8)),
    "one row": Scan((1, 9), (8, 8), step_um=STEPS),
    "one column": Scan((9, 1), (8, 8), step_um=STEPS),
    "one pattern": Scan((1, 1), (8, 8), step_um=STEPS),
}
SQUARE = [name for name, scan in SCANS.items() if scan.grid == "square"]


class Truth(NamedTuple):
    """What a latents file holds, made without reading it: maps, and whatever is not there is NaN."""

    path: Path
    scan: Scan
    values: Float32
    ranges: Float32
    written: NDArray[np.bool_]
    flags: NDArray[np.bool_]
    exists: NDArray[np.bool_]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def informative(self, numbers: list[int]) -> Float32:
        return np.where(self.flags[..., None], np.float32(np.nan), self.values[..., numbers])


def make_batch(indices: range) -> EncodedBatch:
    rng = np.random.default_rng(7)
    values = rng.standard_normal((1000, SIZE + 2)).astype(np.float32) * 10.0 ** rng.integers(-3, 4, (1000, 1))
    chosen = values.astype(np.float16).astype(np.float32)[indices.start : indices.stop]  # either type holds them
    numbers = np.arange(indices.start, indices.stop)
    return EncodedBatch(numbers, chosen[:, :SIZE], chosen[:, SIZE:], numbers % 10 == 3)


def make_truth(path: Path, scan: Scan, count: int) -> Truth:
    shape, (step_x, step_y) = scan.nav_shape, (step or 1.0 for step in scan.step_um)
    batch = make_batch(range(count))
    row, col = np.indices(shape)
    truth = Truth(
        path, scan, np.full((*shape, SIZE), np.nan, np.float32), np.full((*shape, 2), np.nan, np.float32),
        np.zeros(shape, bool), np.zeros(shape, bool), ~((row % 2 == 1) & (col == shape[1] - 1) & scan.alternating),
        (col + 0.5 * (row % 2) * (scan.grid == "hexagonal")) * step_x, row * step_y,
    )  # fmt: skip
    places = [(r, c) for r in range(shape[0]) for c in range(shape[1]) if truth.exists[r, c]]
    for number, place in enumerate(places[:count]):
        truth.values[place], truth.ranges[place] = batch.latents[number], batch.ranges[number]
        truth.written[place], truth.flags[place] = True, batch.flags[number]
    return truth


def origin_of(scan: Scan, dtype: LatentType = "float32") -> Origin:
    return Origin(scan, "f" * 64, SPEC, "e" * 64, "NumPy on cpu", "f32", "mean", dtype, "01ab")


def make_latents(path: Path, scan: Scan, dtype: LatentType = "float32", count: int | None = None) -> Truth:
    """Write a latents file of the first patterns, or of all."""
    count = scan.total if count is None else count
    with LatentsWriter.create(path, origin_of(scan, dtype), BACKGROUND) as writer:
        if count:
            writer.write(make_batch(range(count)))
    return make_truth(path, scan, count)


def make(truth: Truth, to: Format, numbers: list[int] | None = None, out: Path | None = None) -> Path:
    """Convert and return what was made, or for XDMF its light part."""
    with open_latents(truth.path) as latents:
        return convert_latents(latents, to, out, numbers)[-1]


@pytest.fixture(params=SCANS)
def truth(request: pytest.FixtureRequest, tmp_path: Path) -> Truth:
    """Latents of every kind of scan, of which a few patterns are missing."""
    scan = SCANS[request.param]
    return make_latents(tmp_path / "scan.latents.h5", scan, "float32", max(1, scan.total - 4))


@pytest.fixture
def square(tmp_path: Path) -> Truth:
    return make_latents(tmp_path / "scan.latents.h5", SCANS["square"], count=30)


@pytest.fixture(autouse=True)
def two_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the maps in several pieces, as if they were large."""
    monkeypatch.setattr(features, "BLOCK_BYTES", 3 * 7 * SIZE * 4)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- HyperSpy


def load_signal(path: Path, lazy: bool = False) -> Any:
    return hs.load(path, lazy=lazy)


@pytest.mark.parametrize("name", SQUARE)
def test_hyperspy_reads_a_signal(tmp_path: Path, name: str) -> None:
    scan = SCANS[name]
    truth = make_latents(tmp_path / "scan.latents.h5", scan, count=max(1, scan.total - 4))
    signal = load_signal(make(truth, "hspy"))
    assert type(signal) is hs.signals.Signal1D
    assert signal.data.dtype == np.float32
    assert_array_equal(signal.data, truth.informative(list(range(SIZE))))
    x, y = signal.axes_manager.navigation_axes
    known = bool(scan.step_um[0])
    for axis, axis_name, step, positions in ((x, "x", STEPS[0], truth.x[0]), (y, "y", STEPS[1], truth.y[:, 0])):
        assert axis.name == axis_name
        assert axis.scale == (step if known else 1)
        assert (axis.units == "µm") is known
        assert_allclose(axis.axis, positions)
    (axis,) = signal.axes_manager.signal_axes
    assert axis.name == "feature"
    assert_array_equal(axis.axis, np.arange(SIZE))


@pytest.mark.parametrize(("numbers", "uniform"), [([2], True), ([1, 2, 3], True), ([0, 4], False), ([0, 1, 4], False)])
def test_hyperspy_knows_the_numbers_of_features(square: Truth, numbers: list[int], uniform: bool) -> None:
    signal = load_signal(make(square, "hspy", numbers))
    assert_array_equal(signal.data, square.informative(numbers))
    (axis,) = signal.axes_manager.signal_axes
    assert_array_equal(axis.axis, numbers)
    assert axis.is_uniform is uniform


def test_hyperspy_reads_lazily_and_knows_the_origin(square: Truth) -> None:
    signal = load_signal(make(square, "hspy", [1, 3]), lazy=True)
    assert signal._lazy
    assert_array_equal(signal.data.compute(), square.informative([1, 3]))
    metadata = signal.metadata.as_dictionary()
    assert metadata["General"]["title"] == "scan.latents"
    assert metadata["General"]["original_filename"] == "scan.latents.h5"
    assert metadata["microrun"]["features"] == [1, 3]
    assert metadata["microrun"]["origin"] == json.loads(origin_of(square.scan).to_json())
    assert metadata["microrun"]["spec"] == json.loads(SPEC.to_json())


@pytest.mark.parametrize("name", ["hexagonal", "alternating"])
def test_hyperspy_has_no_hexagonal_grids(tmp_path: Path, name: str) -> None:
    truth = make_latents(tmp_path / "scan.latents.h5", SCANS[name])
    with pytest.raises(LatentsError, match="cannot hold its hexagonal grid; use csv, ang, xdmf or zarr") as error:
        make(truth, "hspy")
    assert str(truth.path) in str(error.value)
    assert names_in(tmp_path) == ["scan.latents.h5"]


# --- .ang


# orix cannot read an .ang file of a single pattern.
@pytest.mark.parametrize("truth", [name for name, scan in SCANS.items() if scan.total > 1], indirect=True)
def test_orix_reads_ang(truth: Truth) -> None:
    path = make(truth, "ang", [4, 1])
    crystal_map = orix.io.load(path)
    there = truth.exists
    for found, expected in ((crystal_map.x, truth.x), (crystal_map.y, truth.y)):
        assert_allclose(0 if found is None else found, expected[there], atol=1e-6)  # None where all are 0
    for number in (1, 4):
        assert_array_equal(crystal_map.prop[f"latent_{number}"].astype(np.float32), truth.values[there, number])
    assert list(crystal_map.prop) == ["iq", "ci", "detector_signal", "fit", "latent_1", "latent_4"]
    informative = (truth.written & ~truth.flags)[there]
    assert_array_equal(crystal_map.is_indexed, informative)
    assert_array_equal(crystal_map.prop["ci"], np.where(informative, 0, -1))
    assert_array_equal(crystal_map.rotations.angle, 0)
    assert crystal_map.scan_unit == "um"


def test_ang_states_the_grid(truth: Truth) -> None:
    path = make(truth, "ang", [0])
    grid, scan = read_ang_grid(path), truth.scan
    assert grid is not None
    assert grid == (scan.nav_shape, scan.step_um if all(scan.step_um) else (1, 1), scan.grid, not scan.alternating)
    rows, cols = scan.nav_shape
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for line in (
        f"# GRID: {'SqrGrid' if scan.grid == 'square' else 'HexGrid'}", f"# NROWS: {rows}", f"# NCOLS_ODD: {cols}",
        f"# NCOLS_EVEN: {cols - 1 if scan.alternating else cols}",
    ):  # fmt: skip
        assert line in header
    said = "\n".join(header)
    assert "Orientations and phase are not known" in said
    assert ("positions count in steps" in said) is not all(scan.step_um)
    assert "star" not in said  # a pattern centre that is not known must not be stated


def test_ang_has_the_columns_of_edax_first(square: Truth) -> None:
    lines = [line for line in make(square, "ang").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == square.scan.total
    assert {len(line.split()) for line in lines} == {10 + SIZE}
    euler_x_y = [float(word) for word in lines[8].split()[:5]]
    assert euler_x_y == [0, 0, 0, 0.5, 0.25]
    assert {line.split()[7] for line in lines} == {"1"}


# --- CSV


def read_csv(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    with path.open(encoding="ascii") as file:
        names = file.readline().rstrip("\n").split(",")
    return names, np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)


def check_csv(path: Path, truth: Truth, numbers: list[int]) -> None:
    names, table = read_csv(path)
    units = ["um" if step else "steps" for step in truth.scan.step_um]
    assert names == ["row", "col", f"x_{units[0]}", f"y_{units[1]}", "flag", *(f"latent_{n}" for n in numbers)]
    rows, cols = np.nonzero(truth.written)
    assert_array_equal(table[:, 0], rows)
    assert_array_equal(table[:, 1], cols)
    assert_allclose(table[:, 2], truth.x[rows, cols], rtol=1e-11)
    assert_allclose(table[:, 3], truth.y[rows, cols], rtol=1e-11)
    assert_array_equal(table[:, 4], truth.flags[rows, cols])
    assert_array_equal(table[:, 5:].astype(np.float32), truth.values[rows, cols][:, numbers])


def test_csv_has_a_line_for_each_written_pattern(truth: Truth) -> None:
    check_csv(make(truth, "csv", [4, 0]), truth, [0, 4])


@st.composite
def scans(draw: st.DrawFn) -> Scan:
    shape = draw(st.tuples(st.integers(1, 9), st.integers(2, 9)))
    hexagonal = draw(st.booleans())
    step = draw(st.sampled_from([0.0, 0.1, 1 / 3, 12345.678]))
    alternating = hexagonal and draw(st.booleans())
    return Scan(
        shape, (8, 8), grid="hexagonal" if hexagonal else "square", step_um=(step, 2 * step), alternating=alternating
    )


@settings(max_examples=40)
@given(scans(), st.data())
def test_any_scan_is_read_whole_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, scan: Scan, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, scan.total))
    numbers = data.draw(st.lists(st.integers(0, SIZE - 1), min_size=1))
    path = tmp_path_factory.mktemp("any") / "scan.latents.h5"
    truth = make_latents(path, scan, data.draw(st.sampled_from(["float32", "float16"])), count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BLOCK_BYTES", data.draw(st.integers(1, 2000)))
        check_csv(make(truth, "csv", numbers), truth, sorted(set(numbers)))
        with open_latents(path) as latents:
            blocks = list(Features(latents).blocks())
    for name in ("values", "written", "flags", "exists"):
        assert_array_equal(np.concatenate([getattr(block, name) for block in blocks]), getattr(truth, name))


# --- OME-TIFF


def pixels_of(path: Path) -> dict[str, str]:
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert file.ome_metadata is not None
        root = ElementTree.fromstring(file.ome_metadata)
    pixels = root.find(".//{*}Pixels")
    assert pixels is not None
    channels = [channel.attrib["Name"] for channel in pixels.iterfind("{*}Channel")]
    return {**pixels.attrib, "channels": ", ".join(channels)}


@pytest.mark.parametrize("block_bytes", [1, 500])
def test_tifffile_reads_channels(truth: Truth, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "BLOCK_BYTES", block_bytes)
    numbers = [1, 2, 4]
    path = make(truth, "ome-tiff", numbers)
    image = np.squeeze(tifffile.imread(path))
    assert image.dtype == np.float32
    expected = np.moveaxis(truth.informative(numbers), 2, 0)
    hexagonal = truth.scan.grid == "hexagonal"
    if hexagonal:
        assert image.shape == (3, truth.scan.nav_shape[0], 2 * truth.scan.nav_shape[1] + 1)
        for half in (0, 1):
            assert_array_equal(image[:, 0::2, half:-1:2], expected[:, 0::2])
            assert_array_equal(image[:, 1::2, 1 + half :: 2], expected[:, 1::2])
        assert np.isnan(image[:, 0::2, -1]).all()
        assert np.isnan(image[:, 1::2, 0]).all()
    else:
        assert_array_equal(image, np.squeeze(expected))
    described = pixels_of(path)
    assert described["channels"] == "latent 1, latent 2, latent 4"
    assert described["SizeC"] == "3"
    if all(truth.scan.step_um):
        assert float(described["PhysicalSizeX"]) == (0.25 if hexagonal else 0.5)
        assert float(described["PhysicalSizeY"]) == 0.25
        assert {described["PhysicalSizeXUnit"], described["PhysicalSizeYUnit"]} == {"µm"}
    else:
        assert not [name for name in described if "PhysicalSize" in name]


def test_large_images_become_bigtiff(square: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_ome_tiff, "CLASSIC_BYTES", 5 * 6 * 7 * 4 - 1)
    path = make(square, "ome-tiff")
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        assert_array_equal(file.asarray(), np.moveaxis(square.informative(list(range(SIZE))), 2, 0))
    with tifffile.TiffFile(make(square, "ome-tiff", [1, 2], square.path.with_name("two.ome.tif"))) as file:
        assert not file.is_bigtiff


# --- XDMF


def test_meshio_reads_xdmf(truth: Truth) -> None:
    path = make(truth, "xdmf", [0, 3])
    mesh, there = meshio.read(path), truth.exists
    (cells,) = mesh.cells
    corners = mesh.points[cells.data]
    if truth.scan.grid == "square":
        assert cells.type == "quad"
        step_x, step_y = (step or 1.0 for step in truth.scan.step_um)
        sides = np.roll(corners, -1, axis=1) - corners
        assert_allclose(sides[:, :, 0], np.tile([step_x, 0, -step_x, 0], (len(sides), 1)), atol=1e-9)
        assert_allclose(sides[:, :, 1], np.tile([0, step_y, 0, -step_y], (len(sides), 1)), atol=1e-9)
        scalars = {name: data[0] for name, data in mesh.cell_data.items()}
    else:
        assert cells.type == "vertex"
        assert_array_equal(cells.data[:, 0], np.arange(truth.scan.total))
        scalars = mesh.point_data
    assert_allclose(
        corners.mean(axis=1), np.column_stack([truth.x[there], truth.y[there], 0 * truth.x[there]]), atol=1e-9
    )
    assert set(scalars) == {"latent_0", "latent_3", "flag"}
    for number in (0, 3):
        assert scalars[f"latent_{number}"].dtype == np.float32
        assert_array_equal(scalars[f"latent_{number}"], truth.values[there, number])
    assert_array_equal(scalars["flag"], truth.flags[there])


def test_xdmf_may_be_moved_with_its_heavy_part(square: Truth, tmp_path: Path) -> None:
    path = make(square, "xdmf", [2], tmp_path / "map of 2 < 3 & 4.xdmf")
    (tmp_path / "elsewhere").mkdir()
    for part in (path, path.with_name(path.name + ".h5")):
        part.rename(tmp_path / "elsewhere" / part.name)
    mesh = meshio.read(tmp_path / "elsewhere" / path.name)
    assert_array_equal(mesh.cell_data["latent_2"][0], square.values[..., 2].ravel())


def test_the_heavy_part_never_takes_the_latents_place(square: Truth) -> None:
    before = square.path.read_bytes()
    assert make(square, "xdmf").name == "scan.latents.xdmf"
    assert square.path.read_bytes() == before
    assert names_in(square.path.parent) == ["scan.latents.h5", "scan.latents.xdmf", "scan.latents.xdmf.h5"]


def test_xdmf_has_no_colons_in_its_name(square: Truth, tmp_path: Path) -> None:
    with pytest.raises(MicrorunError, match=r"12:30\.xdmf: XDMF files cannot have a colon"):
        make(square, "xdmf", out=tmp_path / "12:30.xdmf")
    assert names_in(tmp_path) == ["scan.latents.h5"]


# --- zarr


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", SCANS)
def test_zarr_reads_all_that_there_is(tmp_path: Path, name: str, dtype: LatentType) -> None:
    scan = SCANS[name]
    truth = make_latents(tmp_path / "scan.latents.h5", scan, dtype, max(1, scan.total - 4))
    group = zarr.open_group(make(truth, "zarr", [3, 1]), mode="r")
    assert group.metadata.zarr_format == 3
    expected = {
        "latents": truth.values[..., [1, 3]].astype(dtype), "ranges": truth.ranges, "flags": truth.flags,
        "written": truth.written, "x_um": truth.x, "y_um": truth.y, "background": BACKGROUND, "feature": [1, 3],
    }  # fmt: skip
    assert set(group.array_keys()) == set(expected)
    for key, values in expected.items():
        assert_allclose(group[key][...], values, rtol=1e-12, err_msg=key)
    assert group["latents"].dtype == dtype
    assert group["flags"].dtype == group["written"].dtype == bool
    last = {"latents": ("feature",), "ranges": ("bound",)}
    for key in ("latents", "ranges", "flags", "written", "x_um", "y_um"):
        assert group[key].metadata.dimension_names == ("row", "col", *last.get(key, ()))
    assert group["feature"].metadata.dimension_names == ("feature",)
    unit = "µm" if scan.step_um[0] else "steps"
    assert group["x_um"].attrs["units"] == group["y_um"].attrs["units"] == unit
    assert group.attrs["features"] == [1, 3]
    assert group.attrs["origin"] == json.loads(origin_of(scan, dtype).to_json())
    assert group.attrs["spec"] == json.loads(SPEC.to_json())


def test_zarr_has_chunks_of_a_sensible_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # blocks as they are
    truth = make_latents(tmp_path / "wide.h5", Scan((1, 9000), (8, 8)), count=900)
    assert zarr.open_group(make(truth, "zarr"))["latents"].chunks == (1, 4096, SIZE)
    truth = make_latents(tmp_path / "square.h5", Scan((100, 100), (8, 8)), count=900)
    assert zarr.open_group(make(truth, "zarr"))["latents"].chunks == (64, 64, SIZE)


# --- every format


def values_in(path: Path, to: Format) -> Float32:
    """All latents in the order of the patterns, of a square map of one feature."""
    readers: dict[Format, Callable[[], Any]] = {
        "hspy": lambda: load_signal(path).data,
        "ang": lambda: orix.io.load(path).prop["latent_1"],
        "csv": lambda: read_csv(path)[1][:, 5],
        "ome-tiff": lambda: tifffile.imread(path),
        "xdmf": lambda: meshio.read(path).cell_data["latent_1"][0],
        "zarr": lambda: zarr.open_group(path, mode="r")["latents"][...],
    }
    return np.asarray(readers[to](), np.float32).ravel()


def check_values(path: Path, to: Format, truth: Truth) -> None:
    expected = truth.informative([1]) if to in ("hspy", "ome-tiff") else truth.values[..., 1]
    if to == "csv":
        expected = truth.values[truth.written, 1]
    assert_array_equal(values_in(path, to), np.ravel(expected))


@pytest.mark.parametrize("to", FORMATS)
def test_float16_is_exact(tmp_path: Path, to: Format) -> None:
    truth = make_latents(tmp_path / "scan.latents.h5", SCANS["square"], "float16")
    check_values(make(truth, to, [1]), to, truth)


CHILD = """
import sys
from pathlib import Path
from microrun.runtime.convert import convert_latents
from microrun.runtime.errors import OutputError
from microrun.runtime.latents import open_latents
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


def named(path: Path, to: Format) -> Path:
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


def test_what_arrives_while_rows_are_read_is_not_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first array is read from an earlier state of the file than the others."""
    scan = SCANS["square"]
    before = make_latents(tmp_path / "before.h5", scan, count=8)
    make_latents(tmp_path / "after.h5", scan, count=15)
    read = Latents.read
    with open_latents(tmp_path / "before.h5") as earlier, open_latents(tmp_path / "after.h5") as later:
        chosen = Features(later)
        states = itertools.chain([earlier], itertools.repeat(later))
        monkeypatch.setattr(Latents, "read", lambda _, name, piece=(): read(next(states), name, piece))
        block = chosen.read(slice(0, 6))
    assert_array_equal(block.written, before.written)
    assert_array_equal(block.values, before.values)
    assert_array_equal(block.flags, before.flags)


@pytest.mark.parametrize("to", FORMATS)
def test_only_some_rows_are_read_at_a_time(square: Truth, to: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = []
    read = Latents.read

    def listen(self: Latents, name: str, piece: Any = ()) -> NDArray[Any]:
        pieces.append((name, piece))
        return read(self, name, piece)

    monkeypatch.setattr(Latents, "read", listen)
    make(square, to)
    read_rows = [piece for name, piece in pieces if name == "latents"]
    assert sorted(read_rows, key=lambda rows: rows.start) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert {name for name, piece in pieces if piece == ()} <= {"background"}


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_written_yet(tmp_path: Path, to: Format) -> None:
    truth = make_latents(tmp_path / "new.h5", SCANS["square"], count=0)
    with pytest.raises(LatentsError, match=r"new\.h5: holds no latents yet"):
        make(truth, to)
    assert names_in(tmp_path) == ["new.h5"]


@pytest.mark.parametrize("numbers", [[-1], [SIZE], [0, 99], []])
def test_features_that_do_not_exist(square: Truth, numbers: list[int]) -> None:
    with pytest.raises(LatentsError, match=r"scan\.latents\.h5: features are 0 to 4; got"):
        make(square, "csv", numbers)


# --- what is on the disk


@pytest.mark.parametrize("to", FORMATS)
def test_an_output_is_replaced_only_if_asked(square: Truth, to: Format) -> None:
    folder = square.path.parent
    make(square, to, [0])
    made = names_in(folder)
    with open_latents(square.path) as latents:
        with pytest.raises(OutputError, match="exists; choose another --out, or replace it with --overwrite"):
            convert_latents(latents, to, features=[1])
        path = convert_latents(latents, to, features=[1], overwrite=True)[-1]
    check_values(path, to, square)
    assert names_in(folder) == made


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), RuntimeError("HDF5 has it"), KeyboardInterrupt()]
)
def test_a_failure_leaves_what_was_there(
    square: Truth, to: Format, failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(square, to, [1])
    made = names_in(square.path.parent)
    read = Features.read

    def fail(self: Features, rows: slice) -> Any:
        if rows.start:
            raise failure
        return read(self, rows)

    monkeypatch.setattr(Features, "read", fail)
    with open_latents(square.path) as latents, pytest.raises((OutputError, KeyboardInterrupt)) as error:
        convert_latents(latents, to, features=[0], overwrite=True)
    if isinstance(failure, Exception):
        said = "No space left on device" if isinstance(failure, OSError) else "HDF5 has it"
        assert str(error.value) == f"{path}: cannot be written ({said})"
    monkeypatch.undo()
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
    truth = make_latents(tmp_path / "scan.h5", Scan((25, 40), (8, 8)))
    said = run_child(FULL, truth.path).splitlines()
    assert said == [f"{named(truth.path, to)}: cannot be written (File too large)" for to in FORMATS]
    assert names_in(tmp_path) == ["scan.h5"]


def test_where_nothing_can_be_written(square: Truth, tmp_path: Path) -> None:
    for out, reason in ((tmp_path / "missing" / "a.csv", "No such file"), (square.path / "a.csv", "Not a directory")):
        with pytest.raises(OutputError, match=f"cannot be written .{reason}"):
            make(square, "csv", out=out)


@pytest.mark.parametrize("to", FORMATS)
def test_the_ending_must_be_that_of_the_format(square: Truth, tmp_path: Path, to: Format) -> None:
    for name in ("map", "map.h5", "map.tif", "map.csv.gz", "ome.tiff"):
        with pytest.raises(MicrorunError, match=rf"{name}: {to} files end in \."):
            make(square, to, out=tmp_path / name)
    assert names_in(tmp_path) == ["scan.latents.h5"]


@pytest.mark.parametrize("name", ["a.ome.tif", "b.OME.TIFF"])
def test_ome_tiff_has_two_endings(square: Truth, tmp_path: Path, name: str) -> None:
    path = make(square, "ome-tiff", [1], tmp_path / name)
    assert path.name == name
    check_values(path, "ome-tiff", square)


@pytest.mark.parametrize(("source", "out", "to"), [("a.csv", "a.csv", "csv"), ("a.xdmf.h5", "a.xdmf", "xdmf")])
def test_the_latents_are_never_overwritten(tmp_path: Path, source: str, out: str, to: Format) -> None:
    truth = make_latents(tmp_path / source, SCANS["square"])
    with open_latents(truth.path) as latents, pytest.raises(OutputError, match="is the latents file itself"):
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


def test_an_interrupted_replacement_never_mixes_two_conversions(square: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    """The light part of XDMF goes before the heavy part that it speaks of, and comes after it."""
    path = make(square, "xdmf", [1])
    replace = Path.replace

    def stop(self: Path, target: Path) -> Path:
        replaced = replace(self, target)
        raise KeyboardInterrupt(replaced)

    monkeypatch.setattr(Path, "replace", stop)
    with open_latents(square.path) as latents, pytest.raises(KeyboardInterrupt):
        convert_latents(latents, "xdmf", features=[0], overwrite=True)
    assert not path.exists()
    with h5py.File(path.with_name(path.name + ".h5")) as heavy:
        assert "latent_0" in heavy


def test_formats_are_all_there() -> None:
    assert set(convert.WRITERS) == set(FORMATS)
    suffixes = [suffix for writer in convert.WRITERS.values() for suffix in writer.suffixes]
    assert len(set(suffixes)) == len(suffixes)


def test_the_step_of_one_axis_alone_may_be_known(tmp_path: Path) -> None:
    truth = make_latents(tmp_path / "line.h5", dataclasses.replace(SCANS["one row"], step_um=(0.5, 0.0)))
    check_csv(make(truth, "csv"), truth, list(range(SIZE)))
    described = pixels_of(make(truth, "ome-tiff"))
    assert float(described["PhysicalSizeX"]) == 0.5
    assert "PhysicalSizeY" not in described
