"""`microrun render` as users run it."""

from __future__ import annotations

from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pytest
from command_line import Microrun, check_refused
from matplotlib.text import Text
from numpy.testing import assert_allclose

from microrun.runtime.pictures.drawing import read_drawing, read_printed
from microrun.runtime.pictures.grain_colours import colour_by_orientation
from microrun.runtime.pictures.painting import NOISE
from microrun.runtime.pictures.volume_view import draw_volume
from microrun.runtime.volumes.orientations import GrainOrientations, read_orientations, write_orientations
from microrun.runtime.volumes.volume import open_volume


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.npy"
    np.save(path, np.random.default_rng(0).integers(-1, 9, (8, 9, 10), np.int32))
    return path


@pytest.mark.parametrize("options", [(), ("--slices",), ("--voxel-um", 0.5)])
def test_grains_are_drawn(microrun: Microrun, tmp_path: Path, labels: Path, options: tuple[object, ...]) -> None:
    out = tmp_path / "grains.png"
    ran = microrun("render", labels, "--out", out, *options)
    assert ran.code == 0, ran
    assert str(out) in ran.said
    image = matplotlib.image.imread(out)
    assert image.shape[1] >= 900
    assert (image.shape[0] < 800) == ("--slices" in options)


def test_one_of_several_volumes_is_drawn(microrun: Microrun, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "volumes.h5", "w") as file:
        file["one"], file["other"] = np.zeros((4, 4, 4)), np.full((4, 4, 4), 0.5)
    check_refused(microrun("render", tmp_path / "volumes.h5", "--out", tmp_path / "a.png"), "one, other")
    ran = microrun("render", tmp_path / "volumes.h5", "--dataset", "one", "--out", tmp_path / "a.png")
    assert ran.code == 0, ran


@pytest.fixture
def oriented(tmp_path: Path, labels: Path) -> Path:
    euler = np.zeros((9, 3))
    euler[4:] = 0, np.arctan(2**0.5), np.pi / 4  # a body diagonal along z
    euler[8] = np.nan
    path = tmp_path / "oriented.h5"
    with h5py.File(path, "w") as file:
        file["grain_id"] = np.load(labels)
    write_orientations(path, "grain_id", GrainOrientations(euler, "m-3m", "fcc"))
    return path


def test_a_direction_in_capitals_is_a_direction(oriented: Path) -> None:
    orientations = read_orientations(oriented, f"{oriented}:grain_id")
    assert orientations is not None
    assert colour_by_orientation(orientations, "Z").direction == "z"


def test_grains_are_coloured_by_the_direction_that_lies_along_z(
    microrun: Microrun, tmp_path: Path, oriented: Path, labels: Path
) -> None:
    ran = microrun("render", oriented, "--ipf", "z", "--slices", "--out", tmp_path / "a.png")
    assert ran.code == 0, ran
    orientations = read_orientations(oriented, f"{oriented}:grain_id")
    assert orientations is not None
    found = colour_by_orientation(orientations, "z").colour(np.array([0, 4, 8, -1, 99], np.int32))
    assert_allclose(
        found, [[1, 0, 0], [0, 0, 1], [NOISE] * 3, [NOISE] * 3, [NOISE] * 3], atol=0.02
    )  # 001 red, 111 blue
    check_refused(microrun("render", labels, "--ipf", "z", "--out", tmp_path / "b.png"), labels, "microrun orient")
    check_refused(microrun("render", oriented, "--ipf", "w", "--out", tmp_path / "b.png"), "x, y, z; got 'w'")
    assert not (tmp_path / "b.png").exists()


def test_the_key_says_direction_and_crystals_and_printed_volumes_where_they_were_built(
    oriented: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microrun.runtime.pictures.volume_view.VIEW_PIXELS", 100)
    with h5py.File(oriented, "r+") as file:
        file.attrs.update(format="microrun part 1", step_um=0.5)
    orientations = read_orientations(oriented, f"{oriented}:grain_id")
    assert orientations is not None
    printed = read_printed(oriented)
    assert printed is not None
    with open_volume(oriented, "grain_id") as volume:
        drawing = read_drawing(volume, *printed, colour_by_orientation(orientations, "x"))
    figure = draw_volume(drawing)
    said = [text.get_text() for text in figure.findobj(Text)]
    assert "IPF-X · fcc, m-3m" in said
    assert {"z, build  4 µm", "x, scan  5 µm", r"[$1 1 1$]"} <= set(said)
    assert read_printed(Path("labels.npy")) is None


def test_values_have_the_colours_that_are_asked_for(microrun: Microrun, tmp_path: Path, labels: Path) -> None:
    np.save(tmp_path / "values.npy", np.linspace(0, 1, 27).reshape(3, 3, 3))
    out = tmp_path / "a.png"
    ran = microrun("render", tmp_path / "values.npy", "--cmap", "gray", "--slices", "--out", out)
    assert ran.code == 0, ran
    assert np.ptp(matplotlib.image.imread(out)[..., :3], axis=-1).max() < 0.01
    ran = microrun("render", tmp_path / "values.npy", "--cmap", "virdis", "--out", tmp_path / "b.png")
    check_refused(ran, "got 'virdis'; did you mean viridis")
    ran = microrun("render", labels, "--cmap", "gray", "--out", tmp_path / "b.png")
    check_refused(ran, "holds grains; --cmap colours values, --ipf grains")


def test_bad_input_is_one_line(microrun: Microrun, tmp_path: Path, labels: Path) -> None:
    check_refused(
        microrun("render", labels, "--out", tmp_path / "a.gif"), "a.gif: expected a name that ends in .png or .svg"
    )
    check_refused(microrun("render", tmp_path / "no.npy", "--out", tmp_path / "a.png"), "no such file")
    check_refused(microrun("render", labels, "--out", tmp_path / "a.png", "--voxel-um", 0), "more than 0")
    np.save(tmp_path / "empty.npy", np.full((3, 3, 3), np.nan))
    ran = microrun("render", tmp_path / "empty.npy", "--out", tmp_path / "a.png")
    check_refused(ran, "empty.npy", "nothing to draw")
    assert not (tmp_path / "a.png").exists()


def test_a_damaged_volume_is_named(microrun: Microrun, tmp_path: Path, labels: Path) -> None:
    damaged = tmp_path / "damaged.h5"
    with h5py.File(damaged, "w") as file:
        chunk = file.create_dataset("grain_id", data=np.load(labels), compression="gzip").id.get_chunk_info(0)
    content = bytearray(damaged.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    damaged.write_bytes(content)
    check_refused(microrun("render", damaged, "--out", tmp_path / "a.png"), damaged)
    assert not (tmp_path / "a.png").exists()
