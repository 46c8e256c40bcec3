"""`microrun bench segment`: what it makes, measures and prints, on small volumes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from command_line import Microrun, check_refused, run_here
from numpy.testing import assert_array_equal

from microrun.cli.bench import segment as _bench_segment
from microrun.cli.bench import timing as _bench_timing
from microrun.cli.bench.peers import list_missing
from microrun.cli.bench.segment import Host, make_grains, measure_segmentation, measure_tiling, voronoi_cells
from microrun.cli.bench.timing import median_seconds, peak_bytes
from microrun.cli.bench.voxelise import make_sphere, measure_voxelisation
from microrun.cli.bench.voxelisers import fill_with_trimesh, fill_with_vtk
from microrun.runtime.errors import MicrorunError
from microrun.runtime.volumes.parts import voxelize_triangles

HOST = Host("a CPU", 4, 2, copy_bytes_s=8e9)
WIDTH = 80  # columns of a terminal that tables fit into


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Microrun:
    monkeypatch.setattr(_bench_segment, "COPY_BYTES", 1 << 16)
    monkeypatch.setattr(_bench_segment, "SPHERE_BANDS", 12)
    monkeypatch.setattr(_bench_segment, "TILED", 80)
    return lambda *arguments: run_here(capsys, "bench", "segment", *arguments)


def say_nothing(_: str) -> None:
    pass


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
    usual = off < 6 * _bench_segment.NOISE
    assert 0.5 * _bench_segment.STRAY < 1 - usual.mean() < 2 * _bench_segment.STRAY
    assert off[usual].std() > 0


def test_the_sphere_is_closed_and_round() -> None:
    triangles = make_sphere(30)
    assert len(triangles) == 2 * 30 * 29
    assert len(np.unique(triangles.reshape(-1, 3), axis=0)) == 30 * 29 + 2
    mesh = trimesh.Trimesh(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3))
    mesh.merge_vertices()
    assert mesh.is_watertight
    assert abs(mesh.volume) == pytest.approx(4 / 3 * np.pi, rel=0.02)
    assert len(make_sphere(_bench_segment.SPHERE_BANDS)) == pytest.approx(50_000, rel=0.01)


# --- what is measured


def test_memory_is_what_the_work_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    size = 1 << 26
    took = peak_bytes(lambda: np.ones(size, np.uint8))
    assert (took is None) == (sys.platform != "linux")
    assert took is None or size * 0.95 < took < size * 1.2
    done: list[int] = []
    monkeypatch.setattr(_bench_timing, "PROCESS", tmp_path / "none")
    assert peak_bytes(lambda: done.append(1)) is None
    assert done == []


def test_the_median_is_of_so_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([5.0, 1.0, 9.0])
    monkeypatch.setattr(_bench_timing, "seconds_of", lambda work: next(times))
    assert median_seconds(lambda: None, 3) == 5


def test_ratios_are_those_of_the_numbers() -> None:
    small, large = measure_segmentation((12, 20), HOST, 2, 12, say_nothing)
    assert (small.size, large.size) == (12, 20)
    for found in (small, large):
        assert found.grains >= 2 and 0 <= found.noise < 0.2
        assert found.voxels_s == pytest.approx(found.size**3 / found.seconds)
        assert found.of_memory == pytest.approx(found.voxels_s / (2 * 8e9 / 8))
        assert found.voxel_bytes is None
    assert small.peer_seconds is not None and small.of_peer == pytest.approx(small.peer_seconds / small.seconds)
    assert large.peer_seconds is large.of_peer is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory")
def test_memory_is_told_of_volumes_that_weigh() -> None:
    (found,) = measure_segmentation((104,), HOST, 1, 0, say_nothing)
    assert found.voxel_bytes is not None and 8 < found.voxel_bytes < 14  # values and labels are 8


def test_other_labels_than_the_peers_are_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench_segment, "VALUE_SCALE", 1.0)  # of the peer only
    with pytest.raises(MicrorunError, match="12³, ours differ"):
        measure_segmentation((12,), HOST, 1, 12, say_nothing)


def test_trimesh_fills_at_least_our_voxels() -> None:
    triangles = make_sphere(20)
    ours, theirs = voxelize_triangles(triangles, 24).filled, fill_with_trimesh(triangles, 24)()
    assert ours.sum() < theirs.sum() < 1.5 * ours.sum()  # it marks all voxels that the surface touches


@pytest.mark.skipif(importlib.util.find_spec("vtkmodules") is None, reason="needs VTK")
def test_vtk_fills_our_voxels() -> None:
    triangles = make_sphere(20) * (1, 2, 3)
    assert_array_equal(fill_with_vtk(triangles, 24)(), voxelize_triangles(triangles, 24).filled)


def test_voxelisation_is_measured_in_turns_with_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench_segment, "has", lambda module: module == "trimesh")
    found = measure_voxelisation("ball", make_sphere(12), 16, 2, say_nothing)
    assert (found.part, found.faces, found.size, found.voxels) == ("ball", 264, 16, 16**3)
    assert found.seconds > 0 and set(found.of_peers) == {"trimesh"} and found.of_peers["trimesh"] > 0


def test_the_tiling_is_the_one_of_the_aim() -> None:
    assert measure_tiling(_bench_segment.TILED, 1).blocks == 2197


# --- the command


def test_the_command_prints_and_writes_what_it_measured(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    ran = microrun("--size", 12, "--size", 70, "--part-size", 16, "--repeats", 2, "--threads", 1, "--json", out)
    assert ran.code == 0, ran.err
    numbers = json.loads(out.read_text())
    assert numbers["machine"]["threads"] == 1 and numbers["machine"]["copy_bytes_s"] > 0
    small, large = numbers["segmentation"]
    assert small["of_peer"] > 0 and large["of_peer"] is None  # scikit-learn is given 64³ at most
    for row in (small, large):
        assert f"{row['size']}³ {row['grains']:,} {row['noise']:.1%} {row['seconds'] * 1e3:.1f}" in ran.said
        assert f"{row['of_memory']:.1%}" in ran.said
    assert f"{small['of_memory']:.1%} {small['of_peer']:.0f}" in ran.said
    part = numbers["voxelisation"]
    assert f"sphere, 264 faces, 16³ {part['seconds'] * 1e3:.1f}" in ran.said
    assert f"{part['of_peers']['trimesh']:.1f}" in ran.said
    assert f"tiling of 80³, 27 blocks: {numbers['tiling']['seconds'] * 1e3:.1f} ms (aim < 50 ms)" in ran.said
    for part in ("1 thread of", "× sklearn", "≥ 300", "≥ 40", "≤ 12", "× VTK", "≥ 3", f"wrote {out}"):
        assert part in ran.said
    assert max(len(line.rstrip()) for line in ran.out.splitlines() if str(out) not in line) <= WIDTH, ran.out


def test_a_given_part_is_voxelised(microrun: Microrun, tmp_path: Path) -> None:
    path = tmp_path / "box.stl"
    trimesh.creation.box((3, 2, 1)).export(path)
    ran = microrun("--size", 12, "--stl", path, "--part-size", 12, "--repeats", 1)
    assert ran.code == 0, ran.err
    assert "box.stl, 12 faces, 12³" in ran.said


def test_what_is_not_installed_is_left_out_and_told(microrun: Microrun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench_segment, "has", lambda module: False)
    assert list_missing() == [
        "scikit-learn is not installed; pip install 'microrun[analyse]'",
        "trimesh is not installed; pip install 'microrun[generate]'",
        "VTK is not installed; pip install vtk",
    ]
    ran = microrun("--size", 12, "--part-size", 16, "--repeats", 1)
    assert ran.code == 0, ran.err
    for line in list_missing():
        assert f"warning: {line}" in ran.err
    assert "12³" in ran.said and "16³" in ran.said


def test_what_cannot_be_measured(microrun: Microrun, tmp_path: Path) -> None:
    empty = tmp_path / "empty.stl"
    empty.write_bytes(b"")
    check_refused(microrun("--stl", empty), "empty.stl", "no triangles")
    check_refused(microrun("--stl", tmp_path / "none.stl"), "none.stl", code=1)
    check_refused(microrun("--size", 1), "--size")
    check_refused(microrun("--threads", 0), "--threads")
    check_refused(microrun("--repeats", 0), "--repeats")
    check_refused(microrun("--json", tmp_path), tmp_path, code=1)
