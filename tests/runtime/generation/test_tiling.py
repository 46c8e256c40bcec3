"""Tilings against painting voxel by voxel, whatever the order of work."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.array_types import Mask
from microrun.runtime.errors import VolumeError
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.tiling import Region, Tiling, tile_anisotropic, tile_isotropic
from microrun.runtime.volumes.volume import Shape

Tile = Callable[..., Tiling]

TILES = pytest.mark.parametrize("tile", [tile_isotropic, tile_anisotropic])
SIDES = st.integers(BLOCK, 100)
SHAPES = st.tuples(SIDES, SIDES, SIDES)


def first_to_cover(tiling: Tiling) -> NDArray[np.int64]:
    """Block of every voxel by trying all blocks in their order; −1 where there is none."""
    owner = np.full(tiling.shape, -1)
    for block, (z, y, x) in enumerate(tiling.corners.tolist()):
        window = owner[z : z + BLOCK, y : y + BLOCK, x : x + BLOCK]
        window[window == -1] = block
    return owner


def work(tiling: Tiling, rng: np.random.Generator) -> NDArray[np.int64]:
    """Take ready blocks at random, each writing what it does not find known; which block wrote each voxel."""
    written = np.full(tiling.shape, -1)
    done = np.zeros(len(tiling), bool)
    while not done.all():
        ready = [b for b in np.flatnonzero(~done) if done[tiling.dependencies(int(b))].all()]
        block = int(rng.choice(ready))
        ((of_volume, of_block),) = tiling.windows(block)
        known = tiling.known_mask(block)
        window = written[of_volume]
        # What is said to be known has been written by earlier blocks, and the rest by nobody.
        assert_array_equal(window >= 0, known[of_block] | (window > block))
        assert (window[known[of_block]] < block).all()
        assert not (window > block).any()
        window[~known[of_block]] = block
        done[block] = True
    return written


def ball(shape: Shape) -> Mask:
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij", sparse=True)
    return sum(axis**2 for axis in axes) < 0.6


@pytest.mark.parametrize(("size", "blocks"), [(32, 1), (80, 27), (128, 125), (176, 343), (224, 729), (320, 2197)])
def test_isotropic_counts_are_those_of_the_grid(size: int, blocks: int) -> None:
    tiling = tile_isotropic((size, size, size))
    assert len(tiling) == blocks
    assert tiling.outside_voxels == 0


def test_isotropic_stages_are_the_papers() -> None:
    tiling = tile_isotropic((128, 128, 128))
    offsets = [(0, 0, 0), (0, 0, 24), (24, 24, 24), (24, 24, 0), (24, 0, 24), (0, 24, 24), (24, 0, 0), (0, 24, 0)]
    for stage, offset in enumerate(offsets):
        limits = [3 - (start > 0) for start in offset]
        expected = [
            (z * 48 + offset[0], y * 48 + offset[1], x * 48 + offset[2])
            for z in range(limits[0])
            for y in range(limits[1])
            for x in range(limits[2])
        ]
        assert [tuple(corner) for corner in tiling.corners[tiling.stages == stage].tolist()] == expected
    assert (np.diff(tiling.stages) >= 0).all()


def test_blocks_of_an_isotropic_stage_are_independent() -> None:
    tiling = tile_isotropic((103, 140, 71))
    for block, stage in enumerate(tiling.stages):
        assert (tiling.stages[tiling.dependencies(block)] < stage).all()


@TILES
@given(shape=SHAPES)
@settings(max_examples=15)
def test_dependencies_are_all_earlier_blocks_that_overlap(tile: Tile, shape: Shape) -> None:
    tiling = tile(shape)
    assert {tiling.corners.dtype, tiling.starts.dtype, tiling.earlier.dtype} == {np.dtype(np.int64)}
    for block, corner in enumerate(tiling.corners):
        overlap = (abs(tiling.corners[:block] - corner) < BLOCK).all(axis=1)
        assert_array_equal(tiling.dependencies(block), np.flatnonzero(overlap))
    assert_array_equal(tiling.has_known, [len(tiling.dependencies(block)) > 0 for block in range(len(tiling))])


@TILES
@given(shape=SHAPES, seed=st.integers(0, 2**32), masked=st.booleans())
@settings(max_examples=12)
def test_any_order_of_work_gives_the_same_volume(tile: Tile, shape: Shape, seed: int, masked: bool) -> None:
    mask = ball(shape) if masked else np.ones(shape, bool)
    tiling = tile(shape, Region(mask))
    written = work(tiling, np.random.default_rng(seed))
    assert_array_equal(written, first_to_cover(tiling))
    assert (written[mask] >= 0).all()
    assert_array_equal(np.unique(written[mask]), np.arange(len(tiling)))  # every block is needed


@TILES
@given(shape=SHAPES, seed=st.integers(0, 2**32))
@settings(max_examples=12)
def test_a_part_leaves_out_blocks_and_changes_no_other_voxel(tile: Tile, shape: Shape, seed: int) -> None:
    mask = np.random.default_rng(seed).random(shape) < 2e-4
    mask[tuple(size // 2 for size in shape)] = True
    whole, part = tile(shape), tile(shape, Region(mask))
    owners = [tiling.corners[first_to_cover(tiling)[mask]] for tiling in (whole, part)]
    assert_array_equal(*owners)
    assert len(part) == len(np.unique(first_to_cover(whole)[mask]))


@TILES
def test_known_voxels_are_those_of_earlier_blocks(tile: Tile) -> None:
    tiling = tile((70, 96, 101))
    owner = first_to_cover(tiling)
    for block in range(len(tiling)):
        ((of_volume, of_block),) = tiling.windows(block)
        expected = np.zeros((BLOCK, BLOCK, BLOCK), bool)
        expected[of_block] = owner[of_volume] < block
        assert_array_equal(tiling.known_mask(block), expected)
        assert expected.any() == tiling.has_known[block]


@TILES
@given(shape=SHAPES)
@settings(max_examples=15)
def test_no_two_blocks_meet_without_one_seeing_the_other(tile: Tile, shape: Shape) -> None:
    """There are no seams: of two neighbouring voxels of two blocks, the later block's window holds both."""
    tiling = tile(shape)
    owner = first_to_cover(tiling)
    for axis in range(3):
        owners = np.moveaxis(owner, axis, 0)
        low, high = owners[:-1], owners[1:]
        place = np.arange(shape[axis] - 1)[:, None, None]
        corners = tiling.corners[:, axis]
        assert (place >= corners[high])[high > low].all()
        assert (place + 1 < corners[low] + BLOCK)[low > high].all()


def test_what_stands_out_is_counted() -> None:
    tiling = tile_isotropic((40, 80, 33))
    assert sorted({tuple(corner) for corner in tiling.corners.tolist()}) == [
        (z, y, x) for z in (0, 24) for y in (0, 24, 48) for x in (0, 24)
    ]
    voxels = 0
    for block in range(len(tiling)):
        inside = np.zeros((BLOCK, BLOCK, BLOCK), bool)
        inside[tiling.windows(block)[0][1]] = True
        voxels += (~inside).sum()
    assert tiling.outside_voxels == voxels > 0
    assert tile_anisotropic((40, 80, 33)).outside_voxels == 0


def test_the_anisotropic_order_grows_from_the_centre() -> None:
    tiling = tile_anisotropic((200, 200, 200))
    corners = tiling.corners - 84
    assert_array_equal(corners[0], [0, 0, 0])
    arms = (corners != 0).sum(axis=1) == 1
    assert arms[1 : arms.sum() + 1].all()
    assert arms.sum() == 6 * 6  # 84 voxels to each face in steps of 14
    assert (abs(corners[arms]).sum(axis=1) % 14 == 0).all()
    for block in range(1, len(tiling)):
        inner = tiling.corners[tiling.dependencies(block)] - 84
        assert (abs(inner).sum(axis=1) < abs(corners[block]).sum()).any()
        assert abs(corners[block] - inner).max(axis=1).min() <= (16 if arms[block] else 24)
    assert len(tile_anisotropic((300, 200, 200))) > len(tiling)


@TILES
def test_a_block_is_the_smallest_volume(tile: Tile) -> None:
    tiling = tile((32, 32, 32))
    assert_array_equal(tiling.corners, [[0, 0, 0]])
    assert_array_equal(tiling.starts, [0, 0])
    assert not tiling.has_known[0]


@TILES
def test_volumes_and_masks_that_do_not_fit_are_refused(tile: Tile) -> None:
    for shape in ((31, 64, 64), (64, 64), (0, 40, 40)):
        with pytest.raises(VolumeError, match="32 voxels or more along each of 3 axes"):
            tile(shape)
    with pytest.raises(VolumeError, match=r"shape \(64, 64, 64\); got bool \(64, 64, 65\)"):
        tile((64, 64, 64), Region(np.ones((64, 64, 65), bool)))
    with pytest.raises(VolumeError, match="must be bool"):
        tile((64, 64, 64), Region(np.ones((64, 64, 64), np.uint8)))
    with pytest.raises(VolumeError, match="the mask is empty"):
        tile((64, 64, 64), Region(np.zeros((64, 64, 64), bool)))


@TILES
def test_thousands_of_blocks_take_milliseconds(tile: Tile) -> None:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        tile((320, 320, 320))
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.5  # the benchmark knows better; this machine may be busy
