"""STL files to voxels: analytic bodies, any file that means the same part, leaks, and what is no part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
import voxel_oracles as oracles
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion
from trimesh import creation

from microrun.kernels.voxelize import vote_along
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes import parts
from microrun.runtime.volumes.parts import Part, load_part, voxelize_triangles
from microrun.runtime.volumes.stl import read_stl

LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.parts import load_part
load_part(Path(sys.argv[1]), 8)  # what is loaded and compiled once is there
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 29), resource.RLIM_INFINITY))
try:
    load_part(Path(sys.argv[1]), 1024)
except VolumeError as error:
    print(error)
"""
SPHERE = creation.icosphere(4)
TURN = trimesh.transformations.rotation_matrix(0.7, (1, 2, 3))
BODIES = {
    "sphere": creation.icosphere(2),
    "box": creation.box((3, 2, 1)),
    "torus": creation.torus(3, 1, major_sections=16, minor_sections=8),
    "tilted box": creation.box((3, 2, 1), TURN),
    "tilted cylinder": creation.cylinder(1, 3, 12, transform=TURN),
}


def corners(mesh: trimesh.Trimesh) -> NDArray[np.float64]:
    """Triangles as z, y, x."""
    return np.asarray(mesh.triangles, np.float64)[..., ::-1]


def voxelize(mesh: trimesh.Trimesh, size: int) -> Part:
    return voxelize_triangles(corners(mesh), size)


def write(mesh: trimesh.Trimesh, path: Path) -> Path:
    mesh.export(path)
    return path


@pytest.mark.parametrize("size", [5, 16])
@pytest.mark.parametrize("name", BODIES)
def test_voxels_are_those_whose_centres_lie_inside(name: str, size: int) -> None:
    mesh = BODIES[name]
    part = voxelize(mesh, size)
    assert max(part.filled.shape) == size
    numbers = np.abs(oracles.winding_numbers(corners(mesh), oracles.voxel_centres(corners(mesh), part.filled.shape)))
    clear = np.abs(numbers - 0.5).reshape(part.filled.shape) > 0.49
    assert clear.mean() > 0.9
    assert_array_equal(part.filled[clear], oracles.inside(corners(mesh), part.filled.shape)[clear])
    assert part.odd_rays == 0


@pytest.mark.parametrize("name", BODIES)
def test_volumes_are_those_that_trimesh_finds(name: str) -> None:
    part = voxelize(BODIES[name], 100)
    assert_allclose(part.filled.sum() * part.voxel_edge**3, BODIES[name].volume, rtol=0.03)


@pytest.mark.parametrize("name", BODIES)
def test_voxels_of_trimesh_differ_at_the_surface_only(name: str) -> None:
    mesh = BODIES[name]
    part = voxelize(mesh, 40)
    centres = oracles.voxel_centres(corners(mesh), part.filled.shape)[:, ::-1]
    peer = mesh.voxelized(part.voxel_edge / 2).fill().is_filled(centres).reshape(part.filled.shape)
    around = np.ones((3, 3, 3))
    assert not (part.filled & ~binary_dilation(peer, around)).any()
    assert not (binary_erosion(peer, around) & ~part.filled).any()
    assert (part.filled != peer).mean() < 0.1


def test_a_sphere_is_that_of_the_formula() -> None:
    part = voxelize(creation.icosphere(6), 32)
    z, y, x = (np.indices((32, 32, 32)) + 0.5) / 16 - 1
    distance = np.sqrt(x * x + y * y + z * z)
    clear = np.abs(distance - 1) > 1e-3
    assert_array_equal(part.filled[clear], distance[clear] < 1)


def test_axes_are_z_y_x() -> None:
    part = voxelize(creation.box((40, 20, 10)), 40)
    assert part.filled.shape == (10, 20, 40)
    assert part.filled.all()
    assert part.voxel_edge == 1
    assert part.rays == 10 * 20 + 10 * 40 + 20 * 40


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 50])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    one, other = (voxelize_triangles(corners(SPHERE)[::2], 24, count) for count in (1, threads))
    assert_array_equal(one.filled, other.filled)
    assert (one.rays, one.odd_rays) == (other.rays, other.odd_rays)
    assert one.odd_rays > 0


@pytest.mark.parametrize("thickness", [1.02, 1.08, 1.1, 1.12, 1.3])
def test_a_plate_is_as_thick_as_it_is(thickness: float) -> None:
    plate = creation.box((20, 20, thickness))
    part = voxelize(plate, 100)
    assert part.filled.all()
    assert abs(part.filled.shape[0] - thickness / 0.2) <= 0.5 + 1e-9
    assert_allclose(part.mesh_volume, plate.volume, rtol=1e-5)
    assert abs(part.volume - plate.volume) <= plate.area * part.voxel_edge / 2


@given(
    st.tuples(*[st.floats(0.11, 1)] * 3),
    st.integers(10, 40),
    st.sampled_from(["box", "tilted box", "tilted cylinder", "torus"]),
)
@settings(max_examples=30)
def test_voxels_hold_the_volume_of_the_mesh_within_half_a_voxel_of_its_surface(
    scale: tuple[float, float, float], size: int, name: str
) -> None:
    mesh = BODIES[name].copy().apply_scale(scale)
    part = voxelize(mesh, size)
    assert_allclose(part.mesh_volume, mesh.volume, rtol=1e-3)
    assert abs(part.volume - mesh.volume) <= mesh.area * part.voxel_edge / 2


def test_normals_order_units_and_origin_do_no_harm(tmp_path: Path) -> None:
    mesh = BODIES["tilted cylinder"]
    expected = voxelize(mesh, 20).filled
    turned = corners(mesh).copy()
    turned[::3] = turned[::3, ::-1]
    assert_array_equal(voxelize_triangles(turned, 20).filled, expected)
    assert_array_equal(voxelize_triangles(corners(mesh)[::-1][:, ::-1], 20).filled, expected)
    for scale, origin in ((1e-6, 0), (25.4, 0), (1, 4096.0)):
        moved = mesh.copy().apply_scale(scale).apply_translation([origin] * 3)
        part = load_part(write(moved, tmp_path / "moved.stl"), 20)
        assert (part.filled != expected).mean() < 0.002  # an STL holds 24 bits
        assert part.odd_rays == 0


def test_text_and_binary_files_mean_the_same(tmp_path: Path) -> None:
    binary = write(SPHERE, tmp_path / "binary.stl")
    text = tmp_path / "text.stl"
    text.write_text(trimesh.exchange.stl.export_stl_ascii(SPHERE))
    assert_allclose(read_stl(text).triangles, read_stl(binary).triangles, atol=1e-6)
    assert_allclose(read_stl(binary).triangles, corners(SPHERE), atol=1e-6)
    assert_array_equal(load_part(text, 20).filled, load_part(binary, 20).filled)


def test_three_rays_heal_what_one_does_not() -> None:
    mesh = creation.icosphere(5)
    kept = np.random.default_rng(3).random(len(mesh.faces)) >= 0.01
    whole, leaky = voxelize(mesh, 64), voxelize_triangles(corners(mesh)[kept], 64)
    one_axis = one_axis_only(corners(mesh)[kept], 64)
    wrong, wrong_alone = ((mask != whole.filled).sum() for mask in (leaky.filled, one_axis))
    assert 0 < leaky.odd_rays < 0.03 * leaky.rays
    assert wrong * 10 < wrong_alone
    assert wrong < 0.002 * whole.filled.sum()


def one_axis_only(triangles: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    """What the rays along x alone say."""
    units, shape, _ = parts._to_units(triangles, size)
    votes = np.zeros(shape, np.uint8)
    parts._follow(units, 0, votes, vote_along)
    return votes % 4 > 0


def refused(path: Path, size: int, *said: str) -> None:
    with pytest.raises(VolumeError) as error:
        load_part(path, size)
    assert "\n" not in str(error.value)
    for part in (str(path), *said):
        assert part in str(error.value)


def test_files_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    path = write(SPHERE, tmp_path / "short.stl")
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, 10, "cut short")


def test_coordinates_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    mesh = creation.box((1, 1, 1))
    mesh.vertices[0] = np.nan
    refused(write(mesh, tmp_path / "nan.stl"), 10, "expected an STL file")


def test_a_corner_that_lies_too_far_from_the_others_is_refused(tmp_path: Path) -> None:
    mesh = creation.box((1, 1, 1))
    mesh.vertices[0] = 1e20
    refused(write(mesh, tmp_path / "far.stl"), 10, "points or lines", "far from the others")


def test_flat_parts_are_refused(tmp_path: Path) -> None:
    mesh = creation.box((4, 3, 2))
    mesh.vertices[:, 1] = 5
    refused(write(mesh, tmp_path / "flat.stl"), 10, "flat", "4 × 0 × 2")
    mesh.vertices[:] = 5
    refused(write(mesh, tmp_path / "flat.stl"), 10, "flat")


def test_parts_thinner_than_a_voxel_are_refused_with_the_size_to_take(tmp_path: Path) -> None:
    plate = write(creation.box((30, 20, 1)), tmp_path / "plate.stl")
    refused(plate, 29, "thinner than a voxel", "at least 30")
    assert load_part(plate, 30).filled.all()
    cavity = creation.box((9.99, 9.99, 9.99))
    cavity.invert()
    refused(
        write(creation.box((10, 10, 10)) + cavity, tmp_path / "walls.stl"), 10, "thinner than a voxel", "larger size"
    )


def test_surfaces_too_open_are_refused(tmp_path: Path) -> None:
    half = creation.box((4, 4, 4))
    half.update_faces(half.face_normals.max(axis=1) < 0.5)
    refused(write(half, tmp_path / "half.stl"), 10, "closed surface", "100% of the rays", "odd number of faces")


@pytest.mark.parametrize("size", [-1, 0, 1, 8193])
def test_sizes_out_of_range_are_refused(size: int, tmp_path: Path) -> None:
    refused(tmp_path / "any.stl", size, "2 to 8,192", f"got {size}")


def test_more_voxels_than_a_volume_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = write(creation.box((4, 2, 1)), tmp_path / "box.stl")
    refused(box, 8192, "at most 8,589,934,592 voxels", "(2048, 4096, 8192)", "smaller size")
    monkeypatch.setattr(parts, "LARGEST", 20 * 10 * 5)
    refused(box, 21, "at most 1,000 voxels", "(5, 11, 21)")
    assert load_part(box, 20).filled.size == 1000


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a process cannot be limited")
def test_too_little_memory_is_one_line(tmp_path: Path) -> None:
    """In a process of its own: threads of this one die where they get no memory."""
    box = write(creation.box((1, 1, 1)), tmp_path / "box.stl")
    ran = subprocess.run([sys.executable, "-c", LITTLE_MEMORY, box], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    (line,) = ran.stdout.splitlines()
    for part in (str(box), "at size 1024 it takes more memory than there is", "smaller size"):
        assert part in line


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.stl"):
        load_part(tmp_path / "none.stl", 10)
