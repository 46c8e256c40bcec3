"""Conventional maps of whole scans: every pattern where it lies, and what orientations tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from jobs import watch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from oracles import bin_whole, circular_keep, rescale_pattern
from scipy.spatial.transform import Rotation
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError
from microrun.runtime.maps.conventional import PhysicsMaps, map_orientations, map_patterns, spread_over_map
from microrun.runtime.maps.orientations import OrientedMap, misorientation_angles
from microrun.runtime.maps.pattern_quality import measure_image_quality, measure_sharpness
from microrun.runtime.progress import Progress, finish
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import MemorySource
from microrun.runtime.scans.up_source import FileSource

if TYPE_CHECKING:
    from conftest import Indexed

SIDE = 240
KEEP = circular_keep((120, 120), 0)
FLAT = 4


def write_scan(path: Path, count: int, header: Header) -> tuple[FileSource, np.ndarray]:
    """Random patterns, one of them constant."""
    patterns = make_patterns(count, (SIDE, SIDE))
    patterns[FLAT] = 77
    return FileSource(write_up(path, patterns, header)), patterns


HEADERS = {
    "square": (12, Header(sig_shape=(SIDE, SIDE), nav_shape=(3, 4))),
    "alternating": (11, Header(sig_shape=(SIDE, SIDE), nav_shape=(3, 4), hexagonal=1)),
}


@pytest.mark.parametrize(("count", "header"), HEADERS.values(), ids=HEADERS)
def test_patterns_are_measured_where_they_lie(tmp_path: Path, count: int, header: Header) -> None:
    source, patterns = write_scan(tmp_path / "scan.up2", count, header)
    seen, maps = watch(map_patterns(source))
    binned = np.array([bin_whole(pattern, 2) for pattern in patterns])
    prepared = [rescale_pattern(pattern, binned.mean(axis=0), KEEP) for pattern in binned]
    outs = np.array([one.out for one in prepared], np.float32)
    rows, cols = source.scan.locate(np.arange(count))
    assert_allclose(maps.mean_intensity[rows, cols], binned[:, KEEP].mean(axis=1), rtol=1e-5)
    expected = {"image_quality": measure_image_quality(outs, KEEP), "sharpness": measure_sharpness(outs, KEEP)}
    for name, values in expected.items():
        values[FLAT] = np.nan
        assert_allclose(getattr(maps, name)[rows, cols], values, atol=2e-3)
    for image in (maps.image_quality, maps.sharpness, maps.mean_intensity):
        assert np.isnan(image[~source.scan.exists()]).all()
    assert (maps.rotations, maps.colours, maps.grains, maps.kam_deg, maps.grod_deg) == (None,) * 5
    assert seen == [Progress(count, count)]


@pytest.mark.filterwarnings("ignore::microrun.runtime.scans.up2.ScanWarning")
def test_a_scan_that_was_cut_is_mapped_as_far_as_it_goes(tmp_path: Path) -> None:
    source, _ = write_scan(tmp_path / "scan.up2", 7, Header(sig_shape=(SIDE, SIDE), nav_shape=(3, 4)))
    found = finish(map_patterns(source))
    assert_array_equal(np.isnan(found.mean_intensity).ravel(), np.arange(12) >= 7)
    assert_array_equal(np.isnan(found.sharpness).ravel(), (np.arange(12) >= 7) | (np.arange(12) == FLAT))


def test_the_background_may_be_left_in(tmp_path: Path) -> None:
    source, patterns = write_scan(tmp_path / "scan.up2", 12, HEADERS["square"][1])
    binned = np.array([bin_whole(pattern, 2) for pattern in patterns])
    outs = np.array([rescale_pattern(pattern, np.zeros((120, 120)), KEEP).out for pattern in binned], np.float32)
    found, without = (finish(map_patterns(source, choice)).image_quality.ravel() for choice in ("none", "auto"))
    expected = measure_image_quality(outs, KEEP)
    assert_allclose(np.delete(found, FLAT), np.delete(expected, FLAT), atol=2e-3)
    assert np.abs(np.delete(found - without, FLAT)).max() > 2e-3


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_patterns_that_come_once_cannot_be_mapped(choice: str) -> None:
    with pytest.raises(ScanError, match=r"read by number.*a MemorySource gives"):
        finish(map_patterns(MemorySource(Scan((3, 4), (SIDE, SIDE))), choice))  # type: ignore[arg-type]


def test_values_are_spread_in_the_order_of_acquisition() -> None:
    scan = Scan((3, 3), (8, 8), grid="hexagonal", alternating=True)
    nan = np.nan
    assert_array_equal(spread_over_map(np.arange(8.0), scan), [[0, 1, 2], [3, 4, nan], [5, 6, 7]])
    assert_array_equal(spread_over_map(np.arange(4.0), scan), [[0, 1, 2], [3, nan, nan], [nan, nan, nan]])


# --- orientations


class CountingSource(FileSource):
    """A scan that counts the patterns that are read."""

    count = 0

    def read_patterns(self, indices: NDArray[np.int64], out: Raw) -> None:
        self.count += len(indices)
        super().read_patterns(indices, out)


def test_a_scan_is_indexed_as_its_patterns_are(indexed: Indexed) -> None:
    seen, maps = watch(map_patterns(indexed.source, "auto", indexed.indexer))
    assert maps.rotations is not None and maps.grains is not None
    valid = maps.grains >= 0
    assert_array_equal(valid.ravel(), indexed.orientations.indexed)
    assert_allclose(maps.rotations[valid], indexed.orientations.rotations[valid.ravel()], atol=1e-4)
    expected = map_orientations(
        maps, OrientedMap(maps.rotations, np.where(valid, 0, -1), {0: "fcc"}), indexed.source.scan
    )
    for name in ("colours", "grains", "kam_deg", "grod_deg"):
        assert_array_equal(getattr(maps, name), getattr(expected, name))
    assert seen == [Progress(60, 60)]


def test_indexing_changes_nothing_in_the_maps_of_the_patterns(indexed: Indexed) -> None:
    one, other = (finish(map_patterns(indexed.source, "auto", indexer)) for indexer in (None, indexed.indexer))
    for name in ("image_quality", "sharpness", "mean_intensity"):
        assert_array_equal(getattr(one, name), getattr(other, name))


def test_patterns_are_read_once_to_be_measured_and_indexed(indexed: Indexed) -> None:
    source = CountingSource(indexed.source.path)
    finish(map_patterns(source, "none", indexed.indexer))
    assert source.count == 60 + 60  # once more to look for bad pixels: 64 patterns at most


def test_patterns_without_information_are_not_valid(indexed: Indexed, tmp_path: Path) -> None:
    data = bytearray(indexed.source.path.read_bytes())
    first = indexed.source.header.offset + 3 * indexed.source.scan.pattern_bytes
    data[first : first + indexed.source.scan.pattern_bytes] = bytes(indexed.source.scan.pattern_bytes)
    (tmp_path / "scan.up2").write_bytes(data)
    maps = finish(map_patterns(FileSource(tmp_path / "scan.up2"), "auto", indexed.indexer))
    assert maps.rotations is not None and maps.grains is not None
    assert maps.grains[0, 3] == -1
    assert_array_equal(maps.rotations[0, 3], [1, 0, 0, 0])
    assert (maps.grains >= 0).sum() > 50


@pytest.mark.parametrize("grid", ["square", "hexagonal"])
def test_orientations_become_grains_and_their_maps(grid: str) -> None:
    scan = Scan((4, 6), (8, 8), grid=grid)  # type: ignore[arg-type]
    left, right = Rotation.random(2, np.random.default_rng(0))
    turned = left * Rotation.from_rotvec([np.deg2rad(2), 0, 0])
    rotations = np.empty((4, 6, 4))
    for cols, rotation in ((slice(0, 1), left), (slice(1, 3), turned), (slice(3, 6), right)):
        rotations[:, cols] = rotation.as_quat(scalar_first=True)
    valid = np.ones((4, 6), bool)
    valid[2, 4] = False
    before = PhysicsMaps(*np.zeros((3, 4, 6)))
    maps = map_orientations(before, OrientedMap(rotations, np.where(valid, 0, -1), {0: "fcc"}), scan)
    assert maps.grains is not None and maps.kam_deg is not None and maps.grod_deg is not None
    assert maps.colours is not None
    assert_array_equal(maps.grains, np.where(valid, np.where(np.arange(6) < 3, 0, 1), -1))
    assert_allclose(maps.kam_deg[valid][maps.grains[valid] == 1], 0, atol=1e-6)
    # Of the corner's neighbours (right, below; hexagonal: no more), one is turned by 2°.
    assert maps.kam_deg[0, 0] == pytest.approx(1.0)
    # Left, right, below; hexagonal: also below and to the left.
    assert maps.kam_deg[0, 1] == pytest.approx({"square": 2 / 3, "hexagonal": 1.0}[grid])
    assert_allclose(maps.grod_deg[:, 0], 4 / 3, rtol=1e-3)
    assert_allclose(maps.grod_deg[:, 1:3], 2 / 3, rtol=1e-3)
    assert np.isnan(maps.kam_deg[2, 4]) and np.isnan(maps.grod_deg[2, 4])
    assert np.isnan(maps.colours[2, 4]).all()
    assert_array_equal(maps.rotations, rotations)
    assert maps.sharpness is before.sharpness
    angle = misorientation_angles(rotations[0, :1], rotations[0, 3:4], "fcc")[0]
    assert angle > 5  # or the two grains were one


def make_oriented(rotations: Rotation, phase: list[int], symmetries: dict[int, str]) -> tuple[OrientedMap, Scan]:
    """A map of one row."""
    turned = rotations.as_quat(scalar_first=True)[None]
    return OrientedMap(turned, np.array([phase]), symmetries), Scan((1, len(phase)), (8, 8))


@pytest.mark.parametrize("symmetry", ["62", "622", "6/mmm"])
def test_crystals_are_as_symmetric_as_their_file_says(symmetry: str) -> None:
    """A turn by 60° about c is none for a hexagonal crystal, a large one for a cubic one; by 90° it is reverse."""
    turns = Rotation.from_euler("z", [[0], [60], [90]], degrees=True)
    before = PhysicsMaps(*np.zeros((3, 1, 3)))
    hexagonal, cubic = (
        map_orientations(before, *make_oriented(turns, [0, 0, 0], {0: name})) for name in (symmetry, "fcc")
    )
    assert_array_equal(hexagonal.grains, [[0, 0, 1]])
    assert_array_equal(cubic.grains, [[0, 1, 2]])
    assert hexagonal.colours is not None
    assert_allclose(hexagonal.colours[0], [[1, 0, 0]] * 3, atol=1e-6)  # c points along the normal


def test_neighbours_of_two_phases_have_no_misorientation() -> None:
    same = Rotation.from_euler("z", [[10], [10], [10], [12], [12]], degrees=True)
    oriented, scan = make_oriented(same, [1, 1, 2, 2, -1], {1: "43", 2: "62"})
    maps = map_orientations(PhysicsMaps(*np.zeros((3, 1, 5))), oriented, scan)
    assert_array_equal(maps.grains, [[0, 0, 1, 1, -1]])
    assert maps.kam_deg is not None and maps.grod_deg is not None and maps.phase is not None
    assert_allclose(maps.kam_deg, [[0, 0, 2, 2, np.nan]], atol=1e-6)
    assert_allclose(maps.grod_deg, [[0, 0, 1, 1, np.nan]], atol=1e-6)
    assert_array_equal(maps.phase, oriented.phase)
