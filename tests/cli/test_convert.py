"""`microrun convert`: every format by its name, every bad input in one line, and what the documentation shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused, hide_library
from files_in import names_in

from microrun.runtime.convert.convert_latents import LatentsFormat
from microrun.runtime.files.extras import install_command
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.scan import Scan
from microrun.runtime.spec import ModelSpec, Preprocessing

FORMATS = get_args(LatentsFormat)
SIZE = 20
STEPS = (0.5, 0.5)
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "convert.md"


def write_latents(path: Path, scan: Scan) -> Path:
    spec = ModelSpec("tiny", "encoder", SIZE, Preprocessing((4, 4), 0))
    origin = Origin(scan, "f" * 64, spec, "e" * 64, "NumPy on cpu", "f32", "none")
    numbers = np.arange(scan.total)
    values = (numbers[:, None] + np.arange(SIZE) / 100).astype(np.float32)
    with LatentsWriter.create(path, origin, np.zeros((4, 4), np.float32)) as writer:
        writer.write(EncodedBatch(numbers, values, values[:, :2], numbers < 0))
    return path


@pytest.fixture
def latents(tmp_path: Path) -> Path:
    return write_latents(tmp_path / "scan.latents.h5", Scan((4, 3), (8, 8), step_um=STEPS))


def header_of(path: Path) -> str:
    return path.read_text(encoding="ascii").splitlines()[0]


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_has_its_name(microrun: Microrun, latents: Path, to: str) -> None:
    ran = microrun("convert", latents, "--to", to)
    assert (ran.code, ran.err) == (0, "")
    made = [f"scan.latents.{to.replace('-', '.')}"]
    made += ["scan.latents.xdmf.h5"] if to == "xdmf" else []
    assert names_in(latents.parent) == sorted(["scan.latents.h5", *made])
    for name in made:
        assert f"wrote {latents.parent / name}" in ran.said


def test_options_of_convert(microrun: Microrun, latents: Path, tmp_path: Path) -> None:
    out = tmp_path / "some.csv"
    assert microrun("convert", latents, "--to", "csv", "--features", "17, 3,3", "--out", out).code == 0
    assert header_of(out) == "row,col,x_um,y_um,flag,latent_3,latent_17"
    assert out.read_text(encoding="ascii").splitlines()[5] == "1,1,0.5,0.5,0,4.03000021,4.17000008"
    check_refused(microrun("convert", latents, "--to", "csv", "--out", out), out, "exists", "--overwrite")
    assert microrun("convert", latents, "--to", "csv", "--out", out, "--features", "5", "--overwrite").code == 0
    assert header_of(out) == "row,col,x_um,y_um,flag,latent_5"


def test_a_step_that_is_not_known_is_said(microrun: Microrun, tmp_path: Path) -> None:
    path = write_latents(tmp_path / "a.h5", Scan((4, 3), (8, 8)))
    ran = microrun("convert", path, "--to", "csv")
    assert ran.code == 0
    assert ran.err.split() == f"warning: {path}: does not state its step; positions count in steps".split()
    assert header_of(tmp_path / "a.csv").startswith("row,col,x_steps,y_steps,flag,")


@pytest.mark.parametrize("features", ["20", "-1", "0,99", "a", "1,,2", "1.5", ""])
def test_features_that_do_not_exist(microrun: Microrun, latents: Path, features: str) -> None:
    check_refused(microrun("convert", latents, "--to", "csv", f"--features={features}"), "features are")
    assert names_in(latents.parent) == ["scan.latents.h5"]


def test_what_cannot_be_converted(microrun: Microrun, latents: Path, tmp_path: Path) -> None:
    check_refused(microrun("convert", latents), "--to")
    check_refused(microrun("convert", latents, "--to", "jpeg"), "jpeg")
    check_refused(microrun("convert", tmp_path / "none.h5", "--to", "csv"), tmp_path / "none.h5")
    check_refused(microrun("convert", DOCUMENTATION, "--to", "csv"), DOCUMENTATION)
    check_refused(microrun("convert", latents, "--to", "csv", "--out", tmp_path / "a.txt"), "a.txt", ".csv")
    hexagonal = write_latents(tmp_path / "hexagonal.h5", Scan((4, 3), (8, 8), grid="hexagonal", step_um=STEPS))
    check_refused(microrun("convert", hexagonal, "--to", "hspy"), hexagonal, "hexagonal grid")


def test_output_that_cannot_be_written(microrun: Microrun, latents: Path, tmp_path: Path) -> None:
    for out in (tmp_path / "missing" / "a.csv", latents / "a.csv"):
        check_refused(microrun("convert", latents, "--to", "csv", "--out", out), out)


@pytest.mark.parametrize(("library", "to"), [("rsciio", "hspy"), ("tifffile", "ome-tiff"), ("zarr", "zarr")])
def test_a_library_that_is_missing(
    microrun: Microrun, latents: Path, library: str, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_library(monkeypatch, library)
    ran = microrun("convert", latents, "--to", to)
    check_refused(ran, "is not installed", install_command("convert"))
    assert names_in(latents.parent) == ["scan.latents.h5"]


def test_the_documentation_runs(microrun: Microrun, latents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for to in FORMATS:
        assert microrun("convert", latents, "--to", to).code == 0
    monkeypatch.chdir(latents.parent)
    expected = np.arange(12) + np.float32(0.17)
    scripts = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    assert len(scripts) == 5
    for script in scripts:
        found: dict[str, object] = {}
        exec(script, found)
        if "feature" in found:
            np.testing.assert_allclose(np.ravel(found["feature"]), expected, rtol=1e-6)
        if "channels" in found:
            np.testing.assert_allclose(np.ravel(found["channels"][17]), expected, rtol=1e-6)
        if "signal" in found:
            np.testing.assert_allclose(np.ravel(found["signal"].isig[17.0].data.compute()), expected, rtol=1e-6)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.npy"
    np.save(path, np.random.default_rng(0).integers(-1, 9, (8, 9, 10), np.int32))
    return path


@pytest.mark.parametrize("to", ["vti", "dream3d"])
def test_grains_are_converted(microrun: Microrun, tmp_path: Path, labels: Path, to: str) -> None:
    np.save(tmp_path / "values.npy", np.zeros((8, 9, 10), np.float32))
    ran = microrun("convert", labels, "--to", to, "--voxel-um", 0.5, "--values", tmp_path / "values.npy")
    assert ran.code == 0, ran
    made = tmp_path / f"labels.{to}"
    assert str(made) in ran.said
    assert made.stat().st_size > 2 * 4 * 8 * 9 * 10
    if to == "dream3d":
        with h5py.File(made) as file:
            assert file["DataStructure/ImageGeom"].attrs["_SPACING"][0] == 0.5
            np.testing.assert_array_equal(
                file["DataStructure/ImageGeom/Cell Data/FeatureIds"][..., 0], np.load(labels) + 1
            )
    check_refused(microrun("convert", labels, "--to", to), made, "--overwrite")
    assert microrun("convert", labels, "--to", to, "--overwrite").code == 0


def test_options_of_the_other_kind_are_refused(microrun: Microrun, labels: Path) -> None:
    check_refused(microrun("convert", labels, "--to", "vti", "--features", 1), "--features has no meaning")
    check_refused(microrun("convert", labels, "--to", "csv", "--values", labels), "--values has no meaning")
    check_refused(microrun("convert", labels, "--to", "csv", "--dataset", "a"), "--dataset has no meaning")
    check_refused(microrun("convert", labels, "--to", "csv", "--voxel-um", 2), "--voxel-um has no meaning")
    check_refused(microrun("convert", labels, "--to", "vti", "--voxel-um", 0), "more than 0 µm; got 0")
