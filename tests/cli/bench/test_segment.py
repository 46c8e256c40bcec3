"""`microrun bench segment`: what it makes, measures and prints, on small volumes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from bench_output import check_width, make_table, read_tables
from command_line import Microrun, check_refused
from numpy.testing import assert_array_equal

from microrun.cli.bench import segment, voxelise
from microrun.cli.bench.measurement import figure
from microrun.cli.bench.segment import (
    check_with_peer,
    list_missing,
    make_grains,
    measure_segmentation,
    measure_tiling,
    voronoi_cells,
)
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.extras import install_command
from microrun.runtime.progress import finish

HOST = make_table({"memory allows": 2000.0}, threads=2)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be asked for on the command line is small, too."""
    monkeypatch.setattr(segment, "COPY_BYTES", 1 << 16)
    monkeypatch.setattr(voxelise, "SPHERE_BANDS", 12)
    monkeypatch.setattr(segment, "TILED", 80)


# --- what is made


def test_cells_are_those_of_the_nearest_point() -> None:
    size, cells = 9, 7
    labels = voronoi_cells(size, cells)
    points = np.random.default_rng(0).integers(0, size, (3, cells))
    places = np.indices((size, size, size))
    squares = ((places[..., None] - points[:, None, None, None]) ** 2).sum(axis=0)
    own = np.take_along_axis(squares, labels[..., None].astype(int), axis=-1)[..., 0]
    assert_array_equal(own, squares.min(axis=-1))


def test_volumes_are_noisy_cells_and_always_the_same() -> None:
    values = make_grains(24)
    assert values.dtype == np.float32
    assert_array_equal(values, make_grains(24))
    cells = voronoi_cells(24, 8)
    medians = np.array([np.median(values[cells == cell]) for cell in range(8)])
    off = abs(values - medians[cells])
    usual = off < 6 * segment.NOISE
    assert 0.5 * segment.STRAY < 1 - usual.mean() < 2 * segment.STRAY
    assert off[usual].std() > 0


# --- what is measured


def test_ratios_are_those_of_the_numbers() -> None:
    small, large = finish(measure_segmentation((12, 20), HOST, 2, 12))
    assert (small.title, large.title) == ("segmentation, 12³", "segmentation, 20³")
    for table, size in ((small, 12), (large, 20)):
        assert table["grains"] >= 2 and 0 <= table["noise"] < 20
        assert len(table.rows["time"].samples) == 2 and table.rows["time"].unit == "ms"
        assert table["speed"] == pytest.approx(size**3 / table["time"] / 1e3)
        assert table["of memory"] == pytest.approx(table["speed"] / 2000)
        assert "memory" not in table.rows
    assert small["× scikit-learn"] == pytest.approx(small["scikit-learn"] / small["time"])
    assert "scikit-learn" not in large.rows and "× scikit-learn" not in large.rows


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory")
def test_memory_is_told_of_volumes_that_weigh() -> None:
    (table,) = finish(measure_segmentation((104,), HOST, 1, 0))
    assert 8 < table["memory"] < 14  # values and labels are 8


def test_other_labels_than_the_peers_are_a_defect() -> None:
    with pytest.raises(MicrorunError, match="12³, ours differ"):
        check_with_peer(make_grains(12), np.zeros((12, 12, 12), np.int32))


def test_the_tiling_is_the_one_of_the_aim() -> None:
    table = measure_tiling(segment.TILED, 1)
    assert table["blocks"] == 2197 and table.rows["time"].remark == "(< 50)"


# --- the command


@pytest.mark.usefixtures("small")
def test_the_command_prints_and_writes_what_it_measured(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    options = ("--size", 12, "--size", 70, "--part-size", 16, "--repeats", 2, "--threads", 1, "--out", out)
    ran = microrun("segment", *options)
    assert ran.code == 0, ran.err
    machine, small, large, part, tiling = read_tables(out)
    assert machine.facts["threads"] == 1
    assert machine["memory allows"] == pytest.approx(2 * machine["memory copy"] * 1e3 / 8)
    assert small["× scikit-learn"] > 0 and "× scikit-learn" not in large.rows  # it is given 64³ at most
    for name, label in (("grains", "grains"), ("noise", "noise, %"), ("time", "time, ms"), ("of memory", "of memory")):
        assert f"{label} {figure(float(small[name]))} {figure(float(large[name]))}" in ran.said
    assert f"× scikit-learn {figure(small['× scikit-learn'])} (≥ 300)" in ran.said
    assert part.title == "sphere, 264 faces, 16³" and "sphere 264 faces 16³" in ran.said
    assert f"× trimesh {figure(part['× trimesh'])} (≥ 3)" in ran.said
    assert f"blocks 27 time, ms {figure(tiling['time'])} (< 50)" in ran.said
    for said in ("1 thread;", "(≥ 40)", f"wrote {out}"):
        assert said in ran.said
    assert small.rows["speed"].remark == "(≥ 40)"
    if "memory" in large.rows:
        assert large.rows["memory"].remark == "(≤ 12)"
    check_width(ran.out)


@pytest.mark.usefixtures("small")
def test_a_given_part_is_voxelised(microrun: Microrun, tmp_path: Path) -> None:
    path = tmp_path / "box.stl"
    trimesh.creation.box((3, 2, 1)).export(path)
    ran = microrun("segment", "--size", 12, "--stl", path, "--part-size", 12, "--repeats", 1)
    assert ran.code == 0, ran.err
    assert "box.stl 12 faces 12³" in ran.said


@pytest.mark.usefixtures("small")
def test_what_is_not_installed_is_left_out_and_told(microrun: Microrun, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sklearn", "trimesh", "vtkmodules"):
        monkeypatch.setitem(sys.modules, module, None)
    assert list_missing() == [
        f"scikit-learn is not installed; {install_command('analyse')}",
        f"trimesh is not installed; {install_command('generate')}",
        "VTK is not installed; pip install vtk",
    ]
    ran = microrun("segment", "--size", 12, "--part-size", 16, "--repeats", 1)
    assert ran.code == 0, ran.err
    for line in list_missing():
        assert f"warning: {line}" in ran.err
    assert "12³" in ran.said and "16³" in ran.said and "×" not in ran.said


def test_what_cannot_be_measured(microrun: Microrun, tmp_path: Path) -> None:
    empty = tmp_path / "empty.stl"
    empty.write_bytes(b"")
    check_refused(microrun("segment", "--stl", empty), "empty.stl", "no triangles")
    check_refused(microrun("segment", "--stl", tmp_path / "none.stl"), "none.stl", code=1)
    check_refused(microrun("segment", "--size", 1), "--size")
    check_refused(microrun("segment", "--threads", 0), "--threads")
    check_refused(microrun("segment", "--repeats", 0), "--repeats")
    check_refused(microrun("segment", "--out", tmp_path), tmp_path)
