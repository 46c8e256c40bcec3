"""`microrun render` as users run it."""

from __future__ import annotations

from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pytest
from command_line import Microrun, check_refused


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
