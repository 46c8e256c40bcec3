"""`microrun render`, and `microrun convert` of grains, as users run them."""

from __future__ import annotations

from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pytest
from command_line import check_refused, run_here


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.npy"
    np.save(path, np.random.default_rng(0).integers(-1, 9, (8, 9, 10), np.int32))
    return path


@pytest.mark.parametrize("options", [(), ("--slices",), ("--voxel-um", 0.5)])
def test_grains_are_drawn(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, labels: Path, options: tuple[object, ...]
) -> None:
    out = tmp_path / "grains.png"
    ran = run_here(capsys, "render", labels, "--out", out, *options)
    assert ran.code == 0, ran
    assert str(out) in ran.said
    image = matplotlib.image.imread(out)
    assert image.shape[1] >= 900
    assert (image.shape[0] < 800) == ("--slices" in options)


def test_one_of_several_volumes_is_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "volumes.h5", "w") as file:
        file["one"], file["other"] = np.zeros((4, 4, 4)), np.full((4, 4, 4), 0.5)
    check_refused(run_here(capsys, "render", tmp_path / "volumes.h5", "--out", tmp_path / "a.png"), "one, other")
    ran = run_here(capsys, "render", tmp_path / "volumes.h5", "--dataset", "one", "--out", tmp_path / "a.png")
    assert ran.code == 0, ran


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, labels: Path) -> None:
    check_refused(run_here(capsys, "render", labels, "--out", tmp_path / "a.jpg"), "a.jpg", ".png", code=1)
    check_refused(run_here(capsys, "render", tmp_path / "no.npy", "--out", tmp_path / "a.png"), "no such file")
    check_refused(run_here(capsys, "render", labels, "--out", tmp_path / "a.png", "--voxel-um", 0), "more than 0")
    np.save(tmp_path / "empty.npy", np.full((3, 3, 3), np.nan))
    ran = run_here(capsys, "render", tmp_path / "empty.npy", "--out", tmp_path / "a.png")
    check_refused(ran, "empty.npy", "nothing to draw")
    assert not (tmp_path / "a.png").exists()


def test_a_damaged_volume_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, labels: Path) -> None:
    damaged = tmp_path / "damaged.h5"
    with h5py.File(damaged, "w") as file:
        chunk = file.create_dataset("grain_id", data=np.load(labels), compression="gzip").id.get_chunk_info(0)
    content = bytearray(damaged.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    damaged.write_bytes(content)
    check_refused(run_here(capsys, "render", damaged, "--out", tmp_path / "a.png"), damaged)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("to", ["vti", "dream3d"])
def test_grains_are_converted(capsys: pytest.CaptureFixture[str], tmp_path: Path, labels: Path, to: str) -> None:
    np.save(tmp_path / "values.npy", np.zeros((8, 9, 10), np.float32))
    ran = run_here(capsys, "convert", labels, "--to", to, "--voxel-um", 0.5, "--values", tmp_path / "values.npy")
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
    check_refused(run_here(capsys, "convert", labels, "--to", to), made, "--overwrite", code=1)
    assert run_here(capsys, "convert", labels, "--to", to, "--overwrite").code == 0


def test_options_of_the_other_kind_are_refused(capsys: pytest.CaptureFixture[str], labels: Path) -> None:
    check_refused(run_here(capsys, "convert", labels, "--to", "vti", "--features", 1), "--features has no meaning")
    check_refused(run_here(capsys, "convert", labels, "--to", "csv", "--values", labels), "--values has no meaning")
    check_refused(run_here(capsys, "convert", labels, "--to", "csv", "--dataset", "a"), "--dataset has no meaning")
    check_refused(run_here(capsys, "convert", labels, "--to", "csv", "--voxel-um", 2), "--voxel-um has no meaning")
    check_refused(run_here(capsys, "convert", labels, "--to", "vti", "--voxel-um", 0), "more than 0 µm; got 0")
